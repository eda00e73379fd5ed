// Each row breaks one argument of a valid call and names what the message must say; then what is
// odd but allowed gives the same bits as the plain layout.
#include <gmock/gmock.h>

#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "system/small_call.h"

namespace seesaw::testing {
namespace {

using ::testing::HasSubstr;

Executor& shared_executor() {
  static Executor executor = Executor::cpu(2);
  return executor;
}

template <typename View>
void shift_bytes(View& view, int num_bytes) {
  using Byte = std::conditional_t<std::is_same_v<View, TensorView>, char, const char>;
  view.data = static_cast<Byte*>(view.data) + num_bytes;
}

struct BrokenRow {
  const char* name;
  CaseSpec spec;
  std::function<void(SmallCall&)> breakage;
  const char* message;
  StatusCode code = StatusCode::kInvalidArgument;
};

void PrintTo(const BrokenRow& row, std::ostream* os) { *os << row.name; }

class BrokenCall : public ::testing::TestWithParam<BrokenRow> {};

TEST_P(BrokenCall, IsRefusedWithNameActualAndExpected) {
  SmallCall call(GetParam().spec);
  const Status before = call.run(shared_executor());
  ASSERT_TRUE(before.is_ok()) << before.message();
  GetParam().breakage(call);
  const Status status = call.run(shared_executor());
  EXPECT_EQ(status.code(), GetParam().code);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();

const BrokenRow kQueryRows[] = {
    {"Absent", small_decode(), [](SmallCall& c) { c.decode.q.rank = 0; },
     "q: is not given, must be float32 [b, s_q, h_q, d_qk]"},
    {"Rank", small_decode(), [](SmallCall& c) { c.decode.q.rank = 3; },
     "q.rank: is 3, must be 4 ([b, s_q, h_q, d_qk])"},
    {"RankBeyondArray", small_decode(), [](SmallCall& c) { c.decode.q.rank = 77; },
     "q.rank: is 77, must be 4"},
    {"RankNegative", small_decode(), [](SmallCall& c) { c.decode.q.rank = -1; },
     "q.rank: is -1, must be 4"},
    {"Dtype", small_decode(), [](SmallCall& c) { c.decode.q.dtype = DType::kBFloat16; },
     "q.dtype: is bfloat16, must be problem.q_dtype = float32"},
    {"Batch", small_decode(), [](SmallCall& c) { c.decode.q.shape[0] = 4; },
     "q.shape[0]: is 4, must be b = 3"},
    {"SQ", small_decode(), [](SmallCall& c) { c.decode.q.shape[1] = 1; },
     "q.shape[1]: is 1, must be s_q = 2"},
    {"Heads", small_decode(), [](SmallCall& c) { c.decode.q.shape[2] = 8; },
     "q.shape[2]: is 8, must be h_q = 6"},
    {"Width", small_decode(), [](SmallCall& c) { c.decode.q.shape[3] = 16; },
     "q.shape[3]: is 16, must be d_qk = 24"},
    {"LastStride", small_decode(), [](SmallCall& c) { c.decode.q.stride[3] = 2; },
     "q.stride[3]: is 2, must be 1"},
    {"LastStrideNegative", small_decode(), [](SmallCall& c) { c.decode.q.stride[3] = -1; },
     "q.stride[3]: is -1, must be 1"},
    {"StrideOverflows", small_decode(), [](SmallCall& c) { c.decode.q.stride[0] = kInt64Max / 4; },
     "q.stride[0]: is 2305843009213693951, must keep every byte offset within int64"},
    {"Null", small_decode(), [](SmallCall& c) { c.decode.q.data = nullptr; },
     "q.data: is null, must point to float32 [b, s_q, h_q, d_qk]"},
    {"Misaligned", small_decode(), [](SmallCall& c) { shift_bytes(c.decode.q, 1); },
     "q.data: is 1 past a multiple of 4 bytes, must be aligned to its float32 elements"},
    {"PrefillTokens", small_prefill(), [](SmallCall& c) { c.prefill.q.shape[0] = 8; },
     "q.shape[0]: is 8, must be total_q = 7"},
    {"PrefillRank", small_prefill(), [](SmallCall& c) { c.prefill.q.rank = 4; },
     "q.rank: is 4, must be 3 ([total_q, h_q, d_qk])"},
};
INSTANTIATE_TEST_SUITE_P(Query, BrokenCall, ::testing::ValuesIn(kQueryRows),
                         [](const auto& row) { return row.param.name; });

const BrokenRow kOutputRows[] = {
    {"Absent", small_decode(), [](SmallCall& c) { c.decode.out = {}; },
     "out: is not given, must be float32 [b, s_q, h_q, d_v]"},
    {"Dtype", small_decode(), [](SmallCall& c) { c.decode.out.dtype = DType::kFloat16; },
     "out.dtype: is float16, must be problem.out_dtype = float32"},
    {"Width", small_decode(), [](SmallCall& c) { c.decode.out.shape[3] = 24; },
     "out.shape[3]: is 24, must be d_v = 16"},
    {"Null", small_decode(), [](SmallCall& c) { c.decode.out.data = nullptr; },
     "out.data: is null, must point to float32"},
    {"Misaligned", small_decode(), [](SmallCall& c) { shift_bytes(c.decode.out, 2); },
     "out.data: is 2 past a multiple of 4 bytes"},
    {"ZeroStride", small_decode(), [](SmallCall& c) { c.decode.out.stride[1] = 0; },
     "out.stride[1]: is 0, must not let two elements share memory (shape 2)"},
    {"RowsOverlap", small_decode(), [](SmallCall& c) { c.decode.out.stride[2] = 15; },
     "out.stride[2]: is 15, must not let two elements share memory (shape 6)"},
    {"RequestsOverlapHeads", small_decode(), [](SmallCall& c) { c.decode.out.stride[0] = -32; },
     "out.stride[0]: is -32, must not let two elements share memory (shape 3)"},
    {"LseDtype", small_decode(), [](SmallCall& c) { c.decode.lse.dtype = DType::kBFloat16; },
     "lse.dtype: is bfloat16, must be float32"},
    {"LseOrder", small_decode(),
     [](SmallCall& c) { std::swap(c.decode.lse.shape[1], c.decode.lse.shape[2]); },
     "lse.shape[1]: is 2, must be h_q = 6"},
    {"LseZeroStride", small_decode(), [](SmallCall& c) { c.decode.lse.stride[0] = 0; },
     "lse.stride[0]: is 0, must not let two elements share memory (shape 3)"},
    {"LseNull", small_decode(), [](SmallCall& c) { c.decode.lse.data = nullptr; },
     "lse.data: is null, must point to float32 [b, h_q, s_q]"},
    {"PrefillLse", small_prefill(), [](SmallCall& c) { c.prefill.lse.shape[0] = 6; },
     "lse.shape[0]: is 6, must be total_q = 7"},
    {"MaxLogitsRank", small_prefill(), [](SmallCall& c) { c.prefill.max_logits.rank = 1; },
     "max_logits.rank: is 1, must be 2 ([total_q, h_q])"},
    {"MaxLogitsHeads", small_prefill(), [](SmallCall& c) { c.prefill.max_logits.shape[1] = 5; },
     "max_logits.shape[1]: is 5, must be h_q = 6"},
    {"MaxLogitsOverlap", small_prefill(), [](SmallCall& c) { c.prefill.max_logits.stride[0] = 5; },
     "max_logits.stride[0]: is 5, must not let two elements share memory (shape 7)"},
};
INSTANTIATE_TEST_SUITE_P(Output, BrokenCall, ::testing::ValuesIn(kOutputRows),
                         [](const auto& row) { return row.param.name; });

const BrokenRow kCacheRows[] = {
    {"Absent", small_decode(), [](SmallCall& c) { c.decode.cache.kv_cache = {}; },
     "kv_cache: is not given, must be float32 [num_pages, page_size, h_kv, d_qk]"},
    {"Dtype", small_decode(),
     [](SmallCall& c) { c.decode.cache.kv_cache.dtype = DType::kBFloat16; },
     "kv_cache.dtype: is bfloat16, must be problem.kv_format = float32"},
    {"NegativePages", small_decode(), [](SmallCall& c) { c.decode.cache.kv_cache.shape[0] = -2; },
     "kv_cache.shape[0]: is -2, must be num_pages in [0, 2147483647]"},
    {"TooManyPages", small_decode(),
     [](SmallCall& c) { c.decode.cache.kv_cache.shape[0] = kInt64Max; },
     "must be num_pages in [0, 2147483647]"},
    {"PageSize", small_decode(), [](SmallCall& c) { c.decode.cache.kv_cache.shape[1] = 64; },
     "kv_cache.shape[1]: is 64, must be page_size = 4"},
    {"KvHeads", small_decode(), [](SmallCall& c) { c.decode.cache.kv_cache.shape[2] = 1; },
     "kv_cache.shape[2]: is 1, must be h_kv = 2"},
    {"Width", small_decode(), [](SmallCall& c) { c.decode.cache.kv_cache.shape[3] = 25; },
     "kv_cache.shape[3]: is 25, must be d_qk = 24"},
    {"LastStride", small_decode(), [](SmallCall& c) { c.decode.cache.kv_cache.stride[3] = 0; },
     "kv_cache.stride[3]: is 0, must be 1"},
    {"StridesOverflowTogether", small_decode(),
     [](SmallCall& c) {
       c.decode.cache.kv_cache.stride[0] = kInt64Max / 40;
       c.decode.cache.kv_cache.stride[1] = kInt64Max / 14;
     },
     "kv_cache.stride[1]: is 658812288346769700, must keep every byte offset within int64"},
    {"Null", small_decode(), [](SmallCall& c) { c.decode.cache.kv_cache.data = nullptr; },
     "kv_cache.data: is null"},
    {"Misaligned", small_decode(), [](SmallCall& c) { shift_bytes(c.decode.cache.kv_cache, 3); },
     "kv_cache.data: is 3 past a multiple of 4 bytes"},
    {"TableAbsent", small_decode(), [](SmallCall& c) { c.decode.cache.block_table.rank = 0; },
     "block_table: is not given, must be int32 [b, max_pages]"},
    {"TableDtype", small_decode(),
     [](SmallCall& c) { c.decode.cache.block_table.dtype = DType::kInt64; },
     "block_table.dtype: is int64, must be int32"},
    {"TableBatch", small_decode(), [](SmallCall& c) { c.decode.cache.block_table.shape[0] = 2; },
     "block_table.shape[0]: is 2, must be b = 3"},
    {"TableNarrow", small_decode(), [](SmallCall& c) { c.decode.cache.block_table.shape[1] = 2; },
     "block_table.shape[1]: is 2, must be max_pages >= 3: kv_lengths[2] = 9 tokens in pages of 4"},
    {"TableStride", small_decode(), [](SmallCall& c) { c.decode.cache.block_table.stride[1] = 2; },
     "block_table.stride[1]: is 2, must be 1"},
    {"IndicesOnDense", small_decode(),
     [](SmallCall& c) { c.decode.cache.indices = c.decode.cache.block_table; },
     "indices: is given, must not be given where problem.sparsity is dense"},
    {"TopKLengthsOnDense", small_decode(),
     [](SmallCall& c) { c.decode.cache.top_k_lengths = c.decode.cache.block_table; },
     "top_k_lengths: is given, must not be given where problem.sparsity is dense"},
    {"PrefillTableNarrow", small_prefill(),
     [](SmallCall& c) { c.prefill.cache.block_table.shape[1] = 0; },
     "block_table.shape[1]: is 0, must be max_pages >= 3"},
};
INSTANTIATE_TEST_SUITE_P(Cache, BrokenCall, ::testing::ValuesIn(kCacheRows),
                         [](const auto& row) { return row.param.name; });

const BrokenRow kSparseRows[] = {
    {"IndicesAbsent", small_top_k(), [](SmallCall& c) { c.decode.cache.indices = {}; },
     "indices: is not given, must be int32 [b, s_q, top_k]"},
    {"IndicesDtype", small_top_k(),
     [](SmallCall& c) { c.decode.cache.indices.dtype = DType::kInt64; },
     "indices.dtype: is int64, must be int32"},
    {"IndicesColumns", small_top_k(), [](SmallCall& c) { c.decode.cache.indices.shape[2] = 8; },
     "indices.shape[2]: is 8, must be top_k = 7"},
    {"IndicesStride", small_top_k(), [](SmallCall& c) { c.decode.cache.indices.stride[2] = -1; },
     "indices.stride[2]: is -1, must be 1"},
    {"IndicesNull", small_top_k(), [](SmallCall& c) { c.decode.cache.indices.data = nullptr; },
     "indices.data: is null"},
    {"LengthsShape", small_top_k(), [](SmallCall& c) { c.decode.cache.top_k_lengths.shape[0] = 2; },
     "top_k_lengths.shape[0]: is 2, must be b = 3"},
    {"LengthsDtype", small_top_k(),
     [](SmallCall& c) { c.decode.cache.top_k_lengths.dtype = DType::kFloat32; },
     "top_k_lengths.dtype: is float32, must be int32"},
    {"SinkAbsent", with_sink(small_decode()), [](SmallCall& c) { c.decode.cache.attn_sink = {}; },
     "attn_sink: is not given, must be float32 [h_q]"},
    {"SinkUnasked", small_decode(), [](SmallCall& c) { c.decode.cache.attn_sink = c.decode.lse; },
     "attn_sink: is given, must not be given where problem.has_attn_sink is false"},
    {"SinkHeads", with_sink(small_decode()),
     [](SmallCall& c) { c.decode.cache.attn_sink.shape[0] = 2; },
     "attn_sink.shape[0]: is 2, must be h_q = 6"},
};
INSTANTIATE_TEST_SUITE_P(SparseAndSink, BrokenCall, ::testing::ValuesIn(kSparseRows),
                         [](const auto& row) { return row.param.name; });

const BrokenRow kPlanRows[] = {
    {"WorkspaceSmall", small_decode(),
     [](SmallCall& c) {
       c.decode.workspace = c.decode.workspace.first(c.decode.workspace.size() - 1);
     },
     "bytes, must be >= plan.workspace_bytes = ", StatusCode::kWorkspaceTooSmall},
    {"WorkspaceNone", small_prefill(), [](SmallCall& c) { c.prefill.workspace = {}; },
     "workspace.size(): is 0 bytes, must be >= plan.workspace_bytes = ",
     StatusCode::kWorkspaceTooSmall},
    {"WorkspaceNull", small_decode(),
     [](SmallCall& c) {
       c.decode.workspace = {static_cast<std::byte*>(nullptr), c.plan.workspace_bytes};
     },
     "workspace.data(): is null"},
    {"WorkspaceMisaligned", small_decode(),
     [](SmallCall& c) {
       c.workspace = AlignedBytes(c.plan.workspace_bytes + 64);
       c.decode.workspace = c.workspace.bytes().subspan(32);
     },
     "workspace.data(): is 32 past a multiple of 64 bytes, must be 64-byte aligned"},
    {"NeverPlanned", small_decode(),
     [](SmallCall& c) {
       c.plan = {};
       c.plan.problem.batch = 0;
     },
     "plan.kernel_name: is \"\" for generic, must be as plan() set it"},
    {"OtherIsa", small_decode(), [](SmallCall& c) { c.plan.cpu_isa = CpuIsa::kAvx512Bf16; },
     "plan.kernel_name: is \"cpu_generic\" for avx512_bf16, must be as plan() set it"},
    {"LengthsLost", small_decode(), [](SmallCall& c) { c.plan.kv_lengths.pop_back(); },
     "plan.kv_lengths.size(): is 2, must be 3"},
    {"QLengthsLost", small_prefill(), [](SmallCall& c) { c.plan.q_lengths.clear(); },
     "plan.q_lengths.size(): is 0, must be 3"},
};
INSTANTIATE_TEST_SUITE_P(PlanAndWorkspace, BrokenCall, ::testing::ValuesIn(kPlanRows),
                         [](const auto& row) { return row.param.name; });

TEST(Phases, APlanOfTheOtherPhaseIsRefused) {
  SmallCall decode_call(small_decode());
  const Status as_prefill = prefill(decode_call.plan, decode_call.prefill, shared_executor());
  EXPECT_EQ(as_prefill.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(as_prefill.message(), HasSubstr("plan.problem.phase: is decode, must be prefill"));
  SmallCall prefill_call(small_prefill());
  const Status as_decode = decode(prefill_call.plan, prefill_call.decode, shared_executor());
  EXPECT_THAT(as_decode.message(), HasSubstr("plan.problem.phase: is prefill, must be decode"));
}

TEST(Executors, OneThatWasMovedFromIsRefused) {
  SmallCall call(small_decode());
  Executor executor = Executor::cpu(1);
  const Executor owner = std::move(executor);
  const Status status = call.run(executor);  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("executor: is empty, must not have been moved from"));
}

// ---- Odd, and allowed ----

struct AllowedRow {
  const char* name;
  CaseSpec spec;
  std::function<void(SmallCall&)> change;
};

void PrintTo(const AllowedRow& row, std::ostream* os) { *os << row.name; }

class AllowedCall : public ::testing::TestWithParam<AllowedRow> {};

TEST_P(AllowedCall, GivesTheSameBits) {
  SmallCall call(GetParam().spec);
  ASSERT_TRUE(call.run(shared_executor()).is_ok());
  const std::vector<double> expected = call.arrays.out();
  const std::vector<double> expected_lse = call.arrays.lse();
  call.arrays.poison_outputs();
  GetParam().change(call);
  const Status status = call.run(shared_executor());
  ASSERT_TRUE(status.is_ok()) << status.message();
  EXPECT_EQ(call.arrays.out(), expected);
  EXPECT_EQ(call.arrays.lse(), expected_lse);
}

CaseSpec one_query_token(CaseSpec spec) {
  spec.problem.s_q = 1;
  return spec;
}

const AllowedRow kAllowedRows[] = {
    {"WideTable", small_decode(), [](SmallCall&) {}},
    {"AnyStrideOfADimensionOfOne", one_query_token(small_decode()),
     [](SmallCall& c) {
       c.decode.q.stride[1] = kInt64Max;
       c.decode.out.stride[1] = 0;
       c.decode.lse.stride[2] = -kInt64Max;
     }},
    {"DummyTableOnTopK", small_top_k(),
     [](SmallCall& c) {
       c.decode.cache.block_table = ConstTensorView(nullptr, DType::kFloat32, {1, 2, 3});
     }},
    {"PointerOfAViewThatIsNotGiven", small_decode(),
     [](SmallCall& c) {
       c.decode.cache.attn_sink.data = reinterpret_cast<const void*>(std::uintptr_t{1});
       c.decode.cache.indices.data = reinterpret_cast<const void*>(std::uintptr_t{1});
     }},
    {"WorkspaceWithRoomToSpare", small_decode(),
     [](SmallCall& c) {
       c.workspace = AlignedBytes(c.plan.workspace_bytes + 4096);
       c.decode.workspace = c.workspace.bytes();
     }},
};
INSTANTIATE_TEST_SUITE_P(Views, AllowedCall, ::testing::ValuesIn(kAllowedRows),
                         [](const auto& row) { return row.param.name; });

/// The requests of a decode in reverse: pointers at the last one, negative strides.
template <typename View>
View reversed(const View& view) {
  View result = view;
  const auto last = view.step(0) * (view.dim(0) - 1);
  shift_bytes(result, static_cast<int>(last * static_cast<std::int64_t>(size_bytes(view.dtype))));
  result.stride[0] = -view.step(0);
  return result;
}

TEST(Strides, MayBeNegative) {
  SmallCall call(small_decode());
  ASSERT_TRUE(call.run(shared_executor()).is_ok());
  const std::vector<double> expected = call.arrays.out();
  const std::vector<double> expected_lse = call.arrays.lse();
  call.arrays.poison_outputs();
  const std::vector<std::int32_t> backwards(call.plan.kv_lengths.rbegin(),
                                            call.plan.kv_lengths.rend());
  ASSERT_TRUE(replan(call.plan, backwards).is_ok());
  call.workspace = AlignedBytes(call.plan.workspace_bytes);
  call.decode.workspace = call.workspace.bytes();
  call.decode.q = reversed(call.decode.q);
  call.decode.out = reversed(call.decode.out);
  call.decode.lse = reversed(call.decode.lse);
  call.decode.cache.block_table = reversed(call.decode.cache.block_table);
  const Status status = call.run(shared_executor(), DataCheck::kVerify);
  ASSERT_TRUE(status.is_ok()) << status.message();
  EXPECT_EQ(call.arrays.out(), expected);
  EXPECT_EQ(call.arrays.lse(), expected_lse);
}

TEST(Strides, OfInputsMayBeZero) {
  SmallCall call(small_decode());
  call.decode.q.stride[0] = 0;  // every request asks what request 0 does
  call.decode.q.stride[2] = 0;  // and every head what head 0 does
  ASSERT_TRUE(call.run(shared_executor()).is_ok());
  const std::vector<double> out = call.arrays.out();
  const auto d_v = static_cast<std::size_t>(call.plan.problem.d_v);
  const auto row = [&](std::size_t head) {
    const auto first = out.begin() + static_cast<std::ptrdiff_t>(head * d_v);
    return std::vector<double>(first, first + static_cast<std::ptrdiff_t>(d_v));
  };
  EXPECT_EQ(row(0), row(1));  // heads 0 to 2 share a KV head
  EXPECT_EQ(row(0), row(2));
  EXPECT_NE(row(0), row(3));
}

TEST(Lse, NeedNotBeGiven) {
  SmallCall call(small_prefill());
  ASSERT_TRUE(call.run(shared_executor()).is_ok());
  const std::vector<double> expected = call.arrays.out();
  call.arrays.poison_outputs();
  call.prefill.lse = {};
  call.prefill.max_logits = {};
  ASSERT_TRUE(call.run(shared_executor()).is_ok());
  EXPECT_EQ(call.arrays.out(), expected);
  for (const double lse : call.arrays.lse()) EXPECT_TRUE(std::isnan(lse));
}

}  // namespace
}  // namespace seesaw::testing
