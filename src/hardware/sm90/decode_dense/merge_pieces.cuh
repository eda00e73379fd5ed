// The merge of split sequences by the blocks that made their pieces: a tree, as group_plan.h says.
// A block merges when nothing else is left to do, in the shared memory that its keys have left, and
// waits for nobody: who finds that pieces are missing leaves its own in a slot and is done.
#pragma once

#include "hardware/sm90/decode_dense/epilogue.cuh"
#include "hardware/sm90/decode_dense/load.cuh"
#include "hardware/sm90/ptx/atomic.cuh"
#include "hardware/sm90/ptx/shared.cuh"
#include "hardware/sm90/ptx/thread.cuh"

namespace seesaw::sm90::decode_dense {

/// The pieces that one block merges: those that are not empty of kMergeFanIn neighbours, each
/// itself merged of `stride` ranges.
struct PieceGroup {
  int level;
  int stride;
  int first;         // piece that the first of them begins with, and the slot of what they come to
  unsigned members;  // bit i: the i-th is there

  __device__ int size() const { return __popc(members); }
};

/// That of the block's piece.
__device__ __forceinline__ PieceGroup group_of(const Pieces& pieces) {
  return {0, 1, pieces.piece_idx - pieces.piece_idx % kMergeFanIn, pieces.members};
}

/// That of what a group was merged to. By a whole warp.
__device__ __forceinline__ PieceGroup group_above(const cuda::DecodeCall& call,
                                                  const Pieces& pieces, const PieceGroup& below) {
  PieceGroup group{below.level + 1, below.stride * kMergeFanIn, 0, 0};
  group.first = below.first - below.first % (kMergeFanIn * group.stride);
  const int lane = ptx::thread() % 32;
  const int begin = min(group.first + lane * group.stride, pieces.num_pieces);
  const int end = min(begin + group.stride, pieces.num_pieces);
  const Cut* const cuts = call.cuts + pieces.first_range;
  group.members = __ballot_sync(~0u, lane < kMergeFanIn && !(cuts[begin] == cuts[end]));
  return group;
}

/// Among all slots, that of the sequence's piece, or of what begins with it.
template <typename Config>
__device__ __forceinline__ int slot_of(const Block<Config>& block, const Pieces& pieces,
                                       int piece_idx) {
  const GroupShape& shape = block.args->call.shape;
  const int range = pieces.first_range + piece_idx;
  const int slot = range * shape.slots_per_range + (piece_idx == 0 ? shape.slots_per_range - 1 : 0);
  return slot * shape.group_size + block.rank;
}

/// How many of a group are there: counted where what they come to has its slot, for a range may be
/// the first of a group at either end.
template <typename Config>
__device__ __forceinline__ std::int32_t* arrivals_of(const Block<Config>& block,
                                                     const Pieces& pieces,
                                                     const PieceGroup& group) {
  const cuda::DecodeCall& call = block.args->call;
  const int num_slots = call.shape.num_ranges * call.shape.slots_per_range * call.shape.group_size;
  return call.arrivals + group.level * num_slots + slot_of(block, pieces, group.first);
}

/// What one of the value warpgroups' threads found, in all of them.
template <typename Config>
__device__ __forceinline__ bool tell_both(const Block<Config>& block) {
  ptx::sync_two_warpgroups(kMergeBarrier);
  return __shfl_sync(~0u, ptx::load(block.base + Shared<Config>::kIsLast), 0) != 0;
}

/// Whether the group's others are in their slots already; then nobody will count any more. By both
/// value warpgroups.
template <typename Config>
__device__ __forceinline__ bool find_others(const Block<Config>& block, const Pieces& pieces,
                                            const PieceGroup& group) {
  if (ptx::thread() == 128) {
    std::int32_t* const arrivals = arrivals_of(block, pieces, group);
    const bool are_there = ptx::load_acquire(arrivals) == group.size() - 1;
    if (are_there) *arrivals = 0;
    ptx::store(block.base + Shared<Config>::kIsLast, are_there);
  }
  return tell_both(block);
}

/// Counts one that is in its slot, and notes at `is_last` (in shared memory) whether it is the last
/// of its group. By both value warpgroups.
template <typename Config>
__device__ __forceinline__ void count_piece(const Block<Config>& block, const Pieces& pieces,
                                            const PieceGroup& group, std::uint32_t is_last) {
  ptx::sync_two_warpgroups(kMergeBarrier);  // all of it is written
  if (ptx::thread() == 128) {
    const int others = group.size() - 1;
    const int before = ptx::count_around(arrivals_of(block, pieces, group), others);
    ptx::store(is_last, before == others);
  }
}

/// The block's first item is in its slot while others are to come: end_pieces looks whether it was
/// the last of its group.
template <typename Config>
__device__ __forceinline__ void count_first_piece(const Block<Config>& block) {
  const Pieces& pieces = block.lists().first_pieces;
  count_piece(block, pieces, group_of(pieces), block.base + Shared<Config>::kMergesFirst);
}

/// Counts one that is in its slot; whether it is the last. By both value warpgroups.
template <typename Config>
__device__ __forceinline__ bool is_last_piece(const Block<Config>& block, const Pieces& pieces,
                                              const PieceGroup& group) {
  count_piece(block, pieces, group, block.base + Shared<Config>::kIsLast);
  return tell_both(block);
}

// ------------------------------------------------------------------------ o in shared memory

/// The block's o, float32 [kRows, d_v], where its keys were. The 16-byte chunks of a row are
/// swizzled so that four rows do not meet in banks.
template <typename Config>
struct OutputTile {
  static constexpr int kRowBytes = Config::kValueColumns * 64 * 4;
  static constexpr int kChunks = kRowBytes / 16;  // of a row
  static_assert(kRows * kRowBytes <= 2 * Config::kStages * Config::kHalfBytes);
  std::uint32_t base;

