// Random attention calls: inputs as hostile as the contract allows, and their oracle's result.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "algorithm/reference_attention.h"
#include "seesaw/attention.h"
#include "support/seed.h"
#include "support/strided_array.h"

namespace seesaw::testing {

/// How the scores q . k of a request's keys lie, in natural units after scaling. `shift` and
/// `stddev` are CaseSpec's. A shift is made of a direction that all queries share: a rope
/// dimension where d_qk > d_v, so that V is as random as ever.
enum class ScoreShape : std::uint8_t {
  kNormal,         // normal of mean 0 and deviation `stddev`
  kDominantFirst,  // the first key stands `shift` above the others
  kDominantMiddle,
  kDominantLast,
  kRising,       // scores rise by `shift` from first to last key: the maximum always moves
  kOffset,       // all scores are moved by `shift`, which may be large and negative
  kEqualKeys,    // one key, repeated: the output is its V
  kEqualValues,  // V is the same of all keys, scores are normal (equal where d_qk = d_v)
};

enum class Layout : std::uint8_t {
  kCompact,      // row-major arrays, lse as documented
  kGaps,         // gaps between pages, tokens, heads and rows; odd alignment; lse transposed
  kAlignedGaps,  // as kGaps, but every pointer and stride is a multiple of 16 bytes
};

struct CaseSpec {
  AttentionProblem problem = {};              // batch and (prefill) s_q are set by AttentionCase
  std::vector<std::int32_t> kv_lengths = {};  // one a request; top-k: tokens it has to choose from
  std::vector<std::int32_t> q_lengths = {};   // prefill: one a request
  ScoreShape shape = ScoreShape::kNormal;
  double stddev = 1.5;
  double shift = 6;
  Layout layout = Layout::kCompact;
  std::vector<float> attn_sink = {};  // [h_q]; empty: random near 0
  double missing_indices = 0.1;       // top-k: share of -1 among a row's columns
  bool has_top_k_lengths = false;     // top-k: random ones; INT_MAX stands beyond them
};

std::string to_string(const CaseSpec& spec);

/// One call: arrays, views and expected result. Poisoned (NaN, INT_MAX): slots and pages of the
/// cache that no request references, gaps, the block table beyond a request's pages (also -1),
/// columns beyond top_k_lengths, and the outputs.
class AttentionCase {
 public:
  AttentionCase(const CaseSpec& spec, Rng& rng);

  const CaseSpec& spec() const { return spec_; }
  const AttentionProblem& problem() const { return spec_.problem; }
  std::int64_t num_rows() const;  // query tokens times heads

  /// Arguments without a workspace; lse and max_logits are given.
  DecodeArgs decode_args() const;
  PrefillArgs prefill_args() const;
  algorithm::ReferenceInputs reference_inputs() const;

  /// Computed once.
  const algorithm::ReferenceOutputs& reference() const;

  /// Outputs in the oracle's order of rows.
  std::vector<double> out() const { return out_.values(); }
  std::vector<double> lse() const;
  std::vector<double> max_logits() const { return max_logits_.values(); }
  void poison_outputs();
  bool output_gaps_are_untouched() const;

  StridedArray& q() { return q_; }
  StridedArray& kv_cache() { return kv_cache_; }
  StridedArray& block_table() { return block_table_; }
  StridedArray& indices() { return indices_; }
  StridedArray& attn_sink() { return attn_sink_; }
  StridedArray& out_array() { return out_; }
  StridedArray& lse_array() { return lse_; }
  const StridedArray& out_array() const { return out_; }
  const StridedArray& lse_array() const { return lse_; }

 private:
  /// A view's gaps: elements added to the strides of the outer dimensions under Layout::kGaps.
  StridedArray allocate(DType dtype, std::vector<std::int64_t> shape) const;
  void allocate_arrays(Rng& rng);
  void choose_pages(Rng& rng);
  void choose_indices(Rng& rng);
  void fill_queries(Rng& rng);
  void fill_keys(Rng& rng);
  void fill_key(std::size_t request, std::int64_t key, std::int64_t stream_idx, std::uint64_t seed);
  double key_shift(std::int64_t key_idx, std::int64_t num_keys) const;
  std::int64_t first_shifted_dim() const;

  CaseSpec spec_;
  std::int64_t num_tokens_ = 0;                   // query tokens
  std::vector<double> direction_;                 // [d_qk], unit: what the shift is made of
  std::vector<std::vector<std::int32_t>> pages_;  // pages of each request, in order
  std::vector<std::vector<bool>> is_referenced_;  // [request][key]
  StridedArray q_, kv_cache_, block_table_, indices_, top_k_lengths_, attn_sink_;
  StridedArray out_, lse_, max_logits_;
  mutable std::optional<algorithm::ReferenceOutputs> reference_;
};

}  // namespace seesaw::testing
