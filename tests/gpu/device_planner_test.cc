// The planner on the device gives what the host's cut_groups gives, to the last byte.
#include "system/device_planner.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <span>

#include "gpu/gpu_fixture.h"
#include "scheduling/group_case.h"

namespace seesaw::testing {
namespace {

using scheduling::cut_groups;
using scheduling::lay_out_group_workspace;
using scheduling::testing::GroupCase;
using scheduling::testing::random_group_case;
using scheduling::testing::random_group_lengths;

/// A plan with its part of a workspace (no slots) and strided lengths on the device.
class PlannedCase {
 public:
  PlannedCase(const GroupCase& group_case, std::int64_t stride, cudaStream_t stream)
      : case_(group_case), stride_(stride), stream_(stream) {
    throw_if_error(case_.choose(plan_));
    WorkPlan work;
    work.problem = case_.input.problem;
    throw_if_error(lay_out_group_workspace(plan_, work));
    const std::size_t slots = plan_.cuts_offset;
    plan_.cuts_offset -= slots;
    plan_.first_ranges_offset -= slots;
    plan_.kv_lengths_offset -= slots;
    plan_.arrivals_offset -= slots;
    plan_.scratch_offset -= slots;
    workspace_ = DeviceBuffer(work.workspace_bytes - slots);
    workspace_.fill(0xff, stream);
    strided_.resize(case_.kv_lengths.size() * static_cast<std::size_t>(stride_), -7);
    lengths_ = DeviceBuffer(strided_.size() * sizeof(std::int32_t));
    set_lengths(case_.kv_lengths);
  }

  void set_lengths(const std::vector<std::int32_t>& kv_lengths) {
    case_.kv_lengths = kv_lengths;
    for (std::size_t i = 0; i < kv_lengths.size(); ++i) {
      strided_[i * static_cast<std::size_t>(stride_)] = kv_lengths[i];
    }
    lengths_.upload(std::as_bytes(std::span(strided_)), stream_);
    require_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

  Status launch() const {
    return cuda::launch_planner(plan_, reinterpret_cast<const std::int32_t*>(lengths_.data()),
                                stride_, workspace_.data(), stream_);
  }

  /// What the device has made differently from the host; empty where nothing.
  std::string find_difference() {
    std::vector<std::byte> made(workspace_.size());
    workspace_.download(made, stream_);
    require_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    if (case_.input.problem.batch == 0) return "";  // no launch, for nothing would read the plan
    std::vector<std::int32_t> lengths = case_.kv_lengths;
    for (std::int32_t& length : lengths) length = std::max(length, 0);
    std::vector<std::int64_t> scratch;
    throw_if_error(cut_groups(lengths, plan_, scratch));
    std::string difference = compare("cut", made, plan_.cuts_offset, plan_.cuts);
    if (difference.empty()) {
      difference = compare("first_range", made, plan_.first_ranges_offset, plan_.first_ranges);
    }
    if (difference.empty()) {
      difference = compare("kv_length", made, plan_.kv_lengths_offset, lengths);
    }
    if (difference.empty()) {
      const std::vector<std::int32_t> zeros(static_cast<std::size_t>(plan_.num_arrivals()));
      difference = compare("arrival", made, plan_.arrivals_offset, zeros);
    }
    return difference.empty() ? difference : difference + "\n" + case_.describe();
  }

  const GroupPlan& plan() const { return plan_; }

 private:
  template <typename T>
  static std::string compare(const char* name, const std::vector<std::byte>& made,
                             std::size_t offset, const std::vector<T>& expected) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      T actual;
      std::memcpy(&actual, made.data() + offset + i * sizeof(T), sizeof(T));
      if (actual == expected[i]) continue;
      if constexpr (std::is_same_v<T, Cut>) {
        return fmt::format("{} {} is ({}, {}), must be ({}, {})", name, i, actual.sequence_idx,
                           actual.block_idx, expected[i].sequence_idx, expected[i].block_idx);
      } else {
        return fmt::format("{} {} is {}, must be {}", name, i, actual, expected[i]);
      }
    }
    return "";
  }

