#include "seesaw/kv_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "support/seed.h"
#include "support/strided_array.h"
#include "system/kv_cache_case.h"

namespace seesaw {
namespace {

using namespace seesaw::testing;

std::vector<std::int64_t> random_slots(const Shape& shape, Rng& rng) {
  std::vector<std::int64_t> slots(static_cast<std::size_t>(shape.num_slots()));
  std::iota(slots.begin(), slots.end(), 0);
  std::shuffle(slots.begin(), slots.end(), rng);
  slots.resize(static_cast<std::size_t>(uniform(rng, 0, shape.num_slots())));
  for (std::int64_t& slot : slots) {
    if (uniform(rng, 0, 9) == 0) slot = -1;
  }
  return slots;
}

// Every value of the cache is what the last token for its slot says, or poison.
void expect_appended(const StridedArray& cache, const Shape& shape, const StridedArray& latent,
                     const StridedArray& rope, const std::vector<std::int64_t>& slots) {
  std::map<std::int64_t, std::int64_t> token_of;
  for (std::size_t i = 0; i < slots.size(); ++i) token_of[slots[i]] = static_cast<std::int64_t>(i);
  for (std::int64_t slot = 0; slot < shape.num_slots(); ++slot) {
    const auto token = token_of.find(slot);
    for (std::int64_t head = 0; head < shape.h_kv; ++head) {
      for (std::int64_t d = 0; d < shape.d_qk(); ++d) {
        const double actual =
            cache.read(cache.offset({slot / shape.page_size, slot % shape.page_size, head, d}));
        if (token == token_of.end()) {
          ASSERT_TRUE(std::isnan(actual)) << "slot " << slot << " was not to be written";
          continue;
        }
        const double source =
            d < shape.d_latent ? latent.read(latent.offset({token->second, head, d}))
                               : rope.read(rope.offset({token->second, head, d - shape.d_latent}));
        ASSERT_TRUE(same(actual, stored(source, cache.dtype())))
            << "slot " << slot << ", head " << head << ", " << d << ": " << actual << " of "
            << source;
      }
    }
  }
}

TEST(Append, WritesTokensIntoTheirSlotsAndNothingElse) {
  Rng rng = make_rng();
  for (int round = 0; round < 40; ++round) {
    Executor executor = Executor::cpu(static_cast<int>(uniform(rng, 1, 3)));
    for (const KvFormat source : kFormats) {
      for (const KvFormat format : kFormats) {
        const Shape shape = random_shape(rng);
        const DType from = *plain_dtype(source);
        const std::vector<std::int64_t> slots = random_slots(shape, rng);
        const auto num_tokens = static_cast<std::int64_t>(slots.size());
        StridedArray latent = with_gaps(from, {num_tokens, shape.h_kv, shape.d_latent}, rng);
        StridedArray rope = with_gaps(from, {num_tokens, shape.h_kv, shape.d_rope}, rng);
        fill(latent, rng);
        fill(rope, rng);
        const StridedArray cache =
            with_gaps(*plain_dtype(format),
                      {shape.num_pages, shape.page_size, shape.h_kv, shape.d_qk()}, rng);
        const bool gives_rope = shape.d_rope > 0 || uniform(rng, 0, 1) == 0;
        const Status status = append({.latent = latent.view(),
                                      .rope = gives_rope ? rope.view() : TensorView(),
                                      .slot_mapping = slots_view(slots),
                                      .kv_cache = cache.view()},
                                     format, executor);
        ASSERT_TRUE(status) << status.message();
        ASSERT_TRUE(cache.gaps_are_untouched());
        expect_appended(cache, shape, latent, rope, slots);
        ASSERT_FALSE(HasFatalFailure()) << to_string(source) << " into " << to_string(format);
      }
    }
  }
}

// Large enough that all threads take part; every slot is asked for about four times.
TEST(Append, TheLastOfSeveralTokensForASlotStays) {
  Rng rng = make_rng();
  const Shape shape{4, 64, 1, 120, 8};
  const std::int64_t num_tokens = 4 * shape.num_slots();
  StridedArray latent(DType::kFloat32, {num_tokens, 1, shape.d_latent});
  StridedArray rope(DType::kFloat32, {num_tokens, 1, shape.d_rope});
  fill(latent, rng);
  fill(rope, rng);
  std::vector<std::int64_t> slots(static_cast<std::size_t>(num_tokens));
  for (std::int64_t& slot : slots) slot = uniform(rng, -1, shape.num_slots() - 1);
  for (int num_threads = 1; num_threads <= 5; ++num_threads) {
    Executor executor = Executor::cpu(num_threads);
    const StridedArray cache(DType::kBFloat16, {4, 64, 1, shape.d_qk()});
    ASSERT_TRUE(append({.latent = latent.view(),
                        .rope = rope.view(),
                        .slot_mapping = slots_view(slots),
                        .kv_cache = cache.view()},
                       KvFormat::kBFloat16, executor));
    expect_appended(cache, shape, latent, rope, slots);
    ASSERT_FALSE(HasFatalFailure()) << num_threads << " threads";
  }
}

TEST(Append, SlotMappingMayHaveAnyStride) {
  Executor executor = Executor::cpu(1);
  const std::vector<float> latent = {1, 2, 3};
  const std::vector<std::int64_t> slots = {5, 99, 2, 99, 0};
  std::vector<float> cache(6, 0);
  const auto write = [&](const std::int64_t* first, std::int64_t stride) {
    return append({.latent = {latent.data(), DType::kFloat32, {3, 1, 1}},
                   .slot_mapping = {first, DType::kInt64, {3}, {stride}},
                   .kv_cache = {cache.data(), DType::kFloat32, {2, 3, 1, 1}}},
                  KvFormat::kFloat32, executor);
  };
  ASSERT_TRUE(write(slots.data(), 2));
  EXPECT_THAT(cache, ::testing::ElementsAre(3, 0, 2, 0, 0, 1));
  ASSERT_TRUE(write(slots.data() + 4, -2));
  EXPECT_THAT(cache, ::testing::ElementsAre(1, 0, 2, 0, 0, 3));
}

TEST(Append, ReportsTheFirstBadSlotAndWritesNothing) {
  Rng rng = make_rng();
  Executor executor = Executor::cpu(2);
  StridedArray latent(DType::kFloat32, {5, 1, 8});
  fill(latent, rng);
  const StridedArray cache(DType::kFloat32, {3, 4, 1, 8});
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t bad : {std::int64_t{12}, std::int64_t{-2}, kMost, -kMost - 1}) {
    const std::vector<std::int64_t> slots = {0, -1, 11, bad, 13};
    const Status status = append(
        {.latent = latent.view(), .slot_mapping = slots_view(slots), .kv_cache = cache.view()},
        KvFormat::kFloat32, executor);
    EXPECT_EQ(status.code(), StatusCode::kCorruptData);
    EXPECT_EQ(status.message(), "slot_mapping[3]: is " + std::to_string(bad) +
                                    ", must be -1 or in [0, num_pages * page_size = 12)");
    for (const double value : cache.values()) ASSERT_TRUE(std::isnan(value));
  }
}

TEST(Append, NoTokensAreANoOp) {
  Executor executor = Executor::cpu(1);
  const StridedArray cache(DType::kFloat16, {2, 4, 1, 8});
  for (const std::int64_t num_pages : {2, 0}) {
    TensorView view = cache.view();
    view.shape[0] = num_pages;
    if (num_pages == 0) view.data = nullptr;
    const Status status = append({.latent = {nullptr, DType::kFloat32, {0, 1, 8}},
                                  .slot_mapping = {nullptr, DType::kInt64, {0}},
                                  .kv_cache = view},
                                 KvFormat::kFloat16, executor);
    EXPECT_TRUE(status) << status.message();
  }
  for (const double value : cache.values()) EXPECT_TRUE(std::isnan(value));
}

// A pool larger than 4 GiB, or pages further apart than 1 MiB: 32-bit arithmetic would wrap.
class LargePool : public ::testing::TestWithParam<std::pair<std::int64_t, std::int64_t>> {};

TEST_P(LargePool, TokensLandWhereTheirStridesSay) {
  const auto [num_pages, page_stride] = GetParam();
  constexpr std::int64_t kPageSize = 64, kDim = 576;
  const auto num_bytes = static_cast<std::size_t>(num_pages * page_stride) * 2;
  ASSERT_GT(num_bytes, std::size_t{4} << 30);
  void* const memory = mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) GTEST_SKIP() << "no address space of " << num_bytes << " bytes";
  const TensorView cache(memory, DType::kBFloat16, {num_pages, kPageSize, 1, kDim},
                         {page_stride, kDim, kDim, 1});