  __device__ __forceinline__ explicit OutputTile(const Block<Config>& block)
      : base(block.base + Shared<Config>::kKeys) {}
  __device__ __forceinline__ std::uint32_t at(int row, int chunk) const {
    return base + row * kRowBytes + (chunk ^ (row & 3) * 2) * 16;
  }

  /// A value warpgroup's part.
  template <int kCount>
  __device__ __forceinline__ void put(const float (&o)[kCount], int half) const {
    const int thread = ptx::thread();
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int row = thread % 128 / 32 * 16 + thread % 32 / 4 + 8 * h;
      const std::uint32_t to = at(row, half * kChunks / 2 + thread % 4 / 2) + thread % 2 * 8;
#pragma unroll
      for (int j = 0; j < kCount / 4; ++j) {
        ptx::store((to ^ j % 4 * 32) + j / 4 * 128, o[4 * j + 2 * h], o[4 * j + 2 * h + 1]);
      }
    }
  }
};

/// What a row's sum takes, where P was.
template <typename Config>
struct RowWeights {
  static_assert((kMergeFanIn + 3) * kRows * 4 <= Config::kColumnBytes);
  std::uint32_t base;

  __device__ __forceinline__ explicit RowWeights(const Block<Config>& block)
      : base(block.base + Shared<Config>::kWeights) {}
  /// What o of a member of the group counts for; 0 where it may be anything.
  __device__ __forceinline__ std::uint32_t weight(int member, int row) const {
    return base + (member * kRows + row) * 4;
  }
  /// What the sum is multiplied by.
  __device__ __forceinline__ std::uint32_t factor(int row) const {
    return weight(kMergeFanIn, row);
  }
  /// And where it goes, from the slot's or the output's first element.
  __device__ __forceinline__ std::uint32_t offset(int row) const {
    return weight(kMergeFanIn + 1, 0) + row * 8;
  }
};

