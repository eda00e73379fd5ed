#include "seesaw/kv_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "support/seed.h"
#include "support/strided_array.h"
#include "system/kv_cache_case.h"

namespace seesaw {
namespace {

using namespace seesaw::testing;

struct Requests {
  std::vector<std::int32_t> lengths;
  std::vector<std::int32_t> table;  // [b, max_pages], INT_MAX where nobody may look
  std::int64_t max_pages = 0;
  std::int64_t total = 0;
};

Requests random_requests(const Shape& shape, Rng& rng) {
  Requests requests;
  requests.max_pages = uniform(rng, 0, 4);
  for (std::int64_t b = uniform(rng, 0, 5); b > 0; --b) {
    const auto length =
        static_cast<std::int32_t>(uniform(rng, 0, requests.max_pages * shape.page_size));
    requests.lengths.push_back(length);
    requests.total += length;
    for (std::int64_t i = 0; i < requests.max_pages; ++i) {
      const auto page = static_cast<std::int32_t>(uniform(rng, 0, shape.num_pages - 1));
      requests.table.push_back(
          i * shape.page_size < length ? page : std::numeric_limits<std::int32_t>::max());
    }
  }
  return requests;
}

TEST(Gather, ReadsEveryRequestsTokensInOrder) {
  Rng rng = make_rng();
  for (int round = 0; round < 40; ++round) {
    Executor executor = Executor::cpu(static_cast<int>(uniform(rng, 1, 3)));
    for (const KvFormat format : kFormats) {
      for (const KvFormat target : kFormats) {
        const Shape shape = random_shape(rng);
        StridedArray cache =
            with_gaps(*plain_dtype(format),
                      {shape.num_pages, shape.page_size, shape.h_kv, shape.d_qk()}, rng);
        fill(cache, rng);
        const Requests requests = random_requests(shape, rng);
        const auto b = static_cast<std::int64_t>(requests.lengths.size());
        const StridedArray out =
            with_gaps(*plain_dtype(target), {requests.total, shape.h_kv, shape.d_qk()}, rng);
        const Status status =
            gather({.kv_cache = cache.view(),
                    .block_table = {requests.table.data(), DType::kInt32, {b, requests.max_pages}},
                    .cache_seqlens = ints_view(requests.lengths),
                    .out = out.view()},
                   format, executor);
        ASSERT_TRUE(status) << status.message();
        ASSERT_TRUE(out.gaps_are_untouched());
        std::int64_t row = 0;
        for (std::int64_t request = 0; request < b; ++request) {
          for (std::int64_t i = 0; i < requests.lengths[static_cast<std::size_t>(request)];
               ++i, ++row) {
            const std::int64_t page = requests.table[static_cast<std::size_t>(
                request * requests.max_pages + i / shape.page_size)];
            for (std::int64_t head = 0; head < shape.h_kv; ++head) {
              for (std::int64_t d = 0; d < shape.d_qk(); ++d) {
                const double source =
                    cache.read(cache.offset({page, i % shape.page_size, head, d}));
                ASSERT_TRUE(same(out.read(out.offset({row, head, d})), stored(source, out.dtype())))
                    << to_string(format) << " to " << to_string(target) << ", request " << request
                    << ", token " << i;
              }
            }
          }
        }
      }
    }
  }
}

// Large enough that all threads take part, at shares that cut requests and pages.
TEST(Gather, GivesTheSameBitsWithAnyNumberOfThreads) {
  Rng rng = make_rng();
  const Shape shape{40, 16, 1, 256, 64};
  StridedArray cache(DType::kBFloat16, {shape.num_pages, shape.page_size, 1, shape.d_qk()});
  fill(cache, rng);
  std::vector<std::int32_t> lengths = {0, 1, 300, 0, 17, 160, 5};
  const std::int64_t total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  std::vector<std::int32_t> table(lengths.size() * 20);
  for (std::int32_t& page : table) page = static_cast<std::int32_t>(uniform(rng, 0, 39));
  std::vector<double> expected;
  for (int num_threads = 1; num_threads <= 6; ++num_threads) {
    Executor executor = Executor::cpu(num_threads);
    const StridedArray out(DType::kBFloat16, {total, 1, shape.d_qk()});
    ASSERT_TRUE(gather({.kv_cache = cache.view(),
                        .block_table = {table.data(), DType::kInt32, {7, 20}},
                        .cache_seqlens = ints_view(lengths),
                        .out = out.view()},
                       KvFormat::kBFloat16, executor));
    const std::vector<double> values = out.values();
    if (num_threads == 1) expected = values;
    ASSERT_TRUE(std::equal(values.begin(), values.end(), expected.begin(), same));
  }
}

class GatherErrors : public ::testing::Test {
 protected:
  Status run() {
    return gather({.kv_cache = cache_.view(),
                   .block_table = {table_.data(), DType::kInt32, {2, 3}},
                   .cache_seqlens = ints_view(lengths_),
                   .out = out_.view()},
                  KvFormat::kFloat32, executor_);
  }
  void expect(StatusCode code, const std::string& message) {
    const Status status = run();
    EXPECT_EQ(status.code(), code);
    EXPECT_EQ(status.message(), message);
    for (const double value : out_.values()) ASSERT_TRUE(std::isnan(value));
  }
  void SetUp() override {
    for (const std::int64_t offset : {0, 1, 2, 3}) cache_.write(offset, 1);
  }

