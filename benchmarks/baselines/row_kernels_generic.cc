#define SEESAW_BENCH_ROW_ISA kRowKernelsGeneric
#define SEESAW_BENCH_ROW_NAME "generic"
#define SEESAW_BENCH_ROW_LANES 4
#include "baselines/row_kernels_impl.h"  // NOLINT(build/include)
