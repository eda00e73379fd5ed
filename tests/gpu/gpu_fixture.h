// What tests on a device share.
#pragma once

#include <gmock/gmock.h>

#include <utility>
#include <vector>

#include "support/device_case.h"

namespace seesaw::testing {

/// Skips its tests where there is no CUDA device.
class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!test_device()) GTEST_SKIP() << "no CUDA device here: nothing of this test was run";
    rng_ = make_rng();
  }

  Rng& rng() { return rng_; }
  void run(const CaseSpec& spec, const DeviceOptions& options = {}) {
    AttentionCase attention_case(spec, rng_);
    DeviceCase device_case(attention_case, stream().get());
    EXPECT_TRUE(device_case.run(options));
  }
  const DeviceStream& stream() {
    if (!stream_) stream_ = std::make_unique<DeviceStream>();
    return *stream_;
  }

 private:
  Rng rng_;
  std::unique_ptr<DeviceStream> stream_;
};

/// DeepSeek's dimensions in bfloat16, pages of 64.
inline CaseSpec decode_spec(std::vector<std::int32_t> kv_lengths, std::int64_t h_q = 16,
                            std::int64_t s_q = 1) {
  CaseSpec spec;
  spec.problem.s_q = s_q;
  spec.problem.h_q = h_q;
  spec.kv_lengths = std::move(kv_lengths);
  return spec;
}

inline void set_types(CaseSpec& spec, DType dtype) {
  spec.problem.q_dtype = dtype;
  spec.problem.out_dtype = dtype;
  spec.problem.kv_format = *plain_format(dtype);
}

/// `count` random lengths in [first, last].
inline std::vector<std::int32_t> random_lengths(Rng& rng, std::int64_t count, std::int64_t first,
                                                std::int64_t last) {
  std::vector<std::int32_t> lengths;
  for (std::int64_t i = 0; i < count; ++i)
    lengths.push_back(static_cast<std::int32_t>(uniform(rng, first, last)));
  return lengths;
}

/// One of the given values.
template <typename T>
T pick(Rng& rng, const std::vector<T>& values) {
  return values.at(
      static_cast<std::size_t>(uniform(rng, 0, static_cast<std::int64_t>(values.size()) - 1)));
}

inline const std::vector<ScheduleMode> kAllModes = {
    ScheduleMode::kThroughput, ScheduleMode::kLatency, ScheduleMode::kBatchInvariant};
inline const std::vector<KernelChoice> kAllKernels = {KernelChoice::kBest, KernelChoice::kPortable};
inline const std::vector<LengthSource> kAllLengthSources = {LengthSource::kHost,
                                                            LengthSource::kDevice};

}  // namespace seesaw::testing
