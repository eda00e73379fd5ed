// One shape on the device: its plans, block tables and workspaces over a pool that all shapes
// share.
#pragma once

#include <cstdint>
#include <vector>

#include "gpu/device.h"
#include "gpu/shapes.h"
#include "seesaw/seesaw.h"

namespace seesaw::bench {

/// What all shapes of a type share: pages, queries and outputs, full of random numbers.
struct Pool {
  DType dtype = DType::kBFloat16;
  DeviceBuffer pages;
  DeviceBuffer queries;
  DeviceBuffer outputs;

  Pool(const Stream& stream, const std::vector<Shape>& shapes, DType dtype, std::size_t least_bytes,
       std::uint64_t seed);
};

struct WorkloadOptions {
  ScheduleMode mode = ScheduleMode::kThroughput;
  bool is_latency_for_few = true;  // latency mode where b <= 16
  Mask mask = Mask::kNone;
  bool is_portable = false;
  int max_sets = 64;
  std::uint64_t seed = 1;
};

/// Several sets of pages of the pool, so that no call finds its keys in the L2 cache: call i reads
/// set i modulo num_sets.
class Workload {
 public:
  Workload(const Shape& shape, const Pool& pool, const DeviceSpec& device, const Stream& stream,
           const WorkloadOptions& options);

  const Shape& shape() const { return shape_; }
  const std::vector<std::int32_t>& lengths() const { return lengths_; }
  const WorkPlan& plan() const { return device_plan_; }
  int num_sets() const { return num_sets_; }
  const std::vector<std::int32_t>& block_table(int set) const {
    return block_tables_[static_cast<std::size_t>(set)];
  }
  std::int64_t table_width() const { return table_width_; }

  /// Enqueue on the stream; throw Error.
  void prepare();             // lengths on the device
  void decode(int call_idx);  // after prepare()
  void decode_host_plan(
      int call_idx);  // the plan made on the host: no combine where nothing is split
  bool host_plan_splits() const { return host_plan_splits_; }

 private:
  DecodeArgs args(int call_idx) const;

  Shape shape_;
  const Pool& pool_;
  std::vector<std::int32_t> lengths_;
  WorkPlan device_plan_;
  WorkPlan host_plan_;
  bool host_plan_splits_ = false;
  int num_sets_ = 1;
  std::int64_t table_width_ = 0;
  std::int64_t num_pages_ = 0;
  std::vector<std::vector<std::int32_t>> block_tables_;
  DeviceBuffer tables_, device_lengths_, lse_, workspace_, host_workspace_;
  Executor executor_;
};

}  // namespace seesaw::bench
