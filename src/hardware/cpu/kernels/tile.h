// The CPU attention tile, once for all instruction sets: up to kMaxRows query rows against a range
// of keys, block by block, with the online softmax of docs/mla.md.
//
// Layout. Query rows stand in vector lanes. S^T = K Q^T broadcasts the words of a key (32 bits: one
// float32, or two bfloat16) straight from the page against packed queries, so scores arrive with a
// row in a lane and the softmax needs no horizontal operation. O = P^T V turns the lanes over to
// the dimensions of V and broadcasts the weights, so V too is read as it lies in the page, and O is
// row-major. A key's bytes are read from memory once for all rows of the tile.
//
// A group is kLanes rows. Arith may spread it over kParts vectors: each lane then sums every
// kParts-th word only, one broadcast of kParts words serves kParts products, and loads, which are
// as scarce as products, are halved; the words' sums are added up at the end of a key.
//
//   block of keys --scores--> s [tokens, lanes] --softmax--> p [steps, lanes] --values--> o
//
// Arith says how two 32-bit words are multiplied: FloatArith (float_arith.h) or Bf16Arith
// (bf16_arith.h). See docs/kernels/cpu_attention.md for the budget and the measurements.
#pragma once

#include "hardware/cpu/kernels/key_block.h"
#include "hardware/cpu/kernels/simd.h"
#include "hardware/cpu/kernels/tile_task.h"

namespace seesaw::cpu {
namespace {

/// 2^x for x <= 0, with 2^0 = 1 exactly, relative error under 1.5 ulp; -infinity gives 0, NaN NaN.
/// Coefficients: least maximum relative error on [-0.5, 0.5] (1.98e-9 before rounding to float32).
template <typename Vec>
SEESAW_INLINE typename Vec::Float exp2_of_nonpositive(typename Vec::Float x) {
  // NaN must survive, so x is max's second operand. 2^-152 rounds to 0.
  x = Vec::max(Vec::broadcast(-152.0f), x);
  const typename Vec::Float n = Vec::round_to_int(x);
  const typename Vec::Float f = Vec::sub(x, n);
  typename Vec::Float y = Vec::broadcast(0x1.41fbbcp-13f);
  y = Vec::fma(y, f, Vec::broadcast(0x1.5f3e52p-10f));
  y = Vec::fma(y, f, Vec::broadcast(0x1.3b2d4cp-7f));
  y = Vec::fma(y, f, Vec::broadcast(0x1.c6aee8p-5f));
  y = Vec::fma(y, f, Vec::broadcast(0x1.ebfbdcp-3f));
  y = Vec::fma(y, f, Vec::broadcast(0x1.62e430p-1f));
  y = Vec::fma(y, f, Vec::broadcast(1.0f));
  return Vec::scale_by_power(y, n);
}

template <typename Arith>
struct Tile {
  using Vec = typename Arith::Vec;
  using Float = typename Vec::Float;
  using Operand = typename Arith::Operand;
  static constexpr int kLanes = Vec::kLanes;
  static constexpr int kMaxRows = 64;
  static constexpr int kBlockTokens = Arith::kBlockTokens;
  static constexpr int kParts = Arith::kParts;
  static constexpr int kDimsPerStep = Arith::kDimsPerWord * kParts;
  static constexpr int kTokensPerStep = Arith::kDimsPerWord;  // a word of P holds as many tokens
  static constexpr int kStepsPerQuad = 4 / kTokensPerStep;
  static constexpr int kPrefetchSteps = 2 / kParts;  // steps of the scores between two prefetches
  static_assert(kBlockTokens % 4 == 0 && kMaxRows % kLanes == 0 && kLanes % Arith::kValueRows == 0);

  struct Scratch {
    std::uint32_t* q;  // [groups, num_steps, kParts, kLanes / kParts rows, kParts words]
    float* s;          // [kBlockTokens, kLanes]
    float* most;       // [kLanes]: largest score of each row in the block, before scaling
    std::uint32_t* p;  // [groups, kBlockTokens / kTokensPerStep, kLanes] words of Arith
    float* o;          // [kMaxRows, o_stride]
    float* m;          // [kMaxRows]
    float* l;          // [kMaxRows]
    float* alpha;      // [kMaxRows]: what the last block did to the rows' scale
    float* limit;      // [kMaxRows]: keys of the block that a row sees (causal)
    std::byte* rows;   // [kBlockTokens, row_bytes]: keys copied or widened
    std::size_t total_bytes;
  };

