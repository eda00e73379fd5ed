#include "hardware/cpu/launch.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <thread>

#include "algorithm/online_softmax.h"
#include "hardware/cpu/kernels/tile_task.h"
#include "hardware/cpu/relax_core.h"

namespace seesaw::cpu {
namespace {

using State = algorithm::SoftmaxState<float>;

/// Keys between split points: whole quads, and few enough that a short cache divides evenly.
constexpr std::int32_t kGranuleTokens = 16;
/// Partial results that one pass of the merge reads.
constexpr int kMaxMixSources = 64;
/// Looks at a flag before the core is offered to others: the awaited thread may need it.
constexpr int kLooksPerYield = 64;

const TileKernels* kernels_of(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kGeneric:
      return kGenericKernels;
    case CpuIsa::kAvx2:
      return kAvx2Kernels;
    case CpuIsa::kAvx512:
      return kAvx512Kernels;
    case CpuIsa::kAvx512Bf16:
      return kAvx512Bf16Kernels;
  }
  return nullptr;
}

/// The stride of a dimension in bytes; 0 where it is never taken, for then it may be any number.
std::int64_t step_bytes(const ConstTensorView& view, int dim) {
  return view.dim(dim) <= 1 ? 0
                            : view.step(dim) * static_cast<std::int64_t>(size_bytes(view.dtype));
}

/// A partial result in the workspace; the layout is WorkPlan's.
struct Slot {
  float* o = nullptr;  // [rows_per_tile, d_v]
  float* m_log2 = nullptr;
  float* l = nullptr;
};

/// One launch: shared by the workers, written by none but through the outputs.
class Launch {
 public:
  Launch(const WorkPlan& plan, const AttentionArgs& args)
      : plan_(plan), args_(args), kernels_(*kernels_of(plan.cpu_isa)) {}

  void run_items(int worker_idx) const {
    const auto worker = static_cast<std::size_t>(worker_idx);
    std::byte* scratch = args_.workspace + plan_.scratch_offset + worker * plan_.scratch_stride;
    for (std::int32_t i = plan_.worker_begin[worker]; i < plan_.worker_begin[worker + 1]; ++i) {
      run_item(plan_.items[static_cast<std::size_t>(i)], scratch);
    }
  }

  /// Merges share `share_idx` of `num_shares` equal shares of all split rows.
  void run_combines(int share_idx, int num_shares) const {
    std::int64_t num_rows = 0;
    for (const CombineItem& item : plan_.combines) num_rows += item.row_end - item.row_begin;
    const std::int64_t begin = num_rows * share_idx / num_shares;
    const std::int64_t end = num_rows * (share_idx + 1) / num_shares;
    std::int64_t first = 0;  // number of the item's first row
    for (const CombineItem& item : plan_.combines) {
      const std::int32_t count = item.row_end - item.row_begin;
      const auto from =
          static_cast<std::int32_t>(std::clamp<std::int64_t>(begin - first, 0, count));
      const auto to = static_cast<std::int32_t>(std::clamp<std::int64_t>(end - first, 0, count));
      for (std::int32_t row = from; row < to; ++row) combine_row(item, row);
      first += count;
    }
  }

 private:
  const AttentionProblem& problem() const { return plan_.problem; }

  /// Query heads of a KV head: one or more, for plan() takes no other problem.
  std::int64_t group_size() const { return problem().h_q / problem().h_kv; }

  Slot slot(std::int32_t slot_idx) const {
    auto* base = reinterpret_cast<float*>(args_.workspace + plan_.slots_offset +
                                          static_cast<std::size_t>(slot_idx) * plan_.slot_stride);
    const std::int64_t o_size = plan_.rows_per_tile * problem().d_v;
    return {.o = base, .m_log2 = base + o_size, .l = base + o_size + plan_.rows_per_tile};
  }

  /// Offset of a request in an array with these strides (elements).
  std::int64_t request_offset(std::int32_t request_idx, std::int64_t request_stride,
                              std::int64_t token_stride) const {
    return args_.q_starts.empty()
               ? request_idx * request_stride
               : args_.q_starts[static_cast<std::size_t>(request_idx)] * token_stride;
  }

  std::int64_t query_length(std::int32_t request_idx) const {
    return problem().phase == Phase::kDecode
               ? problem().s_q
               : plan_.q_lengths[static_cast<std::size_t>(request_idx)];
  }

