// The merge of split sequences, on slots made here: any number of pieces, empty ones, empty ranges,
// and the same bits whichever way it is computed.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <string>

#include "algorithm/online_softmax.h"
#include "gpu/gpu_fixture.h"
#include "hardware/cuda/decode_launch.h"

namespace seesaw::testing {
namespace {

using cuda::DecodeCall;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// A shape with the cuts of one division of it. Cuts stand at any block; all that matters here is
/// which ranges a sequence touches.
struct Division {
  GroupShape shape;
  std::vector<Cut> cuts;
};

/// num_pieces[s] pieces of each sequence. With `shares_ranges` the last piece of one and the first
/// of the next are in one range; else every range is of one sequence. Some ranges are empty.
Division divide(const std::vector<int>& num_pieces, int rows, int group_size, bool shares_ranges,
                double empty_ranges, Rng& rng) {
  Division division;
  GroupShape& shape = division.shape;
  shape.batch = static_cast<std::int32_t>(num_pieces.size());
  shape.heads_per_kv = rows;
  shape.group_size = group_size;
  shape.row_groups = (rows - 1) / (shape.rows_per_tile * group_size) + 1;
  shape.slots_per_range = shares_ranges ? 2 : 1;
  EXPECT_EQ(shape.row_groups, 1);  // so that a request is a sequence
  const auto is_empty = [&] { return std::bernoulli_distribution(empty_ranges)(rng); };
  division.cuts.push_back({0, 0});
  for (std::int32_t i = 0; i < shape.batch; ++i) {
    for (std::int32_t block = 1; block < num_pieces[static_cast<std::size_t>(i)]; ++block) {
      do division.cuts.push_back({i, block});
      while (is_empty());
    }
    if (!shares_ranges || i + 1 == shape.batch || is_empty()) division.cuts.push_back({i + 1, 0});
    while (i + 1 < shape.batch && is_empty()) division.cuts.push_back(division.cuts.back());
  }
  shape.num_ranges = static_cast<std::int32_t>(division.cuts.size()) - 1;
  shape.num_groups = shape.num_ranges;
  return division;
}

/// Host copies of what a merge reads, and the result that it must give.
struct Slots {
  Division division;
  int d_v = 0;
  std::int64_t slot_stride = 0;
  std::vector<float> values;                          // NaN where no kernel would have written
  std::map<int, std::vector<std::int64_t>> slots_of;  // split sequence -> slots of rank 0, in order
};

void fill_slot(Slots& slots, std::int64_t slot_idx, int num_rows, Rng& rng) {
  const GroupShape& shape = slots.division.shape;
  float* const o = slots.values.data() + slot_idx * slots.slot_stride;
  float* const m = o + std::int64_t{shape.rows_per_tile} * slots.d_v;
  float* const l = m + shape.rows_per_tile;
  std::normal_distribution<float> normal;
  for (int row = 0; row < num_rows; ++row) {
    const bool has_keys = uniform(rng, 0, 9) > 0;
    m[row] = has_keys ? 20 * normal(rng) : -kInfinity;
    l[row] = has_keys ? std::exp2(3 * normal(rng)) : 0;
    for (int d = 0; d < slots.d_v && has_keys; ++d) o[row * slots.d_v + d] = l[row] * normal(rng);
  }
}

Slots make_slots(const Division& division, int d_v, Rng& rng) {
  Slots slots{division, d_v, 0, {}, {}};
  const GroupShape& shape = division.shape;
  slots.slot_stride = std::int64_t{shape.rows_per_tile} * (d_v + 2);
  slots.values.assign(static_cast<std::size_t>(shape.num_slots() * slots.slot_stride), kNan);
  for (std::int32_t range = 0; range < shape.num_ranges; ++range) {
    const Cut begin = division.cuts[static_cast<std::size_t>(range)];
    const Cut end = division.cuts[static_cast<std::size_t>(range) + 1];
    if (begin == end) continue;
    for (int i = begin.sequence_idx; i < end.sequence_idx + (end.block_idx > 0); ++i) {
      const Piece piece = piece_in_range(shape, range, begin, end, i, 1 << 20);
      if (piece.slot_idx < 0) continue;
      slots.slots_of[i].push_back(std::int64_t{piece.slot_idx} * shape.group_size);
      for (int rank = 0; rank < shape.group_size; ++rank) {
        const RowRange rows = rows_of_rank(shape, sequence_at(shape, i), rank);
        fill_slot(slots, slots.slots_of[i].back() + rank, rows.end - rows.begin, rng);
      }
    }
  }
  return slots;
}

/// What a merge wrote: out [b, h, d_v], NaN where nothing was.
struct Outputs {
  std::vector<std::byte> out;
  std::vector<float> lse;
};

class Combine : public GpuTest {
 protected:
  Outputs merge(const Slots& slots, DType out_dtype, const std::vector<float>& sink = {}) {
    const GroupShape& shape = slots.division.shape;
    const cudaStream_t on = stream().get();
    const auto copy = [&](const auto& from) {
      DeviceBuffer buffer(std::as_bytes(std::span(from)).size());
      buffer.upload(std::as_bytes(std::span(from)), on);
      return buffer;
    };
    const DeviceBuffer cuts = copy(slots.division.cuts);
    const DeviceBuffer values = copy(slots.values);
    const DeviceBuffer sinks = copy(sink);
    const auto num_rows =
        static_cast<std::size_t>(shape.batch) * static_cast<std::size_t>(shape.heads_per_kv);
    Outputs outputs;
    outputs.out.resize(num_rows * static_cast<std::size_t>(slots.d_v) * size_bytes(out_dtype));
    outputs.lse.resize(num_rows);
    const DeviceBuffer out(outputs.out.size());
    const DeviceBuffer lse(outputs.lse.size() * sizeof(float));
    out.fill(0xff, on);
    lse.fill(0xff, on);

    DecodeCall call;
    call.shape = shape;
    call.cuts = reinterpret_cast<const Cut*>(cuts.data());
    call.slots = reinterpret_cast<float*>(values.data());
    call.slot_stride = slots.slot_stride;
    call.d_v = slots.d_v;
    call.out = out.data();
    call.out_dtype = out_dtype;
    call.out_strides = {std::int64_t{shape.heads_per_kv} * slots.d_v, 0, slots.d_v};
    call.lse = reinterpret_cast<float*>(lse.data());
    call.lse_strides = {shape.heads_per_kv, 0, 1};
    if (!sink.empty()) call.attn_sink = reinterpret_cast<const float*>(sinks.data());
    const Status status = cuda::launch_combine(call, on);
    EXPECT_TRUE(status.is_ok()) << status.message();
    out.download(outputs.out, on);
    lse.download(std::as_writable_bytes(std::span(outputs.lse)), on);
    stream().synchronize();
    return outputs;
  }

