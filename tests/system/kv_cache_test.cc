#include "seesaw/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/allocation_hooks.h"
#include "support/seed.h"
#include "support/strided_array.h"
#include "system/kv_cache_case.h"

namespace seesaw {
namespace {

using namespace seesaw::testing;

TEST(Convert, RewritesEveryTokenAndNothingElse) {
  Rng rng = make_rng();
  for (int round = 0; round < 20; ++round) {
    Executor executor = Executor::cpu(static_cast<int>(uniform(rng, 1, 3)));
    for (const KvFormat from_format : kFormats) {
      for (const KvFormat to_format : kFormats) {
        const Shape shape = random_shape(rng);
        const std::vector<std::int64_t> dims = {shape.num_pages, shape.page_size, shape.h_kv,
                                                shape.d_qk()};
        StridedArray from = with_gaps(*plain_dtype(from_format), dims, rng);
        fill(from, rng);
        const StridedArray to = with_gaps(*plain_dtype(to_format), dims, rng);
        const Status status = convert(from.view(), from_format, to.view(), to_format, executor);
        ASSERT_TRUE(status) << status.message();
        ASSERT_TRUE(to.gaps_are_untouched());
        const std::vector<double> before = from.values();
        const std::vector<double> after = to.values();
        for (std::size_t i = 0; i < before.size(); ++i) {
          ASSERT_TRUE(same(after[i], stored(before[i], to.dtype())))
              << to_string(from_format) << " to " << to_string(to_format);
        }
      }
    }
  }
}

TEST(Convert, GivesTheSameBitsWithAnyNumberOfThreads) {
  Rng rng = make_rng();
  StridedArray from(DType::kFloat32, {7, 33, 1, 320});
  fill(from, rng);
  std::vector<double> expected;
  for (int num_threads = 1; num_threads <= 6; ++num_threads) {
    Executor executor = Executor::cpu(num_threads);
    const StridedArray to(DType::kBFloat16, {7, 33, 1, 320});
    ASSERT_TRUE(convert(from.view(), KvFormat::kFloat32, to.view(), KvFormat::kBFloat16, executor));
    const std::vector<double> values = to.values();
    if (num_threads == 1) expected = values;
    ASSERT_TRUE(std::equal(values.begin(), values.end(), expected.begin(), same));
  }
}

TEST(Convert, RefusesShapesThatDiffer) {
  Executor executor = Executor::cpu(1);
  const StridedArray from(DType::kFloat32, {2, 4, 1, 8});
  const StridedArray to(DType::kBFloat16, {2, 4, 1, 9});
  const Status status =
      convert(from.view(), KvFormat::kFloat32, to.view(), KvFormat::kBFloat16, executor);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "to.shape[3]: is 9, must be d_qk = 8");
}

// Chains of copies, as extends of one step make them: a page that one copy fills is read by a later
// one. Large enough for several threads.
TEST(CopyPages, ActAsIfMadeOneAfterTheOther) {
  Rng rng = make_rng();
  for (const KvFormat format : kFormats) {
    for (const std::int64_t page_size : {1, 13, 128}) {
      for (int num_threads = 1; num_threads <= 4; ++num_threads) {
        Executor executor = Executor::cpu(num_threads);
        StridedArray cache = with_gaps(*plain_dtype(format), {6, page_size, 2, 40}, rng);
        fill(cache, rng);
        std::vector<double> expected = cache.values();
        const auto token_elements = std::int64_t{2} * 40;
        std::vector<PageCopy> copies;
        for (int i = 0; i < 12; ++i) {
          const auto from = static_cast<std::int32_t>(uniform(rng, 0, 5));
          const auto to = static_cast<std::int32_t>((from + uniform(rng, 1, 5)) % 6);
          copies.push_back({from, to, static_cast<std::int32_t>(uniform(rng, 0, page_size))});
          std::copy_n(expected.begin() + from * page_size * token_elements,
                      copies.back().num_tokens * token_elements,
                      expected.begin() + to * page_size * token_elements);
        }
        const Status status = copy_pages(copies, cache.view(), format, executor);
        ASSERT_TRUE(status) << status.message();
        ASSERT_TRUE(cache.gaps_are_untouched());
        const std::vector<double> values = cache.values();
        ASSERT_TRUE(std::equal(values.begin(), values.end(), expected.begin(), same));
      }
    }
  }
}

TEST(CopyPages, ReportsTheFirstBadCopyAndCopiesNothing) {
  Executor executor = Executor::cpu(2);
  StridedArray cache(DType::kFloat32, {3, 4, 1, 2});
  cache.write(0, 1);
  const auto run = [&](const PageCopy& bad) {
    const std::vector<PageCopy> copies = {{0, 1, 4}, bad};
    const Status status = copy_pages(copies, cache.view(), KvFormat::kFloat32, executor);
    EXPECT_EQ(status.code(), StatusCode::kCorruptData);
    EXPECT_TRUE(std::isnan(cache.read(cache.offset({1, 0, 0, 0}))));
    return status.message();
  };
  EXPECT_EQ(run({3, 1, 1}), "copies[1].from_page: is 3, must be in [0, num_pages = 3)");
  EXPECT_EQ(run({0, -1, 1}), "copies[1].to_page: is -1, must be in [0, num_pages = 3)");
  EXPECT_EQ(run({2, 2, 1}), "copies[1].to_page: is 2, must differ from from_page");
  EXPECT_EQ(run({0, 2, 5}), "copies[1].num_tokens: is 5, must be in [0, page_size = 4]");
  EXPECT_EQ(run({0, 2, -1}), "copies[1].num_tokens: is -1, must be in [0, page_size = 4]");
  EXPECT_TRUE(copy_pages({}, cache.view(), KvFormat::kFloat32, executor));
}

// Arguments that do not fit each other.
class KvCacheArguments : public ::testing::Test {
 protected:
  std::string append_message() {
    const Status status = append(args_, format_, executor_);
    EXPECT_EQ(status.code(), expected_code_);
    for (const double value : cache_.values()) EXPECT_TRUE(std::isnan(value));
    return status.message();
  }
  void SetUp() override {
    args_ = {.latent = latent_.view(),
             .rope = rope_.view(),
             .slot_mapping = slots_view(slots_),
             .kv_cache = cache_.view()};
  }

