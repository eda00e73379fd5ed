#include "application/model/expanded_reference.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <numeric>
#include <string>

namespace seesaw::model {
namespace {

using Vector = std::vector<double>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

class Reference {
 public:
  Reference(const ModelSpec& spec, const NamedTensors& weights) : spec_(spec), weights_(weights) {}

  ReferenceResult run(std::span<const std::int32_t> ids);

 private:
  Vector linear(const std::string& name, const Vector& x) const;
  Vector norm(const std::string& name, Vector x, double eps) const;
  Vector mlp(const std::string& prefix, const Vector& x) const;
  double mscale(double weight) const { return 0.1 * weight * std::log(spec_.factor) + 1.0; }
  bool is_yarn() const { return spec_.rope_form != RopeForm::kPlain; }
  double frequency(std::int64_t pair) const;
  Vector rotate(Vector x, std::size_t position) const;
  std::vector<Vector> attention(const std::string& prefix, const std::vector<Vector>& x) const;
  Vector experts(const std::string& prefix, const Vector& x);
  std::vector<std::size_t> best(const Vector& values, std::int64_t count);

  const ModelSpec& spec_;
  const NamedTensors& weights_;
  double smallest_gap_ = kInfinity;
};

Vector Reference::linear(const std::string& name, const Vector& x) const {
  const NamedTensor& w = weights_.at(name + ".weight");
  const auto bias = weights_.find(name + ".bias");
  Vector y(static_cast<std::size_t>(w.shape[0]));
  for (std::size_t row = 0; row < y.size(); ++row) {
    if (bias != weights_.end()) y[row] = bias->second.values[row];
    for (std::size_t i = 0; i < x.size(); ++i)
      y[row] += double{w.values[row * x.size() + i]} * x[i];
  }
  return y;
}

Vector Reference::norm(const std::string& name, Vector x, double eps) const {
  const double mean_square =
      std::inner_product(x.begin(), x.end(), x.begin(), 0.0) / static_cast<double>(x.size());
  const NamedTensor& w = weights_.at(name + ".weight");
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= w.values[i] / std::sqrt(mean_square + eps);
  return x;
}

Vector Reference::mlp(const std::string& prefix, const Vector& x) const {
  Vector gate = linear(prefix + "gate_proj", x);
  const Vector up = linear(prefix + "up_proj", x);
  for (std::size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1.0 + std::exp(-gate[i]));
  return linear(prefix + "down_proj", gate);
}

double Reference::frequency(std::int64_t pair) const {
  const auto d = static_cast<double>(spec_.rope);
  const double plain = 1.0 / std::pow(spec_.theta, 2.0 * static_cast<double>(pair) / d);
  if (!is_yarn()) return plain;
  const auto boundary = [&](double turns) {
    const auto length = static_cast<double>(spec_.original_positions);
    return d * std::log(length / (2.0 * std::numbers::pi * turns)) / (2.0 * std::log(spec_.theta));
  };
  const double low = std::max(std::floor(boundary(spec_.beta_fast)), 0.0);
  const double high = std::min(std::ceil(boundary(spec_.beta_slow)), d - 1.0);
  const double slowed = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
  return slowed * plain / spec_.factor + (1.0 - slowed) * plain;
}

Vector Reference::rotate(Vector x, std::size_t position) const {
  const std::size_t half = x.size() / 2;
  const double length = is_yarn() ? mscale(spec_.mscale) / mscale(spec_.mscale_all_dim) : 1.0;
  for (std::size_t pair = 0; pair < half; ++pair) {
    const std::size_t a = spec_.is_interleaved ? 2 * pair : pair;
    const std::size_t b = spec_.is_interleaved ? 2 * pair + 1 : pair + half;
    const double angle = static_cast<double>(position) * frequency(static_cast<std::int64_t>(pair));
    const auto turned = std::complex<double>(x[a], x[b]) * std::polar(length, angle);
    x[a] = turned.real();
    x[b] = turned.imag();
  }
  return x;
}

/// Keys [nope + rope] and values [v] of every token and head are formed, then ordinary attention.
std::vector<Vector> Reference::attention(const std::string& prefix,
                                         const std::vector<Vector>& x) const {
  const auto at = [](const Vector& from, std::int64_t begin, std::int64_t count) {
    return Vector(from.begin() + begin, from.begin() + begin + count);
  };
  const std::int64_t q_width = spec_.nope + spec_.rope;
  std::vector<Vector> queries, latents, rotated_keys;
  for (std::size_t token = 0; token < x.size(); ++token) {
    queries.push_back(
        spec_.q_rank == 0
            ? linear(prefix + "q_proj", x[token])
            : linear(prefix + "q_b_proj",
                     norm(prefix + "q_a_layernorm", linear(prefix + "q_a_proj", x[token]), 1e-6)));
    const Vector compressed = linear(prefix + "kv_a_proj_with_mqa", x[token]);
    latents.push_back(linear(prefix + "kv_b_proj", norm(prefix + "kv_a_layernorm",
                                                        at(compressed, 0, spec_.kv_rank), 1e-6)));
    rotated_keys.push_back(rotate(at(compressed, spec_.kv_rank, spec_.rope), token));
  }
  double scale = 1.0 / std::sqrt(static_cast<double>(q_width));
  if (is_yarn()) scale *= mscale(spec_.mscale_all_dim) * mscale(spec_.mscale_all_dim);
  std::vector<Vector> out;
  for (std::size_t token = 0; token < x.size(); ++token) {
    Vector joined;
    for (std::int64_t head = 0; head < spec_.heads; ++head) {
      const Vector q_nope = at(queries[token], head * q_width, spec_.nope);
      const Vector q_rope =
          rotate(at(queries[token], head * q_width + spec_.nope, spec_.rope), token);
      const std::int64_t kv_begin = head * (spec_.nope + spec_.v);
      Vector weights;
      for (std::size_t key = 0; key <= token; ++key) {
        const Vector k_nope = at(latents[key], kv_begin, spec_.nope);
        const double score =
            std::inner_product(q_nope.begin(), q_nope.end(), k_nope.begin(), 0.0) +
            std::inner_product(q_rope.begin(), q_rope.end(), rotated_keys[key].begin(), 0.0);
        weights.push_back(std::exp(score * scale));
      }
      const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
      Vector value(static_cast<std::size_t>(spec_.v));
      for (std::size_t key = 0; key <= token; ++key) {
        const Vector v = at(latents[key], kv_begin + spec_.nope, spec_.v);
        for (std::size_t i = 0; i < v.size(); ++i) value[i] += weights[key] / sum * v[i];
      }
      joined.insert(joined.end(), value.begin(), value.end());
    }
    out.push_back(linear(prefix + "o_proj", joined));
  }
  return out;
}

std::vector<std::size_t> Reference::best(const Vector& values, std::int64_t count) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
  const auto kept = static_cast<std::size_t>(count);
  if (kept < values.size()) {
    smallest_gap_ = std::min(smallest_gap_, values[order[kept - 1]] - values[order[kept]]);
  }
  order.resize(kept);
  return order;
}

Vector Reference::experts(const std::string& prefix, const Vector& x) {
  Vector scores = linear(prefix + "gate", x);
  if (spec_.is_v3) {
    for (double& score : scores) score = 1.0 / (1.0 + std::exp(-score));
  } else {
    double sum = 0.0;
    for (double& score : scores) sum += score = std::exp(score);
    for (double& score : scores) score /= sum;
  }
  Vector choice = scores;
  if (spec_.is_v3) {
    const auto& bias = weights_.at(prefix + "gate.e_score_correction_bias").values;
    for (std::size_t i = 0; i < choice.size(); ++i) choice[i] += bias[i];
  }
  if (spec_.routing != Routing::kGreedy) {
    const std::size_t size = choice.size() / static_cast<std::size_t>(spec_.groups);
    Vector judged, only_kept(choice.size(), -kInfinity);
    for (std::size_t begin = 0; begin < choice.size(); begin += size) {
      Vector group(choice.begin() + static_cast<std::ptrdiff_t>(begin),
                   choice.begin() + static_cast<std::ptrdiff_t>(begin + size));
      std::ranges::sort(group, std::greater<>());
      judged.push_back(spec_.is_v3 ? group[0] + group[1] : group[0]);
    }
    for (const std::size_t group : best(judged, spec_.groups_per_token)) {
      for (std::size_t i = group * size; i < (group + 1) * size; ++i) only_kept[i] = choice[i];
    }
    choice = only_kept;
  }
  const auto chosen = best(choice, spec_.experts_per_token);
  double sum = 0.0;
  for (const std::size_t expert : chosen) sum += scores[expert];
  Vector out(x.size());
  if (spec_.shared_experts > 0) out = mlp(prefix + "shared_experts.", x);
  for (const std::size_t expert : chosen) {
    double weight = scores[expert] * spec_.routed_scale;
    if (spec_.is_v3 && spec_.normalizes) weight /= sum + 1e-20;
    const Vector part = mlp(prefix + "experts." + std::to_string(expert) + ".", x);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] += weight * part[i];
  }
  return out;
}

