#include "limits/arithmetic_peak.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

namespace seesaw::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// Operands as pairs of bfloat16 values in [0.5, 1); read as float32 they lie there too. Zeros,
/// infinities or subnormals could run at another speed or power.
struct alignas(64) Operands {
  std::array<std::uint32_t, 256> words;
  Operands() {
    std::uint32_t state = 12345;
    for (std::uint32_t& word : words) {
      state = state * 1664525u + 1013904223u;
      word = 0x3f003f00u | (state >> 9 & 0x007f007fu);
    }
  }
};

#if defined(__x86_64__)

// Each loop is one asm statement, so the compiler can neither spill nor reorder inside it. 24
// accumulators (12 where there are but 16 registers) times two instructions a cycle hide a latency
// of 12 (6) cycles.
#define SEESAW_0_TO_11 "0,1,2,3,4,5,6,7,8,9,10,11"
#define SEESAW_0_TO_23 SEESAW_0_TO_11 ",12,13,14,15,16,17,18,19,20,21,22,23"
#define SEESAW_REPEAT(indices, instruction) ".irp i," indices "\n\t" instruction "\n\t.endr\n\t"
#define SEESAW_CLOBBER_16                                                                  \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define SEESAW_CLOBBER_32                                                                    \
  SEESAW_CLOBBER_16, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", \
      "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31"
#define SEESAW_LOOP(setup, body, ...)                           \
  asm volatile(setup "1:\n\t" body "dec %[count]\n\tjnz 1b\n\t" \
               : [count] "+r"(count)                            \
               : [data] "r"(data)                               \
               : __VA_ARGS__, "memory", "cc")

#define SEESAW_SETUP_ZMM                                                              \
  "vmovups (%[data]), %%zmm28\n\tvmovups 64(%[data]), %%zmm29\n\t"                    \
  "vmovups 128(%[data]), %%zmm30\n\tvmovups 192(%[data]), %%zmm31\n\t" SEESAW_REPEAT( \
      SEESAW_0_TO_23, "vpxord %%zmm\\i, %%zmm\\i, %%zmm\\i")

__attribute__((target("avx512f"))) void bf16_dot(const void* data, std::int64_t count) {
  SEESAW_LOOP(SEESAW_SETUP_ZMM,
              SEESAW_REPEAT(SEESAW_0_TO_23, "vdpbf16ps %%zmm28, %%zmm29, %%zmm\\i")
                  SEESAW_REPEAT(SEESAW_0_TO_23, "vdpbf16ps %%zmm30, %%zmm31, %%zmm\\i"),
              SEESAW_CLOBBER_32);
}

__attribute__((target("avx512f"))) void bf16_dot_broadcast(const void* data, std::int64_t count) {
  SEESAW_LOOP(
      SEESAW_SETUP_ZMM,
      SEESAW_REPEAT(SEESAW_0_TO_23, "vdpbf16ps 4*\\i(%[data])%{1to16%}, %%zmm29, %%zmm\\i")
          SEESAW_REPEAT(SEESAW_0_TO_23, "vdpbf16ps 512+4*\\i(%[data])%{1to16%}, %%zmm31, %%zmm\\i"),
      SEESAW_CLOBBER_32);
}

__attribute__((target("avx512f"))) void fma_avx512(const void* data, std::int64_t count) {
  SEESAW_LOOP(SEESAW_SETUP_ZMM,
              SEESAW_REPEAT(SEESAW_0_TO_23, "vfmadd231ps %%zmm28, %%zmm29, %%zmm\\i")
                  SEESAW_REPEAT(SEESAW_0_TO_23, "vfmadd231ps %%zmm30, %%zmm31, %%zmm\\i"),
              SEESAW_CLOBBER_32);
}

__attribute__((target("avx2"))) void fma_avx2(const void* data, std::int64_t count) {
  SEESAW_LOOP(
      "vmovups (%[data]), %%ymm12\n\tvmovups 64(%[data]), %%ymm13\n\t"
      "vmovups 128(%[data]), %%ymm14\n\tvmovups 192(%[data]), %%ymm15\n\t" SEESAW_REPEAT(
          SEESAW_0_TO_11, "vxorps %%ymm\\i, %%ymm\\i, %%ymm\\i"),
      SEESAW_REPEAT(SEESAW_0_TO_11, "vfmadd231ps %%ymm12, %%ymm13, %%ymm\\i")
          SEESAW_REPEAT(SEESAW_0_TO_11, "vfmadd231ps %%ymm14, %%ymm15, %%ymm\\i")
              SEESAW_REPEAT(SEESAW_0_TO_11, "vfmadd231ps %%ymm12, %%ymm15, %%ymm\\i")
                  SEESAW_REPEAT(SEESAW_0_TO_11, "vfmadd231ps %%ymm13, %%ymm14, %%ymm\\i"),
      SEESAW_CLOBBER_16);
}