  static Scratch lay_out(std::byte* base, std::int32_t d_qk, std::int32_t d_v) {
    std::size_t offset = 0;
    const auto take = [&](std::size_t bytes) SEESAW_INLINE_LAMBDA {
      std::byte* p = base + offset;
      offset += round_up<std::size_t>(bytes, 64);
      return p;
    };
    const auto steps = static_cast<std::size_t>(num_steps(d_qk));
    Scratch x{};
    x.q = reinterpret_cast<std::uint32_t*>(take(steps * kParts * kMaxRows * 4));
    x.s = reinterpret_cast<float*>(take(std::size_t{kBlockTokens} * kLanes * 4));
    x.most = reinterpret_cast<float*>(take(kLanes * 4));
    x.p = reinterpret_cast<std::uint32_t*>(
        take(std::size_t{kBlockTokens} / kTokensPerStep * kMaxRows * 4));
    x.o = reinterpret_cast<float*>(take(static_cast<std::size_t>(o_stride(d_v)) * kMaxRows * 4));
    x.m = reinterpret_cast<float*>(take(kMaxRows * 4));
    x.l = reinterpret_cast<float*>(take(kMaxRows * 4));
    x.alpha = reinterpret_cast<float*>(take(kMaxRows * 4));
    x.limit = reinterpret_cast<float*>(take(kMaxRows * 4));
    x.rows = take(static_cast<std::size_t>(row_bytes(d_qk, d_v)) * kBlockTokens);
    x.total_bytes = offset;
    return x;
  }

  static std::size_t scratch_bytes(std::int32_t d_qk, std::int32_t d_v) {
    return lay_out(nullptr, d_qk, d_v).total_bytes;
  }

  static TileState accumulate(const TileTask& task, std::byte* scratch_base) {
    const Scratch x = lay_out(scratch_base, task.d_qk, task.d_v);
    const int num_groups = (task.num_rows + kLanes - 1) / kLanes;
    pack_queries(task, x, num_groups);
    for (int row = 0; row < num_groups * kLanes; ++row) {
      x.m[row] = -__builtin_inff();
      x.l[row] = 0;
    }
    if (task.kv_begin == task.kv_end) clear_output(task, x);

    KeyBlocks<Arith, kBlockTokens> blocks(task, block_tokens(task), x.rows,
                                          row_bytes(task.d_qk, task.d_v));
    for (bool is_first = true; blocks.next(); is_first = false) {
      const KeyBlock& block = blocks.current();
      Prefetcher next_keys(blocks.ahead());
      for (int group = 0; group < num_groups; ++group) {
        score_group(task, block, x, group, next_keys);
        update_softmax(task, block, x, group);
      }
      accumulate_values(task, block, x, is_first, next_keys);
    }
    for (int row = 0; row < task.num_rows; ++row) {
      Arith::restore_order(x.o + row * o_stride(task.d_v), o_columns(task.d_v));
    }
    return {.o = x.o, .o_stride = o_stride(task.d_v), .m_log2 = x.m, .l = x.l};
  }

  static void mix(const MixTask& task) {
    alignas(64) float tail[kLanes];
    int i = 0;
    for (; i + kLanes <= task.num_elements; i += kLanes) {
      store_as(task.dtype, task.out, i, mixed(task, i));
    }
    if (i == task.num_elements) return;
    // The last vector would write past the row: store it aside, then copy what belongs to it.
    const int rest = task.num_elements - i;
    store_as(task.dtype, tail, 0, mixed_tail(task, i, rest));
    const std::size_t bytes = task.dtype == DType::kFloat32 ? 4 : 2;
    __builtin_memcpy(static_cast<std::byte*>(task.out) + static_cast<std::size_t>(i) * bytes, tail,
                     static_cast<std::size_t>(rest) * bytes);
  }