  Rng rng = make_rng();
  std::vector<std::int64_t> slots = {0, num_pages * kPageSize - 1};
  // Around the places where 31 and 32 bits of bytes, and of elements, end.
  for (const std::int64_t element : {std::int64_t{1} << 30, std::int64_t{1} << 31}) {
    for (std::int64_t page = element / page_stride; page <= element / page_stride + 1; ++page) {
      if (page < num_pages) slots.push_back(page * kPageSize + uniform(rng, 0, kPageSize - 1));
    }
  }
  const auto num_tokens = static_cast<std::int64_t>(slots.size());
  StridedArray latent(DType::kFloat32, {num_tokens, 1, 512});
  StridedArray rope(DType::kFloat32, {num_tokens, 1, 64});
  fill(latent, rng);
  fill(rope, rng);
  Executor executor = Executor::cpu(2);
  const Status status = append({.latent = latent.view(),
                                .rope = rope.view(),
                                .slot_mapping = slots_view(slots),
                                .kv_cache = cache},
                               KvFormat::kBFloat16, executor);
  EXPECT_TRUE(status) << status.message();
  const auto* elements = static_cast<const BFloat16*>(memory);
  for (std::int64_t token = 0; token < num_tokens; ++token) {
    const std::int64_t slot = slots[static_cast<std::size_t>(token)];
    const std::int64_t first = slot / kPageSize * page_stride + slot % kPageSize * kDim;
    for (std::int64_t d = 0; d < kDim; ++d) {
      const double source = d < 512 ? latent.read(latent.offset({token, 0, d}))
                                    : rope.read(rope.offset({token, 0, d - 512}));
      ASSERT_TRUE(same(static_cast<float>(elements[first + d]), stored(source, cache.dtype)));
    }
  }

