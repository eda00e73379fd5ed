#include "baselines/row_kernels.h"

namespace seesaw::bench {

extern const RowKernels kRowKernelsGeneric;
#if defined(__x86_64__)
extern const RowKernels kRowKernelsAvx2;
extern const RowKernels kRowKernelsAvx512;
#endif

const RowKernels& row_kernels() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    return kRowKernelsAvx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kRowKernelsAvx2;
#endif
  return kRowKernelsGeneric;
}

}  // namespace seesaw::bench