// Seven chains of products by 1 and seven of sums, side by side; a product counts as much as a sum.
__attribute__((target("sse2"))) void multiply_add_sse2(const void* data, std::int64_t count) {
  SEESAW_LOOP("pcmpeqd %%xmm15, %%xmm15\n\tpslld $25, %%xmm15\n\tpsrld $2, %%xmm15\n\t"  // 1.0f
              SEESAW_REPEAT("8,9,10,11,12,13,14", "movups 16*\\i(%[data]), %%xmm\\i")
                  SEESAW_REPEAT("0,1,2,3,4,5,6", "xorps %%xmm\\i, %%xmm\\i"),
              ".rept 6\n\t"
              "addps %%xmm8, %%xmm0\n\tmulps %%xmm15, %%xmm8\n\t"
              "addps %%xmm9, %%xmm1\n\tmulps %%xmm15, %%xmm9\n\t"
              "addps %%xmm10, %%xmm2\n\tmulps %%xmm15, %%xmm10\n\t"
              "addps %%xmm11, %%xmm3\n\tmulps %%xmm15, %%xmm11\n\t"
              "addps %%xmm12, %%xmm4\n\tmulps %%xmm15, %%xmm12\n\t"
              "addps %%xmm13, %%xmm5\n\tmulps %%xmm15, %%xmm13\n\t"
              "addps %%xmm14, %%xmm6\n\tmulps %%xmm15, %%xmm14\n\t"
              ".endr\n\t",
              SEESAW_CLOBBER_16);
}

struct Stream {
  void (*run)(const void* data, std::int64_t count);
  double flops_a_pass;
};

Stream stream_of(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kBf16DotAvx512:
      return {bf16_dot, 48 * 64};
    case Arithmetic::kBf16DotAvx512Broadcast:
      return {bf16_dot_broadcast, 48 * 64};
    case Arithmetic::kFmaAvx512:
      return {fma_avx512, 48 * 32};
    case Arithmetic::kFmaAvx2:
      return {fma_avx2, 48 * 16};
    case Arithmetic::kMultiplyAddSse2:
      return {multiply_add_sse2, 6 * 14 * 4};
  }
  return {multiply_add_sse2, 6 * 14 * 4};
}

#else

struct Stream {
  void (*run)(const void*, std::int64_t);
  double flops_a_pass;
};
Stream stream_of(Arithmetic) {
  return {[](const void*, std::int64_t) {}, 0};
}

#endif

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

const char* to_string(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kBf16DotAvx512:
      return "bf16 dot product, AVX-512";
    case Arithmetic::kBf16DotAvx512Broadcast:
      return "bf16 dot product, AVX-512, broadcast operand";
    case Arithmetic::kFmaAvx512:
      return "float32 FMA, AVX-512";
    case Arithmetic::kFmaAvx2:
      return "float32 FMA, AVX2";
    case Arithmetic::kMultiplyAddSse2:
      return "float32 multiply and add, SSE2";
  }
  return "unknown";
}

bool cpu_has(Arithmetic arithmetic) {
#if defined(__x86_64__)
  switch (arithmetic) {
    case Arithmetic::kBf16DotAvx512:
    case Arithmetic::kBf16DotAvx512Broadcast:
      return __builtin_cpu_supports("avx512bf16");
    case Arithmetic::kFmaAvx512:
      return __builtin_cpu_supports("avx512f");
    case Arithmetic::kFmaAvx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Arithmetic::kMultiplyAddSse2:
      return true;
  }
#endif
  static_cast<void>(arithmetic);
  return false;
}

std::optional<Arithmetic> arithmetic_of(CpuIsa isa) {
  Arithmetic arithmetic = Arithmetic::kMultiplyAddSse2;
  switch (isa) {
    case CpuIsa::kAvx512Bf16:
      arithmetic = Arithmetic::kBf16DotAvx512;
      break;
    case CpuIsa::kAvx512:
      arithmetic = Arithmetic::kFmaAvx512;
      break;
    case CpuIsa::kAvx2:
      arithmetic = Arithmetic::kFmaAvx2;
      break;
    case CpuIsa::kGeneric:
      break;
  }
  if (!cpu_has(arithmetic)) return std::nullopt;
  return arithmetic;
}

double measure_gflops(Arithmetic arithmetic, ThreadTeam& team, double seconds) {
  static const Operands operands;
  const Stream stream = stream_of(arithmetic);
  // Sized on the spot, so that a burst takes as long on a slow core as on a quick one.
  constexpr std::int64_t kTrialPasses = 2000;
  stream.run(&operands, kTrialPasses);
  const auto trial_begin = Clock::now();
  stream.run(&operands, kTrialPasses);
  const double trial_seconds = std::max(seconds_since(trial_begin), 1e-9);
  const auto passes = std::max<std::int64_t>(
      kTrialPasses, static_cast<std::int64_t>(kTrialPasses * seconds / trial_seconds));

  std::vector<double> rates(static_cast<std::size_t>(team.num_threads()));
  team.run([&](int thread_idx) {
    const auto begin = Clock::now();
    stream.run(&operands, passes);
    const double elapsed = seconds_since(begin);
    rates[static_cast<std::size_t>(thread_idx)] =
        static_cast<double>(passes) * stream.flops_a_pass / elapsed * 1e-9;
  });
  double sum = 0;
  for (double rate : rates) sum += rate;
  return sum;
}

}  // namespace seesaw::bench
