// Stands in for the x86 kernels on other processors: plain C++ serves them.
#include "hardware/cpu/kernels/tile_task.h"

namespace seesaw::cpu {

const TileKernels* const kAvx2Kernels = nullptr;
const TileKernels* const kAvx512Kernels = nullptr;
const TileKernels* const kAvx512Bf16Kernels = nullptr;

}  // namespace seesaw::cpu