// ----------------------------------------------------------------------------------- merging
//
// This runs once in a block, and instructions that run once cost their way from memory: so there
// are few, in loops, and o stands in shared memory, for registers cannot be indexed. By both value
// warpgroups, 256 threads, numbered from 0.

/// The weights of the group's members and what the rows come to, to `slot` or, where that is -1, as
/// lse. Four lanes to a row, each with two members.
template <typename Config>
__device__ __forceinline__ void weigh_rows(const Block<Config>& block, const Item& item,
                                           const Pieces& pieces, const PieceGroup& group, int slot,
                                           int thread) {
  static_assert(kMergeFanIn == 8 && kRows == 64);
  const cuda::DecodeCall& call = block.args->call;
  const RowWeights<Config> weights(block);
  const int row = thread / 4;
  float m[2];
  float l[2];
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    const int member = thread % 4 + 4 * k;
    const bool is_there = row < item.num_rows && (group.members >> member & 1) != 0;
    const float* const states =
        call.slots +
        slot_of(block, pieces, group.first + member * group.stride) * call.slot_stride +
        std::int64_t{kRows} * call.d_v + row;
    m[k] = is_there ? __ldcg(states) : 0;
    l[k] = is_there ? __ldcg(states + kRows) : 0;
  }
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    if (l[k] == 0) m[k] = -FLT_MAX;
  }
  float most = fmaxf(m[0], m[1]);
  for (int i = 1; i < 4; i *= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, i));
  float sum = 0;
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    const float weight = l[k] == 0 ? 0 : exp2f(m[k] - most);
    ptx::store(weights.weight(thread % 4 + 4 * k, row), weight);
    sum = __fadd_rn(sum, __fmul_rn(l[k], weight));
  }
  for (int i = 1; i < 4; i *= 2) sum = __fadd_rn(sum, __shfl_xor_sync(~0u, sum, i));
  if (thread % 4 != 0 || row >= item.num_rows) return;
  float factor = 1;
  std::int64_t offset = slot * call.slot_stride + row * call.d_v;
  if (slot >= 0) {
    write_state(call, slot, row, most, sum);
  } else {
    write_lse(*block.args, item, row, most, sum);
    factor = output_factor(*block.args, item, row, most, sum);
    offset = row_offset(*block.args, item, row, call.out_strides);
  }
  ptx::store(weights.factor(row), factor);
  ptx::store(weights.offset(row), offset);
}

/// Four columns times the factor.
template <typename Element>
__device__ __forceinline__ void write_columns(Element* to, const float4& o, float factor) {
  const std::uint32_t x = ptx::pack<Element>(o.x * factor, o.y * factor);
  const std::uint32_t y = ptx::pack<Element>(o.z * factor, o.w * factor);
  *reinterpret_cast<uint2*>(to) = make_uint2(x, y);
}
__device__ __forceinline__ void write_columns(float* to, const float4& o, float factor) {
  float2* const pairs = reinterpret_cast<float2*>(to);  // an output's rows are aligned to that
  pairs[0] = make_float2(o.x * factor, o.y * factor);
  pairs[1] = make_float2(o.z * factor, o.w * factor);
}

/// The group's members on their way through shared memory, kPartRows rows at a time: a thread takes
/// four columns of eight rows, which it has copied itself, so that nobody waits for anybody.
/// kDepth: parts that there is room for behind the tile.
template <typename Config, int kDepth>
struct PieceStream {
  static constexpr int kThreadRows = 8;
  static constexpr int kStep =
      256 / OutputTile<Config>::kChunks;  // from a thread's row to its next
  static constexpr int kPartRows = kStep * kThreadRows;
  static constexpr int kPartBytes = kPartRows * OutputTile<Config>::kRowBytes;

  const Block<Config>& block;
  const Item& item;
  const Pieces& pieces;
  const PieceGroup& group;
  int kept;  // the member whose o is in the tile; -1: none
  int thread;
  int num_asked = 0;
  int part = 0;  // to be asked for next, and its members that are not in the tile
  unsigned left = 0;

