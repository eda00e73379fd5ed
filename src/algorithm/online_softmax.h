// Online softmax: the state (m, l, o) of a query row over the keys seen so far, and its merge.
// Every backend computes these three functions, in vectors of its own; the kernels' rows, their
// splits, the combine step and the ranks of a parallel run are all one merge.
//
//   m  the largest score seen, in log2 units (score * log2 e), or any value at least near it
//   l  sum of 2^(score_log2 - m)
//   o  sum of 2^(score_log2 - m) v, [d_v]
//
// States of disjoint key sets merge to the state of their union, in any order and grouping (up to
// rounding); (m, l) = (-inf, 0) is the identity, whatever its o holds. docs/mla.md has the proof.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <numbers>
#include <span>

namespace seesaw::algorithm {

/// m and l of one row; o stays where the kernel accumulates it.
template <std::floating_point T>
struct SoftmaxState {
  T m_log2 = -std::numeric_limits<T>::infinity();
  T l = 0;

  /// No key seen: o is not to be read. Asked of l, so that a NaN score is not taken for none.
  constexpr bool is_empty() const noexcept { return l == T(0); }
};

/// Scores in log2 units are (q . k) times this.
template <std::floating_point T>
constexpr T log2_scale(T softmax_scale) noexcept {
  return softmax_scale * std::numbers::log2e_v<T>;
}

/// Raises a state's m to at least `score_log2` and returns the factor that its o is owed, in
/// [0, 1]. Exactly 1 where m stays, so that the multiplication may be skipped.
template <std::floating_point T>
inline T raise_max(SoftmaxState<T>& state, T score_log2) noexcept {
  if (!(score_log2 > state.m_log2)) return T(1);
  const T factor = std::exp2(state.m_log2 - score_log2);  // 0 from an empty state
  state.m_log2 = score_log2;
  state.l *= factor;
  return factor;
}

/// The weight of a score in a state that has been raised to it. 0 for a masked score (-inf), also
/// where m is -inf too and the difference would be NaN.
template <std::floating_point T>
inline T weight(const SoftmaxState<T>& state, T score_log2) noexcept {
  if (score_log2 == -std::numeric_limits<T>::infinity()) return T(0);
  return std::exp2(score_log2 - state.m_log2);
}

/// Merges `from` into `into`: afterwards `into` has seen both sets of keys. An empty state's o is
/// neither read nor needed.
template <std::floating_point T>
inline void merge(SoftmaxState<T>& into, std::span<T> into_o, const SoftmaxState<T>& from,
                  std::span<const T> from_o) noexcept {
  if (from.is_empty()) return;
  const bool was_empty = into.is_empty();
  const T into_factor = raise_max(into, from.m_log2);
  const T from_factor = weight(into, from.m_log2);
  into.l += from_factor * from.l;
  if (was_empty) {  // into_o may be uninitialized: 0 * NaN would stay
    for (std::size_t d = 0; d < into_o.size(); ++d) into_o[d] = from_factor * from_o[d];
  } else {
    for (std::size_t d = 0; d < into_o.size(); ++d)
      into_o[d] = into_factor * into_o[d] + from_factor * from_o[d];
  }
}

/// What a row's state becomes at the end.
template <std::floating_point T>
struct SoftmaxResult {
  T o_factor = 0;  // the output is o * o_factor; where it is 0, write 0 and do not read o
  T lse = std::numeric_limits<T>::infinity();         // natural log; +inf: no key seen
  T max_logit = -std::numeric_limits<T>::infinity();  // natural units; -inf: no key seen
};

/// 1 / l, the natural-log lse, and the attention sink (natural log, -inf for none): the output is
/// multiplied by exp(lse) / (exp(lse) + exp(sink)), lse is not. Any sink gives a factor in [0, 1]:
/// 1 for -inf and -1e38, 0 for +inf and +1e38.
template <std::floating_point T>
inline SoftmaxResult<T> finalize(const SoftmaxState<T>& state,
                                 T sink = -std::numeric_limits<T>::infinity()) noexcept {
  SoftmaxResult<T> result;
  if (state.is_empty()) return result;
  const T lse_log2 = state.m_log2 + std::log2(state.l);
  const T sink_excess = std::exp2(sink * std::numbers::log2e_v<T> - lse_log2);
  result.o_factor = T(1) / (state.l * (T(1) + sink_excess));
  result.lse = lse_log2 * std::numbers::ln2_v<T>;
  result.max_logit = state.m_log2 * std::numbers::ln2_v<T>;
  return result;
}

}  // namespace seesaw::algorithm
