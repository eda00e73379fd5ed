// Small kernels that are right, and wrong in one way when told to.
#pragma once

#include <cstdint>
#include <vector>

namespace seesaw::emulator::planted {

enum class Fault : std::uint8_t {
  kNone,
  kNoBarrier,              // between a write and another thread's read
  kNoWarpBarrier,          // the same within a warp
  kNoProductFence,         // before products
  kNoProxyFence,           // between ordinary writes and products that read them
  kOverwritesOperands,     // of products that are not finished
  kReadsProductsEarly,     // before they are finished
  kReadsBoxEarly,          // before a bulk copy has come
  kOverwritesBoxUnfenced,  // ordinary writes, then a bulk copy without a fence between
  kNoBarrierInitFence,     // before a bulk copy counts towards a barrier
  kReadsCopyEarly,         // before the thread waited for its copies
  kEndsBeforeCopy,
  kTooFewArrive,        // at a named barrier
  kComesTwice,          // to a named barrier
  kWrongCount,          // of bytes that a barrier expects
  kBeyondShared,        // an address
  kBeforePrevious,      // device memory before the previous kernel is waited for
  kReadsPreviousEarly,  // what the previous kernel writes, by load_before_wait
  kLetsNextStartEarly,  // before the previous kernel is waited for
  kReadsOthersEarly,    // another block's writes, without its count
  kDivergentWarp,       // lanes at different exchanges
  kDifferentProducts,   // the warpgroup's threads do not agree
  kWaitsApart,          // a warp waits for others that wait for it to multiply
};

/// How the operands of a product come to be where it reads them.
struct Way {
  bool by_bulk_copy = false;    // else by the threads
  bool a_in_registers = false;  // else in shared memory
  bool b_along_n = false;       // b is [k, n]; else [n, k], along k
};

/// a[64, 64] b by one warpgroup; row-major, of numbers that bfloat16 holds. [64, 64].
std::vector<float> multiply(const std::vector<float>& a, const std::vector<float>& b,
                            const Way& way, Fault fault);

/// Numbers added by threads, warps and blocks, which tell each other in several ways: kSum.
inline constexpr int kSum = 3 * (64 * 63 / 2);
int sum(Fault fault);

}  // namespace seesaw::emulator::planted
