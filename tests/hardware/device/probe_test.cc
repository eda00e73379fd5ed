#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "hardware/device/available_cores.h"
#include "hardware/device/cpu_identity.h"
#include "hardware/device/cpu_isa_choice.h"
#include "seesaw/device.h"

namespace seesaw {
namespace {

// Sets SEESAW_CPU_ISA for a scope, and puts back what was there.
class IsaVariable {
 public:
  explicit IsaVariable(const char* value) {
    const char* before = std::getenv(kName);
    had_value_ = before != nullptr;
    if (had_value_) before_ = before;
    if (value == nullptr) {
      unsetenv(kName);
    } else {
      setenv(kName, value, 1);
    }
  }
  ~IsaVariable() {
    if (had_value_) {
      setenv(kName, before_.c_str(), 1);
    } else {
      unsetenv(kName);
    }
  }

 private:
  static constexpr const char* kName = "SEESAW_CPU_ISA";
  bool had_value_ = false;
  std::string before_;
};

constexpr CpuIsa kIsas[] = {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16};

bool up_to_avx2(CpuIsa isa) noexcept { return isa <= CpuIsa::kAvx2; }

TEST(ChooseCpuIsa, TakesTheBestWithoutAWish) {
  EXPECT_EQ(choose_cpu_isa(nullptr, up_to_avx2).value(), CpuIsa::kAvx2);
  EXPECT_EQ(choose_cpu_isa("", up_to_avx2).value(), CpuIsa::kAvx2);
}

TEST(ChooseCpuIsa, LowersOnRequest) {
  EXPECT_EQ(choose_cpu_isa("generic", up_to_avx2).value(), CpuIsa::kGeneric);
  EXPECT_EQ(choose_cpu_isa("avx2", up_to_avx2).value(), CpuIsa::kAvx2);
}

TEST(ChooseCpuIsa, RefusesWhatTheCpuCannotRun) {
  const Result<CpuIsa> isa = choose_cpu_isa("avx512_bf16", up_to_avx2);
  EXPECT_EQ(isa.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(isa.status().message(),
            "SEESAW_CPU_ISA: is avx512_bf16, must be one that this CPU can run: generic, avx2");
}

TEST(ChooseCpuIsa, RefusesAnUnknownName) {
  const Result<CpuIsa> isa = choose_cpu_isa("AVX2", up_to_avx2);
  EXPECT_EQ(isa.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(isa.status().message(),
            "SEESAW_CPU_ISA: is \"AVX2\", must be one of generic, avx2, avx512, avx512_bf16");
}

TEST(CpuSupports, EverySetContainsTheLowerOnes) {
  EXPECT_TRUE(cpu_supports(CpuIsa::kGeneric));
  for (std::size_t i = 1; i < std::size(kIsas); ++i) {
    if (cpu_supports(kIsas[i])) {
      EXPECT_TRUE(cpu_supports(kIsas[i - 1])) << to_string(kIsas[i]);
    }
  }
}

#if defined(__x86_64__)
// The compiler's run-time library asks the same questions in its own way.
TEST(CpuSupports, AgreesWithTheCompilersRuntime) {
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  EXPECT_EQ(cpu_supports(CpuIsa::kAvx2), has_avx2);
  EXPECT_EQ(cpu_supports(CpuIsa::kAvx512), has_avx512);
  EXPECT_EQ(cpu_supports(CpuIsa::kAvx512Bf16), has_avx512 && __builtin_cpu_supports("avx512bf16"));
}

TEST(CpuIdentity, CpuidAndTheKernelAgreeOnCaches) {
  const CacheSizes kernel = cache_sizes_from_sysfs("");
  if (kernel.l1_bytes == 0) GTEST_SKIP() << "the kernel shows no caches here";
  const CacheSizes cpuid = cache_sizes_from_cpuid();
  EXPECT_EQ(cpuid.l1_bytes, kernel.l1_bytes);
  EXPECT_EQ(cpuid.l2_bytes, kernel.l2_bytes);
  EXPECT_EQ(cpuid.l3_bytes, kernel.l3_bytes);
}

TEST(CpuIdentity, CpuidNamesTheCpu) {
  const std::string name = cpu_name_from_cpuid();
  ASSERT_FALSE(name.empty());
  EXPECT_EQ(cpu_name(""), name);
  EXPECT_NE(name.front(), ' ');
  EXPECT_NE(name.back(), ' ');
}
#endif

TEST(CpuIdentity, AMachineThatShowsNothingHasNoSizes) {
  const CacheSizes sizes = cache_sizes_from_sysfs("/nonexistent");
  EXPECT_EQ(sizes.l1_bytes, 0);
  EXPECT_EQ(sizes.l2_bytes, 0);
  EXPECT_EQ(sizes.l3_bytes, 0);
  EXPECT_FALSE(cpu_name("/nonexistent").empty());
}

TEST(ProbeCpu, DescribesThisMachine) {
  const IsaVariable unset(nullptr);
  const Result<DeviceSpec> spec = probe_cpu();
  ASSERT_TRUE(spec) << spec.status().message();
  EXPECT_EQ(spec.value().kind, DeviceKind::kCpu);
  EXPECT_FALSE(spec.value().name.empty());
  EXPECT_EQ(spec.value().num_workers, available_cores());
  EXPECT_GE(spec.value().l1_bytes, 4 << 10);
  EXPECT_GE(spec.value().l2_bytes, spec.value().l1_bytes);
  EXPECT_GT(spec.value().memory_bytes, 0);
  EXPECT_TRUE(cpu_supports(spec.value().cpu_isa));
  for (const CpuIsa isa : kIsas) {
    if (isa > spec.value().cpu_isa) {
      EXPECT_FALSE(cpu_supports(isa)) << to_string(isa);
    }
  }
  EXPECT_EQ(spec.value().cuda_ordinal, -1);
}

TEST(ProbeCpu, TheVariableLowersTheInstructionSet) {
  for (const CpuIsa isa : kIsas) {
    const IsaVariable variable(to_string(isa));
    const Result<DeviceSpec> spec = probe_cpu();
    EXPECT_EQ(spec.is_ok(), cpu_supports(isa)) << to_string(isa);
    if (spec) {
      EXPECT_EQ(spec.value().cpu_isa, isa);
    }
  }
  const IsaVariable variable("sse9");
  EXPECT_EQ(probe_cpu().status().code(), StatusCode::kInvalidArgument);
}

TEST(ProbeCuda, ListsUsableDevicesInOrderOrNone) {
  int last_ordinal = -1;
  for (const DeviceSpec& spec : probe_cuda()) {
    EXPECT_EQ(spec.kind, DeviceKind::kCuda);
    EXPECT_FALSE(spec.name.empty());
    EXPECT_GT(spec.cuda_ordinal, last_ordinal);
    EXPECT_GE(spec.num_workers, 1);
    EXPECT_GE(spec.sm_arch, 50);
    EXPECT_GE(spec.shared_memory_bytes, 48 << 10);
    EXPECT_GT(spec.memory_bytes, 1 << 30);
    EXPECT_GT(spec.l2_bytes, 0);
    last_ordinal = spec.cuda_ordinal;
  }
}

}  // namespace
}  // namespace seesaw
