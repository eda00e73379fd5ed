// A plan is plain data that callers may keep, copy and edit; DataCheck::kVerify takes none that
// plan() could not have made, and an unknown DataCheck is no reason to trust it.
#include <gmock/gmock.h>

#include <functional>
#include <ostream>
#include <string>

#include "system/small_call.h"

namespace seesaw::testing {
namespace {

using ::testing::HasSubstr;

struct Damage {
  std::string name;
  std::function<void(WorkPlan&)> damage;
  std::string message;  // a fragment of it
};

void PrintTo(const Damage& damage, std::ostream* out) { *out << damage.name; }

class DamagedPlan : public ::testing::TestWithParam<Damage> {};

TEST_P(DamagedPlan, IsRefused) {
  CaseSpec spec = small_decode();
  spec.kv_lengths = {50, 0, 40};  // long enough to split
  SmallCall call(spec, {.num_splits = 2});
  ASSERT_FALSE(call.plan.combines.empty());
  Executor executor = Executor::cpu(1);
  ASSERT_TRUE(call.run(executor, DataCheck::kVerify).is_ok());
  GetParam().damage(call.plan);
  call.arrays.poison_outputs();
  const Status status = call.run(executor, DataCheck::kVerify);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
  for (const double x : call.arrays.out()) EXPECT_TRUE(std::isnan(x));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, DamagedPlan,
    ::testing::Values(
        Damage{"Request", [](WorkPlan& plan) { plan.items[0].request_idx = 99; },
               "plan.items[0].request_idx: is 99"},
        Damage{"KvHead", [](WorkPlan& plan) { plan.items[0].kv_head_idx = -1; },
               "plan.items[0].kv_head_idx: is -1"},
        Damage{"RowEnd", [](WorkPlan& plan) { plan.items[0].row_end = 100'000; },
               "plan.items[0].row_end: is 100000"},
        Damage{"KvEnd", [](WorkPlan& plan) { plan.items[0].kv_end = 100'000; },
               "plan.items[0].kv_end: is 100000"},
        Damage{"Slot", [](WorkPlan& plan) { plan.items[0].slot_idx = plan.num_slots; },
               "plan.items[0].slot_idx: is"},
        Damage{"Workers", [](WorkPlan& plan) { plan.worker_begin.back() = 5000; },
               "plan.worker_begin.back(): is 5000"},
        Damage{"WorkersFall", [](WorkPlan& plan) { plan.worker_begin[1] = -3; },
               "plan.worker_begin[1]: is -3"},
        Damage{"Scratch", [](WorkPlan& plan) { plan.scratch_offset = std::size_t{1} << 60; },
               "plan.scratch_offset: is"},
        Damage{"ScratchStride", [](WorkPlan& plan) { plan.scratch_stride = std::size_t{1} << 60; },
               "plan.scratch_offset: is"},
        Damage{"SlotStride", [](WorkPlan& plan) { plan.slot_stride = 64; }, "plan.slot_stride: is"},
        Damage{"NumSplits", [](WorkPlan& plan) { plan.combines[0].num_splits = 1000; },
               "plan.combines[0].num_splits: is 1000"},
        Damage{"SlotBegin", [](WorkPlan& plan) { plan.combines[0].slot_begin = plan.num_slots; },
               "plan.combines[0].slot_begin: is"},
        Damage{"RowsLeftOut", [](WorkPlan& plan) { plan.combines.clear(); }, "plan.items: is"}),
    [](const auto& damage) { return damage.param.name; });

TEST(UnknownDataCheck, IsRefused) {
  SmallCall call(small_decode());
  Executor executor = Executor::cpu(1);
  const Status status = call.run(executor, static_cast<DataCheck>(9));
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("check: is no DataCheck"));
}

TEST(TensorViewOfTooManyDims, KeepsWithinItselfAndIsRefused) {
  float x = 0;
  const ConstTensorView view(&x, DType::kFloat32, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
  EXPECT_EQ(view.rank, 12);
  EXPECT_EQ(view.num_elements(), 1);
  const ConstTensorView strides(&x, DType::kFloat32, {1, 2}, {1, 1, 1, 1, 1, 1, 1, 1});
  EXPECT_EQ(strides.rank, -1);
  const std::int64_t large = std::int64_t{1} << 40;
  EXPECT_EQ(ConstTensorView(&x, DType::kFloat32, {large, large, large}).num_elements(), 0);

  SmallCall call(small_decode());
  Executor executor = Executor::cpu(1);
  call.decode.q = ConstTensorView(&x, DType::kFloat32, {1, 1, 1, 1, 1, 1, 1});
  EXPECT_THAT(call.run(executor).message(), HasSubstr("q"));
}

TEST(ResultOfAnOkStatus, IsAnInternalError) {
  const Result<int> result(Status::ok());
  EXPECT_FALSE(result.is_ok());
  EXPECT_EQ(result.status().code(), StatusCode::kInternal);
  EXPECT_THROW(static_cast<void>(result.value()), Error);
}

}  // namespace
}  // namespace seesaw::testing
