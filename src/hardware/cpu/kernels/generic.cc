#include "hardware/cpu/kernels/float_arith.h"
#include "hardware/cpu/kernels/tile.h"
#include "hardware/cpu/kernels/vec_generic.h"

namespace seesaw::cpu {
namespace {
// 8 accumulators: SSE2 has 16 registers and no fused multiply-add, so products need some too.
constexpr Blocking kBlocking{
    .parts = 1, .score_quads = 2, .value_rows = 4, .value_vecs = 2, .block_tokens = 96};
using Kernel = Tile<FloatArith<VecGeneric, kBlocking>>;
constexpr TileKernels kKernels{.rows_per_tile = Kernel::kMaxRows,
                               .scratch_bytes = &Kernel::scratch_bytes,
                               .accumulate = &Kernel::accumulate,
                               .mix = &Kernel::mix};
}  // namespace

const TileKernels* const kGenericKernels = &kKernels;

}  // namespace seesaw::cpu