 private:
  /// Few rows work through a block so quickly that memory sets the pace, and shorter blocks leave
  /// the L2 room for the next one; many rows pay more for o's way in and out with each block.
  static int block_tokens(const TileTask& task) {
    return task.num_rows <= 32 ? Arith::kBlockTokensFewRows : kBlockTokens;
  }

  static constexpr int num_steps(int d_qk) { return (d_qk + kDimsPerStep - 1) / kDimsPerStep; }
  /// Columns of o that are computed.
  static constexpr int o_columns(int d_v) { return round_up(d_v, Arith::kDimChunk); }
  /// Rows of 512 columns would lie 2 KiB apart and meet in four sets of the L1.
  static constexpr int o_stride(int d_v) { return o_columns(d_v) + 32; }
  /// A copied key: whole vectors of V, whole steps of K, and off the 4 KiB strides that collide in
  /// the caches.
  static constexpr int row_bytes(int d_qk, int d_v) {
    const int dims = larger(round_up(d_qk, kDimsPerStep), o_columns(d_v));
    const int bytes = round_up(dims * Arith::kElementBytes, 64);
    return bytes % 1024 == 0 ? bytes + 64 : bytes;
  }

  static void pack_queries(const TileTask& task, const Scratch& x, int num_groups) {
    constexpr int kRowsPerPart = kLanes / kParts;
    const int steps = num_steps(task.d_qk);
    for (int row = 0; row < num_groups * kLanes; ++row) {
      const int row_in_group = row % kLanes;
      std::uint32_t* packed = x.q +
                              (static_cast<std::ptrdiff_t>(row / kLanes) * steps * kParts +
                               row_in_group / kRowsPerPart) *
                                  kLanes +
                              row_in_group % kRowsPerPart * kParts;
      // The first key's place is free until the first block is fetched.
      auto* words = reinterpret_cast<std::uint32_t*>(x.rows);
      if (row == 0 || row >= task.num_rows) {
        __builtin_memset(words, 0, static_cast<std::size_t>(steps) * kParts * 4);
      }
      if (row < task.num_rows) {
        const int r = task.row_begin + row;
        const std::byte* q = task.q + r / task.group_size * task.q_token_stride +
                             r % task.group_size * task.q_head_stride;
        Arith::widen_row(q, task.q_dtype, task.d_qk, x.rows);
      }
      for (int step = 0; step < steps; ++step) {
        __builtin_memcpy(packed + static_cast<std::ptrdiff_t>(step) * kParts * kLanes,
                         words + step * kParts, kParts * 4);
      }
    }
  }

  static void clear_output(const TileTask& task, const Scratch& x) {
    const int num_elements = task.num_rows * o_stride(task.d_v);
    for (int i = 0; i < num_elements; ++i) x.o[i] = 0;
  }

  /// S^T of one group of rows and the whole block.
  static void score_group(const TileTask& task, const KeyBlock& block, const Scratch& x, int group,
                          Prefetcher& next_keys) {
    constexpr int kQuads = Arith::kScoreQuads;
    Vec::store(x.most, Vec::broadcast(-__builtin_inff()));
    const int steps = num_steps(task.d_qk);
    const std::uint32_t* q = x.q + static_cast<std::ptrdiff_t>(group) * steps * kParts * kLanes;
    for (int quad = 0; quad < block.num_quads; quad += kQuads) {
      with_constant<kQuads>(smaller(kQuads, block.num_quads - quad),
                            [&](auto n) SEESAW_INLINE_LAMBDA {
                              scores<n>(block.quads + quad, block.token_stride, q, steps,
                                        x.s + quad * 4 * kLanes, x.most, next_keys);
                            });
    }
  }

