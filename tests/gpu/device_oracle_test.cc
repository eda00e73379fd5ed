// The oracle that the device computes, against the oracle: all else here is compared with it.
#include "support/device_oracle.h"

#include "gpu/gpu_fixture.h"
#include "support/oracle_check.h"

namespace seesaw::testing {
namespace {

class DeviceOracle : public GpuTest {
 protected:
  void check(const CaseSpec& spec) {
    AttentionCase attention_case(spec, rng());
    const DeviceCase device_case(attention_case, stream().get());
    const auto computed = device_reference(attention_case.problem(), device_case.args(),
                                           attention_case.spec().kv_lengths, stream().get());
    EXPECT_EQ(difference_of_oracles(computed, attention_case.reference()), "") << to_string(spec);
  }
};

class SmallDeviceOracle : public DeviceOracle {};

TEST_F(SmallDeviceOracle, GivesWhatTheHostsGives) {
  for (int round = 0; round < 10; ++round) check(random_oracle_spec(rng(), 40));
}

TEST_F(DeviceOracle, GivesWhatTheHostsGives) {
  for (int round = 0; round < 200; ++round) check(random_oracle_spec(rng(), 200));
}

TEST_F(DeviceOracle, DimensionsOfDeepSeek) {
  for (const auto& [d_qk, d_v] : {std::pair{576, 512}, std::pair{320, 256}}) {
    CaseSpec spec = decode_spec({1000, 0, 64, 1}, 16, 2);
    spec.problem.d_qk = d_qk;
    spec.problem.d_v = d_v;
    spec.problem.mask = Mask::kCausal;
    spec.problem.has_attn_sink = true;
    check(spec);
  }
}

// More than is computed at once, so that rows of several launches come together; the most of it is
// short, because the host computes it too.
TEST_F(DeviceOracle, ManyLaunches) {
  CaseSpec long_request = decode_spec({20'000, 3, 0, 500}, 2, 40);  // 320 rows of 20,000 keys' room
  long_request.problem.d_qk = 32;
  long_request.problem.d_v = 16;
  long_request.problem.mask = Mask::kCausal;
  check(long_request);
  CaseSpec many_rows = decode_spec(random_lengths(rng(), 9'000, 0, 3), 2);
  many_rows.problem.page_size = 4;
  check(many_rows);
}

TEST_F(DeviceOracle, NoRows) {
  check(decode_spec({}));
  check(decode_spec({5, 0}, 4, 0));
}

/// What the comparison with the host would not see of a wrong stream or of stale memory: another
/// case's results.
TEST_F(DeviceOracle, FollowsLengthsAndArrays) {
  AttentionCase attention_case(decode_spec({300, 70}, 8), rng());
  const DeviceCase device_case(attention_case, stream().get());
  const std::vector<std::int32_t> shorter = {299, -4};
  const auto computed =
      device_reference(attention_case.problem(), device_case.args(), shorter, stream().get());
  algorithm::ReferenceInputs inputs = attention_case.reference_inputs();
  EXPECT_NE(difference_of_oracles(computed, algorithm::reference_attention(inputs)), "");
  const std::vector<std::int32_t> taken = {299, 0};
  inputs.kv_lengths = taken;
  EXPECT_EQ(difference_of_oracles(computed, algorithm::reference_attention(inputs)), "");
}

}  // namespace
}  // namespace seesaw::testing