  KeySource key_source(const WorkItem& item) const {
    const ConstTensorView& cache = args_.kv_cache;
    KeySource keys{
        .data = static_cast<const std::byte*>(cache.data) + item.kv_head_idx * step_bytes(cache, 2),
        .page_stride = step_bytes(cache, 0),
        .token_stride = step_bytes(cache, 1),
        .page_size = problem().page_size,
        .dtype = cache.dtype};
    if (problem().sparsity == Sparsity::kTopK) {
      const std::int64_t query_idx = item.row_begin / group_size();
      keys.columns = static_cast<const std::int32_t*>(args_.indices.data) +
                     request_offset(item.request_idx, args_.indices_request_stride,
                                    args_.indices_token_stride) +
                     query_idx * args_.indices_token_stride;
      keys.columns_step = args_.indices.step(args_.indices.rank - 1);
    } else {
      keys.pages = static_cast<const std::int32_t*>(args_.block_table.data) +
                   item.request_idx * args_.block_table.step(0);
      keys.pages_step = args_.block_table.step(1);
    }
    return keys;
  }

  TileTask tile_task(const WorkItem& item) const {
    const auto element = static_cast<std::int64_t>(size_bytes(args_.q.dtype));
    const std::int64_t first_head = item.kv_head_idx * group_size();
    TileTask task{
        .q = static_cast<const std::byte*>(args_.q.data) +
             (request_offset(item.request_idx, args_.q_request_stride, args_.q_token_stride) +
              first_head * args_.q_head_stride) *
                 element,
        .q_dtype = args_.q.dtype,
        .q_token_stride = args_.q_token_stride * element,
        .q_head_stride = args_.q_head_stride * element,
        .row_begin = item.row_begin,
        .num_rows = item.row_end - item.row_begin,
        .group_size = static_cast<std::int32_t>(group_size()),
        .d_qk = static_cast<std::int32_t>(problem().d_qk),
        .d_v = static_cast<std::int32_t>(problem().d_v),
        .scale_log2 = algorithm::log2_scale(problem().scale()),
        .keys = key_source(item),
        .kv_begin = item.kv_begin,
        .kv_end = item.kv_end};
    if (problem().mask == Mask::kCausal) {
      task.is_causal = true;
      task.first_limit = plan_.kv_lengths[static_cast<std::size_t>(item.request_idx)] -
                         query_length(item.request_idx) + 1;
    }
    if (!args_.top_k_lengths.is_empty_argument()) {
      const auto* lengths = static_cast<const std::int32_t*>(args_.top_k_lengths.data);
      const std::int64_t length = lengths[item.request_idx * args_.top_k_lengths.step(0)];
      task.kv_end = std::clamp(length, task.kv_begin, task.kv_end);
    }
    return task;
  }

  void run_item(const WorkItem& item, std::byte* scratch) const {
    const TileState tile = kernels_.accumulate(tile_task(item), scratch);
    const std::int32_t num_rows = item.row_end - item.row_begin;
    for (std::int32_t row = 0; row < num_rows; ++row) {
      const State state{.m_log2 = tile.m_log2[row], .l = tile.l[row]};
      const float* o = tile.o + row * tile.o_stride;
      if (item.slot_idx < 0) {
        write_row(item.request_idx, item.kv_head_idx, item.row_begin + row, state, {&o, 1});
        continue;
      }
      const Slot partial = slot(item.slot_idx);
      const float one = 1.0f;
      kernels_.mix({.sources = &o,
                    .weights = &one,
                    .num_sources = 1,
                    .num_elements = static_cast<std::int32_t>(problem().d_v),
                    .out = partial.o + row * problem().d_v,
                    .dtype = DType::kFloat32});
      partial.m_log2[row] = state.m_log2;
      partial.l[row] = state.l;
    }
  }

  /// Merges one row's splits, in split order whoever does it: the result does not depend on timing.
  void combine_row(const CombineItem& item, std::int32_t row) const {
    State merged;
    for (std::int32_t i = 0; i < item.num_splits; ++i) {
      const Slot partial = slot(item.slot_begin + i);
      algorithm::merge<float>(merged, {}, {.m_log2 = partial.m_log2[row], .l = partial.l[row]}, {});
    }
    std::array<const float*, kMaxMixSources> sources;
    std::array<float, kMaxMixSources> weights;
    int count = 0;
    float* const partial_sum = slot(item.slot_begin).o + row * problem().d_v;
    for (std::int32_t i = 0; i < item.num_splits; ++i) {
      if (count == kMaxMixSources) {  // fold what there is into the first split's place
        kernels_.mix({.sources = sources.data(),
                      .weights = weights.data(),
                      .num_sources = count,
                      .num_elements = static_cast<std::int32_t>(problem().d_v),
                      .out = partial_sum,
                      .dtype = DType::kFloat32});
        sources[0] = partial_sum;
        weights[0] = 1.0f;
        count = 1;
      }
      const Slot partial = slot(item.slot_begin + i);
      if (partial.l[row] == 0.0f) continue;  // saw no key
      sources[static_cast<std::size_t>(count)] = partial.o + row * problem().d_v;
      weights[static_cast<std::size_t>(count)] = algorithm::weight(merged, partial.m_log2[row]);
      ++count;
    }
    const auto used = static_cast<std::size_t>(count);
    write_row(item.request_idx, item.kv_head_idx, item.row_begin + row, merged,
              std::span(sources).first(used), std::span(weights).first(used));
  }

