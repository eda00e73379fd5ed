// The state of a running launch: threads, their blocks, the machine. Internal to the emulator.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "emulator/accesses.h"
#include "emulator/clock.h"
#include "emulator/fiber.h"
#include "emulator/machine.h"

namespace seesaw::emulator {

inline constexpr int kWarp = 32;
inline constexpr int kWarpgroup = 128;
inline constexpr int kNamedBarriers = 16;
inline constexpr int kCopyActors = 24;               // barriers that bulk copies count towards
inline constexpr std::uint32_t kWindowBegin = 1024;  // address of the first dynamic shared byte

struct Block;

/// 4 or 16 bytes that a thread copies by itself.
struct ThreadCopy {
  std::uint32_t to;
  const std::byte* from;
  std::size_t num_bytes;
  std::size_t num_valid;
  const void* where;
};

/// d of products that nobody has waited for, [64, n].
struct Accumulator {
  std::vector<float> d;
  int n = 0;
};

struct Thread {
  Fiber fiber;
  Block* block = nullptr;
  int number = 0;  // in the block
  Clock clock;
  const char* waits_for = nullptr;
  bool has_waited = false;                           // for the previous kernel
  std::vector<std::vector<ThreadCopy>> copy_groups;  // committed, the oldest first
  std::vector<ThreadCopy> copies;                    // not committed
  bool may_multiply = false;      // wgmma.fence came after what changed the products' registers
  std::int64_t num_products = 0;  // asked for
  std::int64_t num_committed = 0;
  std::map<float*, std::shared_ptr<Accumulator>> pending;  // by the thread's part of d

  int warp() const { return number / kWarp; }
  int lane() const { return number % kWarp; }
  int warpgroup() const { return number / kWarpgroup; }
  Moment now() const {
    const auto actor = static_cast<std::uint32_t>(number);
    return {actor, clock.seen[actor]};
  }
};

struct Warp {
  const char* what = nullptr;
  int num_arrived = 0;
  int generation = 0;
  std::array<std::array<std::uint64_t, kWarp>, 2> values{};  // of this exchange and the last
};

struct NamedBarrier {
  std::set<int> arrived;
  std::vector<Thread*> waiting;
  int num_threads = 0;
  int count = 0;  // of true predicates
  int finished_count = 0;
  Clock released;
};

struct MemoryBarrier {
  int maker = 0;           // the thread
  bool is_fenced = false;  // by its maker, for copies
  int arrivals = 0;        // of a phase
  int pending = 0;
  std::int64_t missing_bytes = 0;
  std::int64_t num_phases = 0;  // that have ended
  std::uint32_t copy_actor = 0;
  std::uint32_t copy_tick = 0;
  Clock released;                                // by arrivals of this phase
  Clock completed;                               // by those of the last one
  std::vector<std::pair<Thread*, int>> waiting;  // with their parity
};

/// A bulk copy that is under way.
struct BoxCopy {
  struct Row {
    std::uint32_t to;
    const std::byte* from;  // nullptr: zeros
  };
  std::vector<Row> rows;  // of 128 bytes
  std::uint32_t barrier;
};

/// A product that threads of a warpgroup ask for one after the other.
struct SharedProduct {
  Product first;  // as its first thread asked
  int num_asked = 0;
  std::shared_ptr<Accumulator> accumulator;
  std::array<std::array<std::uint32_t, 4>, kWarpgroup> a_registers{};
  /// Of each warp's first lane, when it asked, and the tick of the warp's products.
  std::array<Clock, kWarpgroup / kWarp> clocks;
  std::array<std::uint32_t, kWarpgroup / kWarp> ticks{};
};

struct Warpgroup {
  std::deque<SharedProduct> products;  // not asked for by all threads
  std::int64_t num_done = 0;
  std::vector<Thread*> waiting;
  std::vector<Thread*> meeting;  // at wgmma.fence
};

struct Block {
  int number = 0;
  unsigned index[3] = {0, 0, 0};
  std::vector<Thread*> threads;
  std::vector<Thread*> ready;
  int num_done = 0;
  std::vector<Warp> warps;
  std::vector<Warpgroup> warpgroups;
  std::array<NamedBarrier, kNamedBarriers> named;
  std::map<std::uint32_t, MemoryBarrier> barriers;
  std::vector<BoxCopy> copies;
  SharedAccesses accesses;
  std::vector<std::byte> shared;  // while another block runs
  bool gives_way = false;

  int num_threads() const { return static_cast<int>(threads.size()); }
  int num_actors() const { return num_threads() + static_cast<int>(warps.size()) + kCopyActors; }
  /// Lanes that the warp has.
  int warp_size(int warp) const { return std::min(kWarp, num_threads() - warp * kWarp); }
  std::uint32_t reader_of_products(int warp) const {
    return static_cast<std::uint32_t>(num_threads() + warp);
  }
  bool is_done() const { return num_done == num_threads(); }
};

struct Machine {
  Launch launch;
  const std::function<void()>* body = nullptr;
  Thread* thread = nullptr;     // that runs now; nullptr: the host
  std::byte* shared = nullptr;  // dynamic, of the running block, once asked for
  GlobalAccesses global;
  GlobalAccesses previous;  // those of the kernel before, where that may be running
  GlobalAccesses statics;   // of the block's shared memory of fixed size
  std::mt19937_64 random;
  bool is_stuck = false;

  Block& block() const { return *thread->block; }
  std::byte* at(std::uint32_t address) const { return shared + (address - kWindowBegin); }
  std::size_t offset(std::uint32_t address) const { return address - kWindowBegin; }
};

extern Machine machine;

/// Something is wrong in what the running thread does at `where`; other: where the other side of it
/// is, or nullptr.
void report(const std::string& what, const void* where, const void* other = nullptr);
void report(const char* access, const Conflict& conflict, const void* where);

/// The running thread gives way until it is made ready.
void suspend(const char* waits_for);
void make_ready(Thread* thread);
/// What the thread did so far is told apart from what it does next.
void tick(Thread& thread);

/// Whether [address, address + num_bytes) is dynamic shared memory of the block.
bool is_shared(std::uint32_t address, std::size_t num_bytes, const void* where);
void finish_copy(Block& block, std::size_t idx);
void complete_bytes(Block& block, MemoryBarrier& barrier, std::int64_t num_bytes);

}  // namespace seesaw::emulator