  Executor executor_ = Executor::cpu(1);
  KvFormat format_ = KvFormat::kBFloat16;
  StatusCode expected_code_ = StatusCode::kInvalidArgument;
  StridedArray latent_{DType::kFloat32, {2, 1, 8}};
  StridedArray rope_{DType::kFloat32, {2, 1, 4}};
  StridedArray cache_{DType::kBFloat16, {3, 4, 1, 12}};
  std::vector<std::int64_t> slots_ = {0, 1};
  AppendArgs args_;
};

TEST_F(KvCacheArguments, TheCacheHasTheFormatsType) {
  format_ = KvFormat::kFloat16;
  EXPECT_EQ(append_message(), "kv_cache.dtype: is bfloat16, must be format = float16");
}

TEST_F(KvCacheArguments, QuantizedFormatsAreNotServed) {
  format_ = KvFormat::kFp8V32;
  expected_code_ = StatusCode::kUnsupported;
  EXPECT_EQ(append_message(), "format: is fp8_v32, must be float32, bfloat16 or float16");
  EXPECT_EQ(gather({}, KvFormat::kFp8V4, executor_).code(), StatusCode::kUnsupported);
  EXPECT_EQ(copy_pages({}, cache_.view(), KvFormat::kFp8PerToken, executor_).code(),
            StatusCode::kUnsupported);
  const Status status = convert(cache_.view(), KvFormat::kBFloat16, cache_.view(),
                                KvFormat::kFp8PerTensor, executor_);
  EXPECT_EQ(status.message(), "to_format: is fp8_per_tensor, must be float32, bfloat16 or float16");
}

TEST_F(KvCacheArguments, LatentAndRopeFillTheRow) {
  args_.rope.shape[2] = 3;
  EXPECT_EQ(append_message(), "rope.shape[2]: is 3, must be d_qk - d_latent = 4");
  args_.rope = {};
  EXPECT_EQ(append_message(), "latent.shape[2]: is 8, must be d_qk = 12 where rope is not given");
  args_.rope = rope_.view();
  args_.latent.shape[2] = 13;
  EXPECT_EQ(append_message(), "latent.shape[2]: is 13, must be at most d_qk = 12");
}

TEST_F(KvCacheArguments, TokensAndHeadsAgree) {
  args_.rope.shape[0] = 1;
  EXPECT_EQ(append_message(), "rope.shape[0]: is 1, must be num_tokens = 2");
  args_.rope.shape[0] = 2;
  args_.latent.shape[1] = 2;
  EXPECT_EQ(append_message(), "latent.shape[1]: is 2, must be h_kv = 1");
  args_.latent.shape[1] = 1;
  args_.slot_mapping.shape[0] = 3;
  EXPECT_EQ(append_message(), "slot_mapping.shape[0]: is 3, must be num_tokens = 2");
}

TEST_F(KvCacheArguments, TypesAreFloats) {
  args_.latent.dtype = DType::kInt32;
  EXPECT_EQ(append_message(), "latent.dtype: is int32, must be float32, bfloat16 or float16");
  args_.latent.dtype = DType::kFloat32;
  args_.rope.dtype = DType::kFloat16;
  EXPECT_EQ(append_message(), "rope.dtype: is float16, must be latent.dtype = float32");
  args_.rope.dtype = DType::kFloat32;
  args_.slot_mapping.dtype = DType::kInt32;
  EXPECT_EQ(append_message(), "slot_mapping.dtype: is int32, must be int64");
}

TEST_F(KvCacheArguments, LastStridesAreUnitAndSlotsDistinct) {
  args_.kv_cache.stride[3] = 2;
  EXPECT_EQ(append_message(), "kv_cache.stride[3]: is 2, must be 1");
  args_.kv_cache.stride[3] = 1;
  args_.kv_cache.stride[0] = 12;
  EXPECT_EQ(append_message(),
            "kv_cache.stride[0]: is 12, must not let two elements share memory (shape 3)");
}

TEST_F(KvCacheArguments, AMovedFromExecutorIsRefused) {
  const Executor moved = std::move(executor_);
  EXPECT_EQ(append_message(), "executor: is empty, must not have been moved from");
}

TEST(KvCache, NothingIsAllocated) {
  Rng rng = make_rng();
  Executor executor = Executor::cpu(2);
  const std::int64_t num_tokens = 600;  // enough for several threads
  StridedArray latent(DType::kFloat32, {num_tokens, 1, 256});
  StridedArray cache(DType::kBFloat16, {10, 64, 1, 256});
  fill(latent, rng);
  const StridedArray out(DType::kFloat32, {num_tokens, 1, 256});
  const StridedArray other(DType::kFloat16, {10, 64, 1, 256});
  std::vector<std::int64_t> slots(num_tokens);
  std::iota(slots.begin(), slots.end(), 0);
  std::vector<std::int32_t> table(10);
  std::iota(table.begin(), table.end(), 0);
  const std::vector<std::int32_t> lengths = {static_cast<std::int32_t>(num_tokens)};
  const std::vector<PageCopy> copies = {{9, 0, 64}, {1, 9, 3}};
  const std::int64_t before = num_allocations();
  ASSERT_GT(before, 0);
  const bool succeeds =
      append({.latent = latent.view(), .slot_mapping = slots_view(slots), .kv_cache = cache.view()},
             KvFormat::kBFloat16, executor) &&
      gather({.kv_cache = cache.view(),
              .block_table = {table.data(), DType::kInt32, {1, 10}},
              .cache_seqlens = ints_view(lengths),
              .out = out.view()},
             KvFormat::kBFloat16, executor) &&
      convert(cache.view(), KvFormat::kBFloat16, other.view(), KvFormat::kFloat16, executor) &&
      copy_pages(copies, cache.view(), KvFormat::kBFloat16, executor);
  EXPECT_EQ(num_allocations(), before);
  EXPECT_TRUE(succeeds);
}

// Requests of different threads share a cache and an executor, each with slots of its own.
TEST(KvCache, ThreadsMayAppendToSlotsOfTheirOwn) {
  constexpr int kThreads = 3;
  constexpr std::int64_t kTokens = 300, kDim = 192;
  Executor executor = Executor::cpu(2);
  std::vector<float> cache(static_cast<std::size_t>(kThreads * kTokens * kDim), -1);
  const TensorView view(cache.data(), DType::kFloat32, {kThreads * 10, kTokens / 10, 1, kDim});
  std::vector<std::thread> threads;
  for (int thread_idx = 0; thread_idx < kThreads; ++thread_idx) {
    threads.emplace_back([&, thread_idx] {
      const std::vector<float> latent(static_cast<std::size_t>(kTokens * kDim),
                                      static_cast<float>(thread_idx));
      std::vector<std::int64_t> slots(static_cast<std::size_t>(kTokens));
      for (std::int64_t i = 0; i < kTokens; ++i) {
        slots[static_cast<std::size_t>(i)] = i * kThreads + thread_idx;
      }
      for (int round = 0; round < 20; ++round) {
        EXPECT_TRUE(append({.latent = {latent.data(), DType::kFloat32, {kTokens, 1, kDim}},
                            .slot_mapping = slots_view(slots),
                            .kv_cache = view},
                           KvFormat::kFloat32, executor));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < cache.size(); ++i) {
    ASSERT_EQ(cache[i], static_cast<float>(i / kDim % kThreads));
  }
}

}  // namespace
}  // namespace seesaw