  __device__ __forceinline__ int chunk() const { return thread % OutputTile<Config>::kChunks; }
  /// The thread's i-th in a part, there or not.
  __device__ __forceinline__ int row(int of_part, int i) const {
    return of_part * kPartRows + thread / OutputTile<Config>::kChunks + i * kStep;
  }
  /// The same; the item's last one again and again, where there are no more.
  __device__ __forceinline__ int row_there(int of_part, int i) const {
    return min(row(of_part, i), item.num_rows - 1);
  }
  __device__ __forceinline__ int num_parts() const { return (item.num_rows - 1) / kPartRows + 1; }
  __device__ __forceinline__ unsigned others() const {
    return group.members & ~(kept >= 0 ? 1u << kept : 0u);
  }
  __device__ __forceinline__ std::uint32_t place(int idx) const {
    return block.base + Shared<Config>::kKeys + 2 * Config::kStages * Config::kHalfBytes -
           (idx % kDepth + 1) * kPartBytes + thread * 16;
  }

  /// Asks for one more.
  __device__ __forceinline__ void ask() {
    if (left == 0) left = others();
    if (part < num_parts()) {
      const int member = __ffs(static_cast<int>(left)) - 1;
      const int slot = slot_of(block, pieces, group.first + member * group.stride);
      const cuda::DecodeCall& call = block.args->call;
      const float* const from = call.slots + slot * call.slot_stride + chunk() * 4;
      const std::uint32_t to = place(num_asked);
#pragma unroll
      for (int i = 0; i < kThreadRows; ++i) {
        ptx::copy_16_bytes(to + i * 256 * 16, from + row_there(part, i) * call.d_v, true);
      }
      left &= left - 1;
      part += left == 0;
    }
    ptx::commit_copies();
    ++num_asked;
  }

  __device__ __forceinline__ void start() {
#pragma unroll 1
    for (int i = 1; i < kDepth; ++i) ask();
  }

  /// Sums to where weigh_rows says; as float32 to `floats`, if that is not nullptr, else to the
  /// output in its type. Sums are of products that were rounded, in the order of the pieces: they
  /// do not depend on who merges.
  template <typename Element>
  __device__ __forceinline__ void sum(float* floats) {
    const OutputTile<Config> tile(block);
    const RowWeights<Config> weights(block);
    int num_taken = 0;
#pragma unroll 1
    for (int taken = 0; taken < num_parts(); ++taken) {
      float4 sum[kThreadRows] = {};
#pragma unroll 1
      for (unsigned members = group.members; members != 0; members &= members - 1) {
        const int member = __ffs(static_cast<int>(members)) - 1;
        std::uint32_t from = tile.base;
        if (member != kept) {
          ask();
          ptx::wait_for_copies_but<kDepth - 1>();
          from = place(num_taken++);
        }
#pragma unroll
        for (int i = 0; i < kThreadRows; ++i) {
          const float weight = ptx::load_float(weights.weight(member, row_there(taken, i)));
          const float4 o = ptx::load_quad(member == kept ? tile.at(row_there(taken, i), chunk())
                                                         : from + i * 256 * 16);
          if (weight == 0) continue;  // its o may be anything
          sum[i].x = __fadd_rn(sum[i].x, __fmul_rn(weight, o.x));
          sum[i].y = __fadd_rn(sum[i].y, __fmul_rn(weight, o.y));
          sum[i].z = __fadd_rn(sum[i].z, __fmul_rn(weight, o.z));
          sum[i].w = __fadd_rn(sum[i].w, __fmul_rn(weight, o.w));
        }
      }
#pragma unroll
      for (int i = 0; i < kThreadRows; ++i) {
        // Not the last row again: the slot may be one in which others still read it.
        if (row(taken, i) >= item.num_rows) break;
        const float factor = ptx::load_float(weights.factor(row_there(taken, i)));
        const std::int64_t offset =
            ptx::load_long(weights.offset(row_there(taken, i))) + chunk() * 4;
        const float4 o = factor == 0 ? float4{} : sum[i];
        if (floats != nullptr) {
          write_columns(floats + offset, o, factor);
        } else {
          write_columns(static_cast<Element*>(block.args->call.out) + offset, o, factor);
        }
      }
    }
  }
};

