#include "hardware/cpu/kernels/bf16_arith.h"
#include "hardware/cpu/kernels/tile.h"

namespace seesaw::cpu {
namespace {
using Kernel = Tile<Bf16Arith>;
constexpr TileKernels kKernels{.rows_per_tile = Kernel::kMaxRows,
                               .scratch_bytes = &Kernel::scratch_bytes,
                               .accumulate = &Kernel::accumulate,
                               .mix = &Kernel::mix};
}  // namespace

const TileKernels* const kAvx512Bf16Kernels = &kKernels;

}  // namespace seesaw::cpu