  GroupCase case_;
  std::int64_t stride_;
  cudaStream_t stream_;
  GroupPlan plan_;
  DeviceBuffer workspace_;
  DeviceBuffer lengths_;
  std::vector<std::int32_t> strided_;
};

class SmallDevicePlanner : public GpuTest {};
class DevicePlanner : public GpuTest {};

void expect_the_hosts_plan(const GroupCase& group_case, std::int64_t stride, cudaStream_t stream) {
  PlannedCase planned(group_case, stride, stream);
  const Status status = planned.launch();
  ASSERT_TRUE(status.is_ok()) << status.message();
  ASSERT_EQ(planned.find_difference(), "");
}

TEST_F(SmallDevicePlanner, PlansAsTheHost) {
  for (int round = 0; round < 60; ++round) {
    expect_the_hosts_plan(random_group_case(rng(), 40), uniform(rng(), 1, 3), stream().get());
    if (HasFailure()) return;
  }
}

TEST_F(DevicePlanner, PlansAsTheHost) {
  std::map<CutRule::Kind, int> num_planned;
  for (int round = 0; round < 1500; ++round) {
    const GroupCase group_case = random_group_case(rng(), 400, round % 3 == 0 ? 2'000'000 : 20'000);
    PlannedCase planned(group_case, uniform(rng(), 1, 3), stream().get());
    const Status status = planned.launch();
    ASSERT_TRUE(status.is_ok()) << status.message();
    ASSERT_EQ(planned.find_difference(), "");
    if (group_case.input.problem.batch > 0) ++num_planned[planned.plan().rule.kind];
  }
  for (const auto kind : {CutRule::Kind::kFlow, CutRule::Kind::kSpread, CutRule::Kind::kPieces}) {
    EXPECT_GT(num_planned[kind], 100) << static_cast<int>(kind);
  }
}

// More sequences than threads, than shared memory has room for, and than a grid's y has blocks.
TEST_F(DevicePlanner, ManyRequests) {
  for (const std::int64_t batch : {1023, 1024, 1025, 5119, 5120, 5121, 65'536, 70'000}) {
    for (const ScheduleMode mode : kAllModes) {
      GroupCase group_case = random_group_case(rng(), 1);
      group_case.input.mode = mode;
      group_case.input.num_splits.reset();
      group_case.input.problem.batch = batch;
      group_case.input.problem.h_kv = 1;
      group_case.input.problem.h_q = 128;
      group_case.input.problem.s_q = 1;
      group_case.kv_lengths = random_group_lengths(rng(), batch, 10'000);
      expect_the_hosts_plan(group_case, 1, stream().get());
      if (HasFailure()) return;
    }
  }
}

// As many workers as sequences, so that groups of their own are looked for among thousands.
TEST_F(DevicePlanner, ManyWorkers) {
  for (const std::int32_t num_workers : {1000, 3000, 9000, 40'000}) {
    for (int round = 0; round < 10; ++round) {
      GroupCase group_case = random_group_case(rng(), 1);
      group_case.input.mode = ScheduleMode::kLatency;
      group_case.input.num_splits.reset();
      group_case.input.num_workers = num_workers;
      group_case.input.problem.batch = uniform(rng(), num_workers / 4, num_workers);
      group_case.input.problem.h_kv = 1;
      group_case.input.problem.h_q = 64;
      group_case.input.problem.s_q = 1;
      group_case.kv_lengths = random_group_lengths(rng(), group_case.input.problem.batch, 10'000);
      // Sizes of the largest piece that 32 warps do not try at once.
      if (round % 2 == 0) group_case.sequence_overhead = 100;
      expect_the_hosts_plan(group_case, 1, stream().get());
      if (HasFailure()) return;
    }
  }
}

TEST_F(SmallDevicePlanner, LongestAndNegativeLengths) {
  for (const ScheduleMode mode : kAllModes) {
    for (const std::int32_t length : {0x7fffffff, -1, std::numeric_limits<std::int32_t>::min()}) {
      GroupCase group_case;
      group_case.input.mode = mode;
      group_case.input.num_workers = 132;
      group_case.input.problem.batch = 300;
      group_case.kv_lengths.assign(300, length);
      expect_the_hosts_plan(group_case, 1, stream().get());
      group_case.input.problem.mask = Mask::kCausal;
      group_case.input.problem.s_q = 5;
      expect_the_hosts_plan(group_case, 1, stream().get());
      if (HasFailure()) return;
    }
  }
}

TEST_F(SmallDevicePlanner, AGraphIsReplayedWithOtherLengths) {
  for (int round = 0; round < 20; ++round) {
    GroupCase group_case = random_group_case(rng(), 300);
    if (group_case.input.problem.batch == 0) continue;
    PlannedCase planned(group_case, uniform(rng(), 1, 2), stream().get());
    const Graph graph(stream().get(), [&] {
      for (int launch = 0; launch < 2; ++launch) {  // the second a dependent of the first
        const Status status = planned.launch();
        EXPECT_TRUE(status.is_ok()) << status.message();
      }
    });
    for (int replay = 0; replay < 5; ++replay) {
      planned.set_lengths(random_group_lengths(rng(), group_case.input.problem.batch, 30'000));
      graph.launch(stream().get());
      EXPECT_EQ(planned.find_difference(), "");
    }
    if (HasFailure()) return;
  }
}

TEST_F(SmallDevicePlanner, AnEmptyBatchLaunchesNothing) {
  GroupPlan plan;
  EXPECT_TRUE(cuda::launch_planner(plan, nullptr, 1, nullptr, stream().get()).is_ok());
}

}  // namespace
}  // namespace seesaw::testing