  // And back: each token's page as a request of its own, read up to that token.
  std::vector<std::int32_t> table, lengths;
  std::int64_t total = 0;
  for (const std::int64_t slot : slots) {
    table.push_back(static_cast<std::int32_t>(slot / kPageSize));
    lengths.push_back(static_cast<std::int32_t>(slot % kPageSize + 1));
    total += lengths.back();
  }
  const StridedArray out(DType::kBFloat16, {total, 1, kDim});
  EXPECT_TRUE(gather({.kv_cache = cache,
                      .block_table = {table.data(), DType::kInt32, {num_tokens, 1}},
                      .cache_seqlens = ints_view(lengths),
                      .out = out.view()},
                     KvFormat::kBFloat16, executor));
  std::int64_t end = 0;
  for (std::int64_t token = 0; token < num_tokens; ++token) {
    end += lengths[static_cast<std::size_t>(token)];
    EXPECT_TRUE(same(out.read(out.offset({end - 1, 0, 3})),
                     stored(latent.read(latent.offset({token, 0, 3})), cache.dtype)));
  }
  munmap(memory, num_bytes);
}

INSTANTIATE_TEST_SUITE_P(Pools, LargePool,
                         ::testing::Values(std::pair(std::int64_t{80'000}, std::int64_t{64 * 576}),
                                           std::pair(std::int64_t{5'000}, std::int64_t{700'001})));

}  // namespace
}  // namespace seesaw
