#include "gpu/workload.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <span>

#include "gpu/device_kernels.h"

namespace seesaw::bench {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::int64_t pages_of(const Shape& shape, const std::vector<std::int32_t>& lengths) {
  std::int64_t count = 0;
  for (std::int32_t length : lengths) count += ceil_div(length, shape.page_size);
  return count;
}

std::int64_t page_bytes(const Shape& shape) { return shape.page_size * shape.d_qk * 2; }

DeviceSpec planned_device(DeviceSpec device, bool is_portable) {
  if (is_portable) device.sm_arch = 80;
  return device;
}

PlanOptions plan_options(const Shape& shape, const WorkloadOptions& options) {
  const bool is_few = options.is_latency_for_few && shape.batch <= 16;
  return {.mode = is_few ? ScheduleMode::kLatency : options.mode};
}

bool splits_any(const GroupPlan& groups) {
  for (std::size_t range = 0; range + 1 < groups.cuts.size(); ++range) {
    if (begins_split_sequence(groups.cuts[range], groups.cuts[range + 1])) return true;
  }
  return false;
}

}  // namespace

Pool::Pool(const Stream& stream, const std::vector<Shape>& shapes, DType type,
           std::size_t least_bytes, std::uint64_t seed)
    : dtype(type) {
  std::size_t num_page_bytes = least_bytes;
  std::size_t query_bytes = 0;
  std::size_t output_bytes = 0;
  for (const Shape& shape : shapes) {
    if (shape.dtype != dtype) continue;
    const auto needed =
        static_cast<std::size_t>(pages_of(shape, shape.lengths(seed)) * page_bytes(shape));
    const auto rows = static_cast<std::size_t>(shape.batch * shape.s_q * shape.h_q);
    num_page_bytes = std::max(num_page_bytes, needed);
    query_bytes = std::max(query_bytes, 2 * rows * static_cast<std::size_t>(shape.d_qk));
    output_bytes = std::max(output_bytes, 2 * rows * static_cast<std::size_t>(shape.d_v));
  }
  pages = DeviceBuffer(num_page_bytes);
  queries = DeviceBuffer(query_bytes);
  outputs = DeviceBuffer(output_bytes);
  fill_random(stream.get(), pages.data(), pages.size(), dtype, seed);
  fill_random(stream.get(), queries.data(), queries.size(), dtype, seed + 1);
  stream.synchronize();
}

Workload::Workload(const Shape& shape, const Pool& pool, const DeviceSpec& device,
                   const Stream& stream, const WorkloadOptions& options)
    : shape_(shape),
      pool_(pool),
      lengths_(shape.lengths(options.seed)),
      executor_(Executor::cuda(device.cuda_ordinal, stream.get())) {
  const AttentionProblem problem = shape_.problem(options.mask);
  const DeviceSpec planned = planned_device(device, options.is_portable);
  const PlanOptions how = plan_options(shape_, options);
  device_plan_ = plan_for_device_lengths(problem, planned, how).value();
  host_plan_ = seesaw::plan(problem, planned, lengths_, {}, how).value();
  host_plan_splits_ = splits_any(host_plan_.groups);

  const auto pool_bytes = static_cast<std::int64_t>(pool_.pages.size());
  num_pages_ = pool_bytes / page_bytes(shape_);
  const std::int64_t used_pages = pages_of(shape_, lengths_);
  num_sets_ =
      static_cast<int>(std::clamp<std::int64_t>(num_pages_ / used_pages, 1, options.max_sets));
  table_width_ = ceil_div(*std::max_element(lengths_.begin(), lengths_.end()), shape_.page_size);
  std::vector<std::int32_t> order(static_cast<std::size_t>(num_pages_));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 rng(options.seed);
  std::shuffle(order.begin(), order.end(), rng);
  auto next = order.begin();
  const auto table_size = static_cast<std::size_t>(shape_.batch * table_width_);
  tables_ = DeviceBuffer(table_size * sizeof(std::int32_t) * static_cast<std::size_t>(num_sets_));
  for (int set = 0; set < num_sets_; ++set) {
    std::vector<std::int32_t>& table = block_tables_.emplace_back(table_size, -1);
    for (std::size_t request = 0; request < lengths_.size(); ++request) {
      const std::int64_t count = ceil_div(lengths_[request], shape_.page_size);
      std::copy_n(next, count, table.begin() + static_cast<std::int64_t>(request) * table_width_);
      next += count;
    }
    tables_.upload(std::as_bytes(std::span(table)), stream.get(),
                   static_cast<std::size_t>(set) * table_size * sizeof(std::int32_t));
  }
  device_lengths_ = DeviceBuffer(lengths_.size() * sizeof(std::int32_t));
  device_lengths_.upload(std::as_bytes(std::span(lengths_)), stream.get());
  lse_ = DeviceBuffer(static_cast<std::size_t>(shape_.batch * shape_.s_q * shape_.h_q) *
                      sizeof(float));
  workspace_ = DeviceBuffer(device_plan_.workspace_bytes);
  host_workspace_ = DeviceBuffer(host_plan_.workspace_bytes);
  prepare();
  throw_if_error(seesaw::prepare(host_plan_, {}, host_workspace_.bytes(), executor_));
}

DecodeArgs Workload::args(int call_idx) const {
  const Shape& s = shape_;
  const std::size_t table_bytes =
      static_cast<std::size_t>(s.batch * table_width_) * sizeof(std::int32_t);
  const auto set = static_cast<std::size_t>(call_idx % num_sets_);
  DecodeArgs args;
  args.q = ConstTensorView(pool_.queries.data(), s.dtype, {s.batch, s.s_q, s.h_q, s.d_qk});
  args.cache.kv_cache =
      ConstTensorView(pool_.pages.data(), s.dtype, {num_pages_, s.page_size, 1, s.d_qk});
  args.cache.block_table =
      ConstTensorView(tables_.data() + set * table_bytes, DType::kInt32, {s.batch, table_width_});
  args.out = TensorView(pool_.outputs.data(), s.dtype, {s.batch, s.s_q, s.h_q, s.d_v});
  args.lse = TensorView(lse_.data(), DType::kFloat32, {s.batch, s.h_q, s.s_q});
  return args;
}

void Workload::prepare() {
  const ConstTensorView lengths(device_lengths_.data(), DType::kInt32, {shape_.batch});
  throw_if_error(seesaw::prepare(device_plan_, lengths, workspace_.bytes(), executor_));
}

void Workload::decode(int call_idx) {
  DecodeArgs with_workspace = args(call_idx);
  with_workspace.workspace = workspace_.bytes();
  throw_if_error(seesaw::decode(device_plan_, with_workspace, executor_));
}

void Workload::decode_host_plan(int call_idx) {
  DecodeArgs with_workspace = args(call_idx);
  with_workspace.workspace = host_workspace_.bytes();
  throw_if_error(seesaw::decode(host_plan_, with_workspace, executor_));
}

}  // namespace seesaw::bench
