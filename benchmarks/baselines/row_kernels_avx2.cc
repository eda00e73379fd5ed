#define SEESAW_BENCH_ROW_ISA kRowKernelsAvx2
#define SEESAW_BENCH_ROW_NAME "avx2"
#define SEESAW_BENCH_ROW_LANES 8
#include "baselines/row_kernels_impl.h"  // NOLINT(build/include)