ReferenceResult Reference::run(std::span<const std::int32_t> ids) {
  const NamedTensor& table = weights_.at("model.embed_tokens.weight");
  std::vector<Vector> hidden;
  for (const std::int32_t id : ids) {
    const auto row = table.values.begin() + id * spec_.hidden;
    hidden.emplace_back(row, row + spec_.hidden);
  }
  const auto add = [](Vector& to, const Vector& from) {
    std::ranges::transform(to, from, to.begin(), std::plus<>());
  };
  for (std::int64_t layer = 0; layer < spec_.layers; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    std::vector<Vector> normed;
    for (const Vector& h : hidden) normed.push_back(norm(prefix + "input_layernorm", h, spec_.eps));
    const auto attended = attention(prefix + "self_attn.", normed);
    for (std::size_t token = 0; token < hidden.size(); ++token) {
      add(hidden[token], attended[token]);
      const Vector x = norm(prefix + "post_attention_layernorm", hidden[token], spec_.eps);
      add(hidden[token],
          spec_.is_moe_layer(layer) ? experts(prefix + "mlp.", x) : mlp(prefix + "mlp.", x));
    }
  }
  ReferenceResult result;
  for (const Vector& h : hidden) {
    const Vector row = linear(spec_.has_tied_head ? "model.embed_tokens" : "lm_head",
                              norm("model.norm", h, spec_.eps));
    result.logits.insert(result.logits.end(), row.begin(), row.end());
  }
  result.smallest_routing_gap = smallest_gap_;
  return result;
}

}  // namespace

ReferenceResult run_reference(const ModelSpec& spec, const NamedTensors& weights,
                              std::span<const std::int32_t> ids) {
  return Reference(spec, weights).run(ids);
}

}  // namespace seesaw::model