  Executor executor_ = Executor::cpu(2);
  StridedArray cache_{DType::kFloat32, {5, 4, 1, 2}};
  StridedArray out_{DType::kFloat32, {9, 1, 2}};
  std::vector<std::int32_t> lengths_ = {4, 5};
  std::vector<std::int32_t> table_ = {0, -7, -7, 4, 1, 99};
};

TEST_F(GatherErrors, EntriesBeyondARequestAreNotLookedAt) { EXPECT_TRUE(run()); }

TEST_F(GatherErrors, AnEmptyRequestMayHaveAnyRow) {
  lengths_ = {0, 9};
  table_ = {-1, -1, -1, 2, 0, 3};
  EXPECT_TRUE(run());
}

TEST_F(GatherErrors, ReportsTheFirstBadPage) {
  table_[4] = 5;
  expect(StatusCode::kCorruptData,
         "block_table[1, 1]: is 5, must be in [0, num_pages = 5): request 1 has 5 tokens in pages "
         "of 4");
  table_[4] = -1;
  expect(StatusCode::kCorruptData,
         "block_table[1, 1]: is -1, must be in [0, num_pages = 5): request 1 has 5 tokens in pages "
         "of 4");
}

TEST_F(GatherErrors, ReportsTheFirstBadLength) {
  lengths_ = {-1, 10};
  expect(StatusCode::kCorruptData,
         "cache_seqlens[0]: is -1, must be in [0, max_pages * page_size = 12]");
  lengths_ = {4, 13};
  expect(StatusCode::kCorruptData,
         "cache_seqlens[1]: is 13, must be in [0, max_pages * page_size = 12]");
}

TEST_F(GatherErrors, TheOutputHasOneRowForEachToken) {
  lengths_ = {4, 6};
  expect(StatusCode::kInvalidArgument, "out.shape[0]: is 9, must be the sum of cache_seqlens = 10");
}

TEST(Gather, NoRequestsAreANoOp) {
  Executor executor = Executor::cpu(1);
  const StridedArray cache(DType::kFloat16, {2, 4, 1, 8});
  const Status status = gather({.kv_cache = cache.view(),
                                .block_table = {nullptr, DType::kInt32, {0, 3}},
                                .cache_seqlens = {nullptr, DType::kInt32, {0}},
                                .out = {nullptr, DType::kFloat32, {0, 1, 8}}},
                               KvFormat::kFloat16, executor);
  EXPECT_TRUE(status) << status.message();
}

}  // namespace
}  // namespace seesaw
