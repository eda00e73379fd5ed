// Runs an AttentionCase on a CUDA device through the public API and compares it with the oracle.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "seesaw/seesaw.h"
#include "support/attention_case.h"
#include "support/device_array.h"
#include "support/run_case.h"

namespace seesaw::testing {

/// The first CUDA device; nothing where there is none.
const std::optional<DeviceSpec>& test_device();

enum class LengthSource : std::uint8_t { kHost, kDevice };
enum class KernelChoice : std::uint8_t {
  kBest,      // as the plan chooses for this device
  kPortable,  // planned for an sm_80 of as many multiprocessors
};

struct DeviceOptions {
  PlanOptions plan = {};
  LengthSource lengths = LengthSource::kHost;
  KernelChoice kernel = KernelChoice::kBest;
  DataCheck check = DataCheck::kTrust;
  int num_workers = 0;  // to plan for; 0: the device's
};

std::string to_string(const DeviceOptions& options);

/// What the plan's kernel must keep to (run_case.h), as an upper bound of pieces where the division
/// is made on the device.
algorithm::KernelArithmetic device_arithmetic(const AttentionCase& attention_case,
                                              const WorkPlan& plan);

/// A case with its arrays on the device. The case must outlive it; host arrays that are written
/// later have to be uploaded again.
class DeviceCase {
 public:
  explicit DeviceCase(AttentionCase& attention_case, cudaStream_t stream = nullptr);

  cudaStream_t stream() const { return stream_; }
  Executor& executor() { return executor_; }
  Result<WorkPlan> make_plan(const DeviceOptions& options) const;

  /// A workspace for `plan`, not a byte too long and full of NaN.
  void make_workspace(const WorkPlan& plan);
  DeviceBuffer& workspace() { return workspace_; }
  /// All arrays and the workspace.
  DecodeArgs args() const;
  /// The lengths on the device, with a stride of two; what lies between is INT_MAX.
  ConstTensorView lengths() const;
  void set_lengths(std::span<const std::int32_t> kv_lengths);
  DeviceArray& block_table() { return block_table_; }
  /// After the case's cache or block table was written.
  void upload_cache();

  /// Public prepare with the lengths that the plan wants.
  Status prepare(const WorkPlan& plan);
  Status decode(const WorkPlan& plan, DataCheck check = DataCheck::kTrust);
  void poison_outputs();
  /// Waits for the stream; outputs are then in the host arrays of the case.
  void download_outputs();

  /// Plans, prepares, decodes into poisoned outputs, downloads.
  Status compute(const DeviceOptions& options, WorkPlan* plan = nullptr);
  /// The same, and checks the outputs.
  ::testing::AssertionResult run(const DeviceOptions& options, RunReport* report = nullptr);
  /// Checks every row of the outputs that stand in the case, for requests of `kv_lengths` (the
  /// case's own, or shorter ones), against the oracle's for the arrays that are on the device.
  ::testing::AssertionResult check(const std::vector<std::int32_t>& kv_lengths,
                                   const algorithm::KernelArithmetic& arithmetic,
                                   RunReport* report = nullptr);
  /// Bits of out and lse as they stand in the case.
  std::vector<std::byte> output_bits() const;

 private:
  /// Computed once for the same lengths.
  const algorithm::ReferenceOutputs& reference(const std::vector<std::int32_t>& kv_lengths);

  AttentionCase& case_;
  cudaStream_t stream_;
  Executor executor_;
  std::vector<std::int32_t> host_lengths_;  // as they lie on the device
  DeviceArray q_, kv_cache_, block_table_, attn_sink_, out_, lse_;
  DeviceBuffer lengths_;
  DeviceBuffer workspace_;
  std::optional<algorithm::ReferenceOutputs> reference_;
  std::vector<std::int32_t> reference_lengths_;
};

/// Builds each spec's case, runs it in each of the ways and checks it: in as many threads as there
/// are cores, up to 16, each with a stream of its own.
struct DeviceTrial {
  CaseSpec spec;
  std::vector<DeviceOptions> ways;
};
void run_trials(const std::vector<DeviceTrial>& trials);

}  // namespace seesaw::testing
