// The things measured, each over a cold cache: Seesaw through its public API, and the baselines.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "baselines/two_products.h"
#include "cpu/cold_cache.h"
#include "cpu/work_list.h"
#include "seesaw/seesaw.h"

namespace seesaw::bench {

/// One way to do a piece of work. Calls walk through the cache's requests, another one each time.
class AttentionContender {
 public:
  virtual ~AttentionContender() = default;
  virtual void prepare() {}
  /// Computes the pool's next request; seconds.
  virtual double sample() = 0;
  /// Computes request 0 and holds it against the oracle.
  virtual double checked_error(std::uint64_t seed) = 0;
  double limit_of_error() const;
  /// The kernel or the blocking chosen.
  virtual std::string detail() const = 0;

 protected:
  AttentionContender(const Work& work, ColdCache& cache, DType out_dtype);

  Work work_;
  ColdCache& cache_;
  DType out_dtype_;
  HugeBuffer out_;
};

/// What Seesaw is to use.
struct SeesawSetup {
  DeviceSpec device;  // num_workers and cpu_isa as wanted
  Executor* executor = nullptr;
};

/// queries [s_q, h_q, d_qk] of work.q_dtype; they and the cache outlive the contender.
/// Errors: those of plan.
Result<std::unique_ptr<AttentionContender>> make_seesaw(const Work& work, ColdCache& cache,
                                                        const HugeBuffer& queries,
                                                        const SeesawSetup& setup);

/// A baseline with the blocking that was quickest when all were tried in turn on this machine just
/// now. queries [s_q, h_q, d_qk] of the cache's type.
std::unique_ptr<AttentionContender> make_baseline(const Work& work, ColdCache& cache,
                                                  const HugeBuffer& queries,
                                                  const ProductLibrary& library, int num_threads);

}  // namespace seesaw::bench