/// The tile's o to a slot.
template <typename Config>
__device__ __forceinline__ void write_slot(const Block<Config>& block, const Item& item,
                                           int thread) {
  const cuda::DecodeCall& call = block.args->call;
  const OutputTile<Config> tile(block);
  constexpr int kStep = 256 / OutputTile<Config>::kChunks;
  const int chunk = thread % OutputTile<Config>::kChunks;
  float* const to = call.slots + item.slot_idx * call.slot_stride + chunk * 4;
#pragma unroll 4
  for (int row = thread / OutputTile<Config>::kChunks; row < item.num_rows; row += kStep) {
    *reinterpret_cast<float4*>(to + row * call.d_v) = ptx::load_quad(tile.at(row, chunk));
  }
}

/// Merges upwards from a group that this block was the last to write to; see PieceStream.
template <typename Config, typename Element>
__device__ __forceinline__ void merge_upwards(const Block<Config>& block, const Item& item,
                                              const Pieces& pieces, PieceGroup group, int kept,
                                              int thread) {
  const cuda::DecodeCall& call = block.args->call;
#pragma unroll 1
  while (true) {
    const bool is_whole = group.first == 0 && kMergeFanIn * group.stride >= pieces.num_pieces;
    const int slot = is_whole ? -1 : slot_of(block, pieces, group.first);
    float* const floats = !is_whole                           ? call.slots
                          : call.out_dtype == DType::kFloat32 ? static_cast<float*>(call.out)
                                                              : nullptr;
    const auto merge = [&](auto stream) {
      stream.start();
      weigh_rows(block, item, pieces, group, slot, thread);
      ptx::sync_two_warpgroups(kMergeBarrier);
      stream.template sum<Element>(floats);
    };
    if (item.num_rows > kRows / 2) {
      merge(PieceStream<Config, 2>{block, item, pieces, group, kept, thread});
    } else {
      merge(PieceStream<Config, 4>{block, item, pieces, group, kept, thread});
    }
    if (is_whole) return;
    kept = -1;
    group = group_above(call, pieces, group);
    if (!is_last_piece(block, pieces, group)) return;
  }
}

/// The end of the block's last item, where that is a piece, with its o in the tile; and of its
/// first item's merge, which was put off to the block's end.
template <typename Config, typename Element>
__device__ __forceinline__ void end_pieces(const Block<Config>& block, const Item& last_item) {
  const Lists& lists = block.lists();
#pragma unroll 1
  for (bool is_first = last_item.slot_idx < 0;; is_first = true) {
    if (is_first && lists.first_pieces.num_pieces == 0) return;
    ptx::sync_two_warpgroups(kMergeBarrier);  // the tile is there, and it is known who merges
    if (is_first && ptx::load(block.base + Shared<Config>::kMergesFirst) == 0) return;
    const Item& item = is_first ? lists.items[0] : last_item;
    const Pieces& pieces = is_first ? lists.first_pieces : lists.last_pieces;
    const PieceGroup group = group_of(pieces);
    const int kept = is_first ? -1 : pieces.piece_idx - group.first;
    bool merges = is_first || find_others(block, pieces, group);
    if (!merges) {
      write_slot(block, item, ptx::thread() - 128);
      merges = is_last_piece(block, pieces, group);
    }
    if (merges)
      merge_upwards<Config, Element>(block, item, pieces, group, kept, ptx::thread() - 128);
    if (is_first) return;
  }
}

}  // namespace seesaw::sm90::decode_dense