  /// Compares all rows with merges in float64.
  void check(const Slots& slots, DType out_dtype, const std::vector<float>& sink = {}) {
    const Outputs outputs = merge(slots, out_dtype, sink);
    const GroupShape& shape = slots.division.shape;
    for (int i = 0; i < shape.batch; ++i) {
      for (int head = 0; head < shape.heads_per_kv; ++head) {
        const float row_sink = sink.empty() ? -kInfinity : sink[static_cast<std::size_t>(head)];
        check_row(slots, i, head, row_sink, outputs, out_dtype);
        if (HasFatalFailure()) return;
      }
    }
  }

 private:
  static double element(const Outputs& outputs, std::size_t idx, DType dtype) {
    const std::byte* const at = outputs.out.data() + idx * size_bytes(dtype);
    if (dtype == DType::kFloat32) {
      float x = 0;
      std::memcpy(&x, at, sizeof x);
      return x;
    }
    std::uint16_t bits = 0;
    std::memcpy(&bits, at, sizeof bits);
    return dtype == DType::kBFloat16 ? static_cast<float>(BFloat16::from_bits(bits))
                                     : static_cast<float>(Float16::from_bits(bits));
  }

  static void check_row(const Slots& slots, int request, int head, float sink,
                        const Outputs& outputs, DType dtype) {
    const GroupShape& shape = slots.division.shape;
    const std::size_t row = static_cast<std::size_t>(request * shape.heads_per_kv + head);
    const std::size_t first = row * static_cast<std::size_t>(slots.d_v);
    const std::string where =
        "request " + std::to_string(request) + ", head " + std::to_string(head);
    const auto found = slots.slots_of.find(request);
    if (found == slots.slots_of.end()) {  // whole: another kernel's
      ASSERT_TRUE(std::isnan(outputs.lse[row])) << where;
      for (int d = 0; d < slots.d_v; ++d)
        ASSERT_TRUE(std::isnan(element(outputs, first + static_cast<std::size_t>(d), dtype)))
            << where;
      return;
    }
    const auto width = static_cast<std::size_t>(slots.d_v);
    algorithm::SoftmaxState<double> state;
    std::vector<double> o(width), magnitude(width), piece_o(width), piece_magnitude(width);
    for (std::int64_t slot_idx : found->second) {
      const int in_tile = head % shape.rows_per_tile;
      const float* const slot =
          slots.values.data() + (slot_idx + head / shape.rows_per_tile) * slots.slot_stride;
      const float* const m = slot + std::int64_t{shape.rows_per_tile} * slots.d_v + in_tile;
      const algorithm::SoftmaxState<double> piece{m[0], m[shape.rows_per_tile]};
      for (std::size_t d = 0; d < width; ++d) {
        piece_o[d] = slot[static_cast<std::size_t>(in_tile) * width + d];
        piece_magnitude[d] = std::abs(piece_o[d]);
      }
      algorithm::SoftmaxState<double> same = state;
      algorithm::merge<double>(same, magnitude, piece, piece_magnitude);
      algorithm::merge<double>(state, o, piece, piece_o);
    }
    const algorithm::SoftmaxResult<double> result =
        algorithm::finalize(state, static_cast<double>(sink));
    if (state.is_empty()) {
      ASSERT_EQ(outputs.lse[row], kInfinity) << where;
    } else {
      // log2 of l and the sums in it, then a product: all relative to numbers no larger than these.
      const double size = std::abs(state.m_log2) + std::abs(std::log2(state.l)) + 1;
      ASSERT_NEAR(outputs.lse[row], result.lse, 0x1p-20 * size) << where;
    }
    // Each weight is exp2 of a difference of numbers up to 100 (2^-17 absolute, 2 ulp of exp2);
    // sums of n terms lose n ulp; so do l, and the sink's part of the factor twice over.
    const double u = 0x1p-24;
    const double relative = 2 * (static_cast<double>(found->second.size()) + 40) * u + 6 * 100 * u;
    const double rounding = dtype == DType::kFloat32    ? u
                            : dtype == DType::kBFloat16 ? 0x1p-8
                                                        : 0x1p-11;
    for (int d = 0; d < slots.d_v; ++d) {
      const auto at = static_cast<std::size_t>(d);
      const double expected = result.o_factor == 0 ? 0 : o[at] * result.o_factor;
      const double error = result.o_factor == 0 ? 0
                                                : relative * magnitude[at] * result.o_factor +
                                                      rounding * std::abs(expected) + 0x1p-24;
      ASSERT_NEAR(element(outputs, first + at, dtype), expected, error) << where << ", " << d;
    }
  }
};

std::vector<int> random_pieces(Rng& rng, int count, int most) {
  std::vector<int> pieces;
  for (int i = 0; i < count; ++i) pieces.push_back(static_cast<int>(uniform(rng, 1, most)));
  return pieces;
}

TEST_F(Combine, ManySequencesOfFewPieces) {
  for (bool shares_ranges : {true, false})
    for (DType dtype : {DType::kFloat32, DType::kBFloat16, DType::kFloat16}) {
      const Division division =
          divide(random_pieces(rng(), 60, 4), 64, 1, shares_ranges, 0.1, rng());
      check(make_slots(division, 512, rng()), dtype);
    }
}

TEST_F(Combine, FewerGroupsThanRanges) {  // as fixed pieces have: blocks take several rows
  for (int most : {2, 16, 60}) {
    Division division = divide(random_pieces(rng(), 40, most), 40, 1, false, 0.3, rng());
    division.shape.num_groups = 7;
    check(make_slots(division, 128, rng()), DType::kFloat32);
  }
}

TEST_F(Combine, FewSequencesOfManyPieces) {
  for (const std::vector<int>& pieces :
       {std::vector<int>{132}, {66}, {8}, {16}, {17}, {137}, {300}, {40, 1, 90}, {1, 2, 129}}) {
    for (int rows : {1, 16, 128}) {
      const Division division =
          divide(pieces, rows, rows / 64 + (rows % 64 != 0), true, 0.1, rng());
      check(make_slots(division, 512, rng()), DType::kFloat32);
    }
  }
}

TEST_F(Combine, MoreSequencesThanAGridIsHigh) {
  Division division = divide(std::vector<int>(70'000, 2), 1, 1, true, 0, rng());
  division.shape.rows_per_tile = 1;  // 0.7 GiB less of slots; the row says where it is
  check(make_slots(division, 16, rng()), DType::kFloat32);
}

TEST_F(Combine, MorePiecesThanThreads) {  // of a block: their states are read twice
  for (const std::vector<int>& pieces : {std::vector<int>{600}, {1, 2, 1, 1, 75, 1, 2, 1, 1, 1}}) {
    Division division = divide(pieces, 3, 1, true, 0.1, rng());
    division.shape.num_groups = 1;  // so few workers that a warp takes a row's runs one by one
    check(make_slots(division, 64, rng()), DType::kFloat32);
    division.shape.num_groups = division.shape.num_ranges;
    check(make_slots(division, 64, rng()), DType::kFloat32);
  }
}

TEST_F(Combine, FewWorkers) {  // so that a warp takes all of a row, and a block several rows
  const std::vector<float> sink = {0, 5, -5, 1, 2, 3, -1, -2, -3};
  std::vector<int> pieces = {2, 3, 4, 1, 5, 9, 16, 17, 40, 70, 8, 2};
  for (int d_v : {512, 260, 640, 130}) {  // of the last one, not aligned, a block takes a row
    std::shuffle(pieces.begin(), pieces.end(), rng());
    Division division = divide(pieces, 9, 1, true, 0.1, rng());
    for (int num_groups : {1, 2, 3, 4, 6}) {
      division.shape.num_groups = num_groups;
      check(make_slots(division, d_v, rng()), DType::kBFloat16, sink);
    }
  }
}

TEST_F(Combine, FewWorkersInGroups) {  // a row's rank is another one's slot
  Division division = divide(random_pieces(rng(), 12, 5), 128, 2, true, 0.1, rng());
  division.shape.num_groups = 2;
  check(make_slots(division, 256, rng()), DType::kBFloat16);
}

TEST_F(Combine, FewerRangesThanSequences) {
  for (int most : {2, 40}) {
    std::vector<int> pieces = random_pieces(rng(), 50, 2);
    pieces.resize(120, 1);
    std::shuffle(pieces.begin(), pieces.end(), rng());
    pieces[70] = most;
    Division division = divide(pieces, 5, 1, true, 0.1, rng());
    ASSERT_LT(division.shape.num_ranges, 120);
    check(make_slots(division, 128, rng()), DType::kFloat32);
    division.shape.num_groups = 7;  // a warp takes a row
    check(make_slots(division, 256, rng()), DType::kFloat32);
  }
}

TEST_F(Combine, AnyNumberOfColumns) {
  for (int d_v : {1, 3, 4, 7, 36, 127, 128, 130, 256, 260, 576, 1024}) {
    for (const std::vector<int>& pieces : {std::vector<int>{40}, {2, 3, 1, 9, 2}}) {
      const Division division = divide(pieces, 5, 1, true, 0.2, rng());
      check(make_slots(division, d_v, rng()), DType::kBFloat16);
      check(make_slots(division, d_v, rng()), DType::kFloat32);
    }
  }
}

TEST_F(Combine, Sinks) {
  const std::vector<float> sink = {kInfinity, -kInfinity, 1e38f, -1e38f, 0, 5, -5};
  for (const std::vector<int>& pieces : {std::vector<int>{40}, {2, 3, 1, 9, 2}}) {
    const Division division = divide(pieces, 7, 1, true, 0, rng());
    check(make_slots(division, 512, rng()), DType::kFloat32, sink);
  }
}

TEST_F(Combine, BitsDoNotDependOnTheGridOrTheRun) {
  // The same pieces alone, where warps share them, and among so many sequences that a warp has all
  // of a row's, in a quarter of the columns or all.
  const int num_pieces = 37;
  const Slots alone = make_slots(divide({num_pieces}, 16, 1, false, 0, rng()), 512, rng());
  std::vector<int> pieces(100, 1);
  pieces[50] = num_pieces;
  Slots among = make_slots(divide(pieces, 16, 1, false, 0, rng()), 512, rng());
  const std::vector<std::int64_t>& to = among.slots_of.at(50);
  const std::vector<std::int64_t>& from = alone.slots_of.at(0);
  ASSERT_EQ(to.size(), from.size());
  for (std::size_t i = 0; i < to.size(); ++i) {
    std::copy_n(alone.values.begin() + from[i] * alone.slot_stride, alone.slot_stride,
                among.values.begin() + to[i] * among.slot_stride);
  }
  const Outputs expected = merge(alone, DType::kFloat32);
  for (int run = 0; run < 10; ++run) {
    EXPECT_EQ(merge(alone, DType::kFloat32).out, expected.out);
    among.division.shape.num_groups = std::array{300, 150, 30}[static_cast<std::size_t>(run % 3)];
    const Outputs outputs = merge(among, DType::kFloat32);
    const std::size_t num_bytes = expected.out.size();
    EXPECT_EQ(std::memcmp(outputs.out.data() + 50 * num_bytes, expected.out.data(), num_bytes), 0);
    EXPECT_EQ(std::memcmp(outputs.lse.data() + 50 * 16, expected.lse.data(), 16 * sizeof(float)),
              0);
  }
}

}  // namespace
}  // namespace seesaw::testing
