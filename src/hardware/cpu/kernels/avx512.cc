#include "hardware/cpu/kernels/float_arith.h"
#include "hardware/cpu/kernels/tile.h"
#include "hardware/cpu/kernels/vec_avx512.h"

namespace seesaw::cpu {
namespace {
// 24 accumulators of 32 registers.
constexpr Blocking kBlocking{
    .parts = 2, .score_quads = 3, .value_rows = 8, .value_vecs = 3, .block_tokens = 96};
using Kernel = Tile<FloatArith<VecAvx512, kBlocking>>;
constexpr TileKernels kKernels{.rows_per_tile = Kernel::kMaxRows,
                               .scratch_bytes = &Kernel::scratch_bytes,
                               .accumulate = &Kernel::accumulate,
                               .mix = &Kernel::mix};
}  // namespace

const TileKernels* const kAvx512Kernels = &kKernels;

}  // namespace seesaw::cpu
