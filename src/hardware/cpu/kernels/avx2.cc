#include "hardware/cpu/kernels/float_arith.h"
#include "hardware/cpu/kernels/tile.h"
#include "hardware/cpu/kernels/vec_avx2.h"

namespace seesaw::cpu {
namespace {
// 12 accumulators of 16 registers.
constexpr Blocking kBlocking{
    .parts = 1, .score_quads = 3, .value_rows = 4, .value_vecs = 3, .block_tokens = 96};
using Kernel = Tile<FloatArith<VecAvx2, kBlocking>>;
constexpr TileKernels kKernels{.rows_per_tile = Kernel::kMaxRows,
                               .scratch_bytes = &Kernel::scratch_bytes,
                               .accumulate = &Kernel::accumulate,
                               .mix = &Kernel::mix};
}  // namespace

const TileKernels* const kAvx2Kernels = &kKernels;

}  // namespace seesaw::cpu
