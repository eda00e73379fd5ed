// The integer arithmetic under the scheduler, against definitions spelled out.
#include "scheduling/partition.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "support/seed.h"

namespace seesaw::scheduling {
namespace {

using ::seesaw::testing::make_rng;
using ::seesaw::testing::uniform;

constexpr std::int64_t kMostInt32 = 2'147'483'647;

/// begin() and end() tile [0, num_keys) in order, at granules.
void expect_tiles_the_keys(const KeyCut& cut) {
  std::int64_t next = 0;
  for (std::int64_t i = 0; i < cut.num_pieces; ++i) {
    ASSERT_EQ(cut.begin(i), next);
    ASSERT_EQ(cut.begin(i) % cut.granule, 0);
    next = cut.end(i);
    if (cut.num_keys > 0) ASSERT_GT(cut.size(i), 0);
  }
  ASSERT_EQ(next, cut.num_keys);
}

TEST(RowCut, DenseTilesAreFullButTheLast) {
  const RowCut cut{.num_rows = 40, .span = 40, .rows_per_tile = 16};
  EXPECT_EQ(cut.num_tiles(), 3);
  EXPECT_EQ(cut.row_end(0), 16);
  EXPECT_EQ(cut.row_end(16), 32);
  EXPECT_EQ(cut.row_end(32), 40);
}

TEST(RowCut, ATileStaysWithinItsSpan) {
  const RowCut cut{.num_rows = 72, .span = 24, .rows_per_tile = 16};  // three tokens of 24 heads
  EXPECT_EQ(cut.num_tiles(), 6);
  std::vector<std::int64_t> ends;
  for (std::int64_t row = 0; row < cut.num_rows; row = ends.back()) {
    ends.push_back(cut.row_end(row));
  }
  EXPECT_EQ(ends, (std::vector<std::int64_t>{16, 24, 40, 48, 64, 72}));
}

TEST(RowCut, NoRowsNoTiles) { EXPECT_EQ((RowCut{0, 0, 16}.num_tiles()), 0); }

TEST(CausalKeys, AlignToTheLastKey) {
  EXPECT_EQ(causal_keys(10, 3, 0), 8);
  EXPECT_EQ(causal_keys(10, 3, 2), 10);
  EXPECT_EQ(causal_keys(2, 5, 1), 0);  // queries before the first key see none
  EXPECT_EQ(causal_keys(2, 5, 3), 1);
  EXPECT_EQ(causal_keys(0, 5, 4), 0);
  EXPECT_EQ(causal_keys(kMostInt32, kMostInt32, kMostInt32 - 1), kMostInt32);
}

TEST(EvenCut, PiecesDifferByAGranuleAtMost) {
  auto rng = make_rng();
  for (int round = 0; round < 2000; ++round) {
    const std::int64_t granule = uniform(rng, 1, 130);
    const std::int64_t keys = uniform(rng, 0, 5000);
    const std::int64_t wanted = uniform(rng, 1, 60);
    const KeyCut cut = even_cut(keys, granule, wanted);
    ASSERT_NO_FATAL_FAILURE(expect_tiles_the_keys(cut));
    const std::int64_t granules = (keys + granule - 1) / granule;
    ASSERT_EQ(cut.num_pieces, std::max<std::int64_t>(1, std::min(wanted, granules)));
    for (std::int64_t i = 1; i + 1 < cut.num_pieces; ++i) {  // the last one may be cut short
      ASSERT_GE(cut.size(i), cut.size(i - 1));
      ASSERT_LE(cut.size(i), cut.size(0) + granule);
    }
    ASSERT_LE(cut.size(cut.num_pieces - 1), cut.size(0) + granule);
  }
}

TEST(ChunkCut, PieceIBeginsAtTheSameKeyWhateverTheLength) {
  for (std::int64_t keys = 0; keys <= 2000; ++keys) {
    const KeyCut cut = chunk_cut(keys, 16, 512);
    ASSERT_NO_FATAL_FAILURE(expect_tiles_the_keys(cut));
    ASSERT_EQ(cut.num_pieces, keys == 0 ? 1 : (keys + 511) / 512);
    for (std::int64_t i = 0; i < cut.num_pieces; ++i) ASSERT_EQ(cut.begin(i), i * 512);
  }
}

/// The most even pieces of at least min_keys, by trying all numbers of them.
std::int64_t most_pieces(std::int64_t keys, std::int64_t granule, std::int64_t min_keys) {
  std::int64_t most = 1;
  for (std::int64_t n = 2; n <= (keys + granule - 1) / granule; ++n) {
    const KeyCut cut = even_cut(keys, granule, n);
    bool large_enough = true;
    for (std::int64_t i = 0; i < n; ++i) large_enough &= cut.size(i) >= min_keys;
    if (large_enough) most = n;
  }
  return most;
}

TEST(FinestCut, MakesAsManyPiecesAsMayBe) {
  auto rng = make_rng();
  for (int round = 0; round < 3000; ++round) {
    const std::int64_t granule = uniform(rng, 1, 70);
    const std::int64_t min_keys = uniform(rng, 1, 200);
    const std::int64_t keys = uniform(rng, 0, 2000);
    const KeyCut cut = finest_cut(keys, granule, min_keys);
    ASSERT_NO_FATAL_FAILURE(expect_tiles_the_keys(cut));
    ASSERT_EQ(cut.num_pieces, most_pieces(keys, granule, min_keys))
        << "keys " << keys << " granule " << granule << " min_keys " << min_keys;
  }
}

TEST(CutPoints, AreAllGranulesThatLeaveEnoughOnBothSides) {
  auto rng = make_rng();
  for (int round = 0; round < 2000; ++round) {
    const std::int64_t granule = uniform(rng, 1, 70);
    const std::int64_t min_keys = uniform(rng, 1, 200);
    const std::int64_t keys = uniform(rng, 0, 2000);
    std::vector<std::int64_t> expected;
    for (std::int64_t key = granule; key < keys; key += granule) {
      if (key >= min_keys && keys - key >= min_keys) expected.push_back(key);
    }
    const CutPoints cuts = cut_points(keys, granule, granule, min_keys);
    std::vector<std::int64_t> actual;
    for (std::int64_t i = 1; i < cuts.num_blocks(); ++i) actual.push_back(cuts.begin(i));
    ASSERT_EQ(actual, expected);
    EXPECT_EQ(cuts.begin(0), 0);

    // Wider steps: a subset with the same first one, and none left out at the end.
    const CutPoints wide = cut_points(keys, granule, 3 * granule, min_keys);
    ASSERT_EQ(wide.count, (cuts.count + 2) / 3);
    for (std::int64_t i = 1; i < wide.num_blocks(); ++i) {
      ASSERT_EQ(wide.begin(i), cuts.begin(3 * i - 2));
    }
  }
}

TEST(CutPoints, LastBeginWithinAndLargestBlockFollowFromBegin) {
  auto rng = make_rng();
  for (int round = 0; round < 300; ++round) {
    const std::int64_t granule = uniform(rng, 1, 70);
    const std::int64_t keys = uniform(rng, 0, 2000);
    const CutPoints cuts =
        cut_points(keys, granule, granule * uniform(rng, 1, 4), uniform(rng, 1, 300));
    std::int64_t largest = 0;
    for (std::int64_t i = 0; i < cuts.num_blocks(); ++i) {
      const std::int64_t end = i + 1 == cuts.num_blocks() ? keys : cuts.begin(i + 1);
      largest = std::max(largest, end - cuts.begin(i));
    }
    ASSERT_EQ(cuts.largest_block(keys), largest);
    for (std::int64_t within = 0; within <= keys; ++within) {
      std::int64_t expected = 0;
      while (expected + 1 < cuts.num_blocks() && cuts.begin(expected + 1) <= within) ++expected;
      ASSERT_EQ(cuts.last_begin_within(within), expected);
    }
  }
}

TEST(KeyCut, HoldsTheLongestLengths) {
  for (const std::int64_t granule : {std::int64_t{1}, std::int64_t{64}, kMostInt32}) {
    for (const KeyCut& cut : {even_cut(kMostInt32, granule, kMostInt32),
                              finest_cut(kMostInt32, granule, std::int64_t{1} << 31),
                              finest_cut(kMostInt32, granule, 1000)}) {
      EXPECT_EQ(cut.begin(0), 0);
      EXPECT_EQ(cut.end(cut.num_pieces - 1), kMostInt32);
      EXPECT_GT(cut.size(cut.num_pieces - 1), 0);
    }
  }
}

}  // namespace
}  // namespace seesaw::scheduling