  /// s[token][row] = q . k for kQuads * 4 tokens and a group of rows; raises most[row] to them.
  template <int kQuads>
  SEESAW_NO_INLINE static void scores(const std::byte* const* quads, std::ptrdiff_t stride,
                                      const std::uint32_t* q, int steps, float* s, float* most,
                                      Prefetcher& next_keys) {
    Float acc[kQuads * 4][kParts];
    unroll<kQuads * 4>([&](auto t) SEESAW_INLINE_LAMBDA {
      unroll<kParts>([&](auto part) SEESAW_INLINE_LAMBDA { acc[t][part] = Vec::zero(); });
    });
    const std::byte* key[kQuads];
    unroll<kQuads>([&](auto i) SEESAW_INLINE_LAMBDA { key[i] = quads[i]; });
    const std::ptrdiff_t stride3 = stride * 3;

    const auto multiply = [&](int count) SEESAW_INLINE_LAMBDA {
      for (int step = 0; step < count; ++step) {
        Operand query[kParts];
        unroll<kParts>([&](auto part)
                           SEESAW_INLINE_LAMBDA { query[part] = Arith::load(q + part * kLanes); });
        unroll<kQuads>([&](auto i) SEESAW_INLINE_LAMBDA {
          unroll<4>([&](auto t) SEESAW_INLINE_LAMBDA {
            const std::byte* words = t == 0   ? key[i]
                                     : t == 1 ? key[i] + stride
                                     : t == 2 ? key[i] + stride * 2
                                              : key[i] + stride3;
            Operand k = Arith::template broadcast<kParts>(words);
            // Several products want the words in a register, not loaded once for each.
            if constexpr (kParts > 1) Arith::keep_in_register(k);
            unroll<kParts>([&](auto part) SEESAW_INLINE_LAMBDA {
              acc[i * 4 + t][part] = Arith::dot(acc[i * 4 + t][part], query[part], k);
            });
          });
        });
        q += kParts * kLanes;
        unroll<kQuads>([&](auto i) SEESAW_INLINE_LAMBDA { key[i] += kParts * 4; });
      }
    };
    int step = 0;
    for (; step + kPrefetchSteps <= steps; step += kPrefetchSteps) {
      multiply(kPrefetchSteps);
      next_keys.next_line();
    }
    multiply(steps - step);

    Float largest = Vec::load(most);
    unroll<kQuads * 4>([&](auto t) SEESAW_INLINE_LAMBDA {
      const Float score = Arith::add_parts(acc[t]);
      Vec::store(s + t * kLanes, score);
      largest = Vec::max(score, largest);
    });
    Vec::store(most, largest);
  }

  /// Online softmax of one lane group: s -> p, and (m, l, alpha) of its rows.
  SEESAW_NO_INLINE static void update_softmax(const TileTask& task, const KeyBlock& block,
                                              const Scratch& x, int group) {
    float* const s = x.s;
    const Float m_old = Vec::load(x.m + group * kLanes);
    // Scores as they are, unless some do not count (then they are masked, and scaled on the way) or
    // a scale below zero turns the largest into the smallest.
    const bool is_plain =
        block.num_tokens % 4 == 0 && task.scale_log2 > 0 && !needs_mask(task, block, group);
    const Float factor = Vec::broadcast(is_plain ? task.scale_log2 : 1.0f);
    const Float largest = is_plain
                              ? Vec::mul(Vec::load(x.most), factor)
                              : mask_and_scale(task, block, x.limit + group * kLanes, group, s);
    const Float m_new = Vec::max(largest, m_old);
    // A row that has seen no key yet: exp2(-inf - 0) = 0 where exp2(-inf - -inf) would be NaN.
    const Float m_finite = Vec::zero_if_minus_infinity(m_new);

    constexpr int kTokens = kTokensPerStep;
    std::uint32_t* p = x.p + static_cast<std::ptrdiff_t>(group) * (kBlockTokens / kTokens) * kLanes;
    // Tokens that pad the last quad weigh nothing.
    for (int t = block.num_tokens; t < block.num_quads * 4; ++t) {
      Vec::store(s + t * kLanes, Vec::broadcast(-__builtin_inff()));
    }
    const Float minus_m = Vec::sub(Vec::zero(), m_finite);
    Float l = Vec::zero();
    for (int t = 0; t < block.num_quads * 4; t += kTokens) {
      Float weight[kTokens];
      unroll<kTokens>([&](auto i) SEESAW_INLINE_LAMBDA {
        weight[i] =
            exp2_of_nonpositive<Vec>(Vec::fma(Vec::load(s + (t + i) * kLanes), factor, minus_m));
      });
      l = Vec::add(l, Arith::store_weights(p, weight));
      p += kLanes;
    }
    const Float alpha = exp2_of_nonpositive<Vec>(Vec::sub(m_old, m_finite));
    Vec::store(x.alpha + group * kLanes, alpha);
    Vec::store(x.m + group * kLanes, m_new);
    Vec::store(x.l + group * kLanes, Vec::fma(Vec::load(x.l + group * kLanes), alpha, l));
  }