  /// Finalizes a row: out = (sum of weight * source) * o_factor, lse, max_logits. Weights default
  /// to one. A row that saw no key: out = 0, lse = +infinity, max_logits = -infinity.
  void write_row(std::int32_t request_idx, std::int32_t kv_head_idx, std::int32_t row,
                 const State& state, std::span<const float* const> sources,
                 std::span<const float> weights = {}) const {
    const std::int64_t heads_per_kv = group_size();
    const std::int64_t query_idx = row / heads_per_kv;
    const std::int64_t head_idx = kv_head_idx * heads_per_kv + row % heads_per_kv;
    const float sink = args_.attn_sink == nullptr
                           ? -std::numeric_limits<float>::infinity()
                           : args_.attn_sink[head_idx * args_.attn_sink_stride];
    const algorithm::SoftmaxResult<float> result = algorithm::finalize(state, sink);

    std::array<float, kMaxMixSources> factors;
    for (std::size_t i = 0; i < sources.size(); ++i) {
      factors[i] = (weights.empty() ? 1.0f : weights[i]) * result.o_factor;
    }
    const std::int64_t out_offset =
        request_offset(request_idx, args_.out_request_stride, args_.out_token_stride) +
        query_idx * args_.out_token_stride + head_idx * args_.out_head_stride;
    const std::size_t out_element = size_bytes(args_.out.dtype);
    std::byte* out = static_cast<std::byte*>(args_.out.data) +
                     out_offset * static_cast<std::int64_t>(out_element);
    if (result.o_factor == 0.0f) {  // no key, or a sink that takes everything
      std::fill_n(out, static_cast<std::size_t>(problem().d_v) * out_element, std::byte{0});
    } else {
      kernels_.mix({.sources = sources.data(),
                    .weights = factors.data(),
                    .num_sources = static_cast<std::int32_t>(sources.size()),
                    .num_elements = static_cast<std::int32_t>(problem().d_v),
                    .out = out,
                    .dtype = args_.out.dtype});
    }
    if (args_.lse != nullptr) {
      args_.lse[request_offset(request_idx, args_.lse_request_stride, args_.lse_token_stride) +
                query_idx * args_.lse_token_stride + head_idx * args_.lse_head_stride] = result.lse;
    }
    if (args_.max_logits != nullptr) {
      args_.max_logits[request_offset(request_idx, args_.max_logits_request_stride,
                                      args_.max_logits_token_stride) +
                       query_idx * args_.max_logits_token_stride +
                       head_idx * args_.max_logits_head_stride] = result.max_logit;
    }
  }

  const WorkPlan& plan_;
  const AttentionArgs& args_;
  const TileKernels& kernels_;
};

}  // namespace

KernelTraits kernel_traits(const AttentionProblem& problem, CpuIsa isa) {
  const TileKernels* kernels = kernels_of(isa);
  if (kernels == nullptr) return {};
  return {.rows_per_tile = kernels->rows_per_tile,
          .kv_granule = kGranuleTokens,
          .scratch_bytes_per_worker = kernels->scratch_bytes(
              static_cast<std::int32_t>(problem.d_qk), static_cast<std::int32_t>(problem.d_v))};
}

const char* why_not(const AttentionProblem& problem, CpuIsa isa) {
  if (kernels_of(isa) == nullptr) return "this build has no kernels for that instruction set";
  if (!plain_dtype(problem.kv_format)) return "it reads float32, bfloat16 and float16 caches only";
  if (isa != CpuIsa::kAvx512Bf16) return nullptr;
  if (problem.q_dtype != DType::kBFloat16) return "it multiplies bfloat16 queries only";
  if (problem.kv_format != KvFormat::kBFloat16) return "it multiplies bfloat16 caches only";
  return nullptr;
}

void launch_attention(const WorkPlan& plan, const AttentionArgs& args, ThreadPool& pool) {
  const Launch launch(plan, args);
  const int num_threads = std::min(pool.num_threads(), std::max(1, plan.num_workers()));
  std::atomic<int> num_arrived{0};
  pool.run([&](int thread_idx) {
    if (thread_idx >= num_threads) return;
    for (int worker = thread_idx; worker < plan.num_workers(); worker += num_threads) {
      launch.run_items(worker);
    }
    if (plan.combines.empty()) return;
    // Everybody's partial results before anybody's merge. All threads are running, and balanced
    // plans let them arrive together, so a second launch would cost more than this wait.
    num_arrived.fetch_add(1, std::memory_order_acq_rel);
    for (int looks = 1; num_arrived.load(std::memory_order_acquire) < num_threads; ++looks) {
      relax_core();
      if (looks % kLooksPerYield == 0) std::this_thread::yield();
    }
    launch.run_combines(thread_idx, num_threads);
  });
}

}  // namespace seesaw::cpu
