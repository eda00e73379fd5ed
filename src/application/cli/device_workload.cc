#include "cli/device_workload.h"

#include <utility>

namespace seesaw::cli {
namespace {

/// Memory on the device with a copy of `from` in it.
Status copy_array(std::span<const std::byte> from, const Executor& executor, DeviceMemory& to) {
  auto memory = DeviceMemory::allocate(from.size(), executor);
  if (!memory) return memory.status();
  to = std::move(memory).value();
  return copy_to_device(from, to.bytes(), executor);
}

Status allocate(std::size_t num_bytes, const Executor& executor, DeviceMemory& to) {
  auto memory = DeviceMemory::allocate(num_bytes, executor);
  if (!memory) return memory.status();
  to = std::move(memory).value();
  return Status::ok();
}

}  // namespace

Result<DeviceWorkload> DeviceWorkload::copy(DecodeWorkload& host, const WorkPlan& plan,
                                            std::span<const std::int32_t> kv_lengths,
                                            Executor& executor) {
  auto timer = DeviceTimer::create(executor);
  if (!timer) return timer.status();
  DeviceWorkload workload(host, executor, std::move(timer).value());
  workload.batch_ = plan.problem.batch;
  const auto steps = {
      copy_array(host.pool(), executor, workload.pool_),
      copy_array(host.query(), executor, workload.query_),
      copy_array(std::as_bytes(host.block_tables()), executor, workload.block_tables_),
      copy_array(std::as_bytes(kv_lengths), executor, workload.lengths_),
      allocate(host.out_bytes(), executor, workload.out_),
      allocate(plan.workspace_bytes, executor, workload.workspace_)};
  for (const Status& status : steps) {
    if (!status) return status;
  }
  if (Status status = workload.prepare(plan); !status) return status;
  return workload;
}

DecodeArgs DeviceWorkload::call(std::int64_t call_idx) {
  DecodeArgs args = host_->call(call_idx);
  const auto table_offset = static_cast<const std::byte*>(args.cache.block_table.data) -
                            std::as_bytes(host_->block_tables()).data();
  args.q.data = query_.bytes().data();
  args.cache.kv_cache.data = pool_.bytes().data();
  args.cache.block_table.data = block_tables_.bytes().data() + table_offset;
  args.out.data = out_.bytes().data();
  args.workspace = workspace_.bytes();
  return args;
}

Status DeviceWorkload::prepare(const WorkPlan& plan) {
  const ConstTensorView lengths(lengths_.bytes().data(), DType::kInt32, {batch_});
  return seesaw::prepare(plan, lengths, workspace_.bytes(), *executor_);
}

template <typename Enqueue>
Result<double> DeviceWorkload::time(const WorkPlan& plan, std::int64_t untimed_call_idx,
                                    const Enqueue& enqueue) {
  if (Status status = decode(plan, call(untimed_call_idx), *executor_); !status) return status;
  if (Status status = timer_.start(); !status) return status;
  if (Status status = enqueue(); !status) return status;
  if (Status status = timer_.stop(); !status) return status;
  const auto milliseconds = timer_.milliseconds();
  if (!milliseconds) return milliseconds.status();
  return static_cast<double>(milliseconds.value()) * 1e-3;
}

Result<double> DeviceWorkload::time_prepare(const WorkPlan& plan) {
  return time(plan, 0, [&] { return prepare(plan); });
}

Result<double> DeviceWorkload::time_call(const WorkPlan& plan, std::int64_t call_idx) {
  return time(plan, 2 * call_idx, [&] { return decode(plan, call(2 * call_idx + 1), *executor_); });
}

}  // namespace seesaw::cli