  /// s *= scale_log2 in place, -infinity where a row does not see a key; returns the rows' maxima.
  SEESAW_INLINE static Float mask_and_scale(const TileTask& task, const KeyBlock& block,
                                            float* limits, int group, float* s) {
    const Float scale = Vec::broadcast(task.scale_log2);
    for (int lane = 0; lane < kLanes; ++lane) {
      const int row = task.row_begin + group * kLanes + lane;
      const std::int64_t limit =
          task.is_causal ? task.first_limit + row / task.group_size - block.kv_begin : kBlockTokens;
      limits[lane] =
          static_cast<float>(larger<std::int64_t>(0, smaller<std::int64_t>(limit, kBlockTokens)));
    }
    const Float limit = Vec::load(limits);
    Float most = Vec::broadcast(-__builtin_inff());
    for (int t = 0; t < block.num_tokens; ++t) {
      const Float score =
          Vec::keep_below(Vec::mul(Vec::load(s + t * kLanes), scale), static_cast<float>(t), limit);
      Vec::store(s + t * kLanes, score);
      most = Vec::max(score, most);
    }
    return most;
  }

  SEESAW_INLINE static bool needs_mask(const TileTask& task, const KeyBlock& block, int group) {
    if (!task.is_causal) return false;
    const int first_query = (task.row_begin + group * kLanes) / task.group_size;
    return task.first_limit + first_query < block.kv_begin + block.num_tokens;
  }

  /// O = O * alpha + P^T V for the whole block. A column chunk of V stays in L1 for all rows.
  static void accumulate_values(const TileTask& task, const KeyBlock& block, const Scratch& x,
                                bool is_first, Prefetcher& next_keys) {
    const int num_vecs = o_columns(task.d_v) / kLanes;
    const int num_slabs = (task.num_rows + Arith::kValueRows - 1) / Arith::kValueRows;
    for (int vec = 0; vec < num_vecs; vec += Arith::kValueVecs) {
      for (int slab = 0; slab < num_slabs; ++slab) {
        const int row = slab * Arith::kValueRows;
        const int group = row / kLanes;
        const bool keeps_scale =
            Vec::all_equal(Vec::load(x.alpha + group * kLanes), Vec::broadcast(1.0f));
        const Slab args{
            .quads = block.quads,
            .num_quads = block.num_quads,
            .token_stride = block.token_stride,
            .column = static_cast<std::ptrdiff_t>(vec) * kLanes * Arith::kElementBytes,
            .p = x.p +
                 static_cast<std::ptrdiff_t>(group) * (kBlockTokens / kTokensPerStep) * kLanes +
                 row % kLanes,
            .alpha = x.alpha + row,
            .o = x.o + static_cast<std::ptrdiff_t>(row) * o_stride(task.d_v) + vec * kLanes,
            .o_stride = o_stride(task.d_v),
            .start = is_first      ? Start::kZero
                     : keeps_scale ? Start::kKeep
                                   : Start::kRescale};
        if constexpr (Arith::kDimChunk == Arith::kValueVecs * kLanes) {
          values<Arith::kValueVecs>(args, next_keys);
        } else {
          with_constant<Arith::kValueVecs>(
              smaller(Arith::kValueVecs, num_vecs - vec),
              [&](auto n) SEESAW_INLINE_LAMBDA { values<n>(args, next_keys); });
        }
      }
    }
  }

