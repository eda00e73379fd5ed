#define SEESAW_BENCH_ROW_ISA kRowKernelsAvx512
#define SEESAW_BENCH_ROW_NAME "avx512"
#define SEESAW_BENCH_ROW_LANES 16
#include "baselines/row_kernels_impl.h"  // NOLINT(build/include)