  enum class Start { kZero, kKeep, kRescale };  // what becomes of O before the block is added

  struct Slab {
    const std::byte* const* quads;
    int num_quads;
    std::ptrdiff_t token_stride;
    std::ptrdiff_t column;  // bytes from the start of a key
    const std::uint32_t* p;
    const float* alpha;
    float* o;
    std::ptrdiff_t o_stride;
    Start start;
  };

  /// kValueRows rows of O, kVecs vectors wide: all keys of the block pass through registers.
  template <int kVecs>
  SEESAW_NO_INLINE static void values(const Slab& slab, Prefetcher& next_keys) {
    constexpr int kRows = Arith::kValueRows;
    Float acc[kRows][kVecs];
    unroll<kRows>([&](auto r) SEESAW_INLINE_LAMBDA {
      unroll<kVecs>([&](auto v) SEESAW_INLINE_LAMBDA {
        acc[r][v] = slab.start == Start::kZero ? Vec::zero()
                                               : Vec::load(slab.o + r * slab.o_stride + v * kLanes);
      });
    });
    if (slab.start == Start::kRescale) {
      unroll<kRows>([&](auto r) SEESAW_INLINE_LAMBDA {
        const Float alpha = Vec::broadcast(slab.alpha[r]);
        unroll<kVecs>([&](auto v) SEESAW_INLINE_LAMBDA { acc[r][v] = Vec::mul(acc[r][v], alpha); });
      });
    }
    const std::uint32_t* p = slab.p;
    const std::ptrdiff_t stride = slab.token_stride;
    const std::ptrdiff_t column = slab.column;
    for (int quad = 0; quad < slab.num_quads; ++quad) {
      const std::byte* keys = slab.quads[quad] + column;
      next_keys.next_line();
      unroll<kStepsPerQuad>([&](auto step) SEESAW_INLINE_LAMBDA {
        Operand v_words[kVecs];
        Arith::load_values(keys + step * kTokensPerStep * stride, stride, v_words);
        unroll<kRows>([&](auto r) SEESAW_INLINE_LAMBDA {
          Operand weight = Arith::template broadcast<1>(
              reinterpret_cast<const std::byte*>(p + step * kLanes + r));
          Arith::keep_in_register(weight);
          unroll<kVecs>([&](auto v) SEESAW_INLINE_LAMBDA {
            acc[r][v] = Arith::dot(acc[r][v], v_words[v], weight);
          });
        });
      });
      p += kStepsPerQuad * kLanes;
    }
    unroll<kRows>([&](auto r) SEESAW_INLINE_LAMBDA {
      unroll<kVecs>([&](auto v) SEESAW_INLINE_LAMBDA {
        Vec::store(slab.o + r * slab.o_stride + v * kLanes, acc[r][v]);
      });
    });
  }

  SEESAW_INLINE static Float mixed(const MixTask& task, int offset) {
    Float sum = Vec::mul(Vec::broadcast(task.weights[0]), Vec::load(task.sources[0] + offset));
    for (int i = 1; i < task.num_sources; ++i) {
      sum = Vec::fma(Vec::broadcast(task.weights[i]), Vec::load(task.sources[i] + offset), sum);
    }
    return sum;
  }

  SEESAW_INLINE static Float mixed_tail(const MixTask& task, int offset, int rest) {
    alignas(64) float tail[kLanes] = {};
    for (int j = 0; j < rest; ++j) {
      float sum = 0;
      for (int i = 0; i < task.num_sources; ++i)
        sum += task.weights[i] * task.sources[i][offset + j];
      tail[j] = sum;
    }
    return Vec::load(tail);
  }

  SEESAW_INLINE static void store_as(DType dtype, void* out, int offset, Float x) {
    switch (dtype) {
      case DType::kBFloat16:
        return Vec::store_bf16(static_cast<std::uint16_t*>(out) + offset, x);
      case DType::kFloat16:
        return Vec::store_f16(static_cast<std::uint16_t*>(out) + offset, x);
      default:
        return Vec::store(static_cast<float*>(out) + offset, x);
    }
  }
};

}  // namespace
}  // namespace seesaw::cpu
