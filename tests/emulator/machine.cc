#include "emulator/machine.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <numeric>
#include <utility>

#include "emulator/block.h"
#include "emulator/device_builtins.h"
#include "support/seed.h"

emulator_index threadIdx;
emulator_index blockIdx;
emulator_index blockDim;
emulator_index gridDim;

// The kernels' dynamic shared memory: what their extern arrays are (device_builtins.h).
namespace seesaw::sm90::decode_dense {
alignas(1024) thread_local unsigned char memory[232'448];
}
namespace seesaw::portable::decode_dense {
alignas(1024) thread_local std::uint16_t shared[232'448 / 2];
}
namespace seesaw::emulator::planted {
alignas(1024) thread_local unsigned char memory[232'448];
}

namespace seesaw::emulator {

Machine machine;

namespace {

/// Blocks that are on the device at once. They need not know of each other but by their counting:
/// there the others get their turn.
constexpr std::size_t kBlocksAtOnce = 3;

/// Where the kernel of that name has its dynamic shared memory.
std::byte* shared_memory_of(const std::string& kernel) {
  void* memory = planted::memory;
  if (kernel == "sm90_decode_dense") memory = sm90::decode_dense::memory;
  if (kernel == "decode_dense_portable") memory = portable::decode_dense::shared;
  return static_cast<std::byte*>(memory);
}

/// Threads are made once: there are hundreds, with a stack each.
std::vector<std::unique_ptr<Thread>>& spare_threads() {
  static std::vector<std::unique_ptr<Thread>> threads;
  return threads;
}

void open_block(Block& block, int number) {
  const Launch& launch = machine.launch;
  block.number = number;
  block.index[0] = static_cast<unsigned>(number) % launch.grid[0];
  block.index[1] = static_cast<unsigned>(number) / launch.grid[0] % launch.grid[1];
  block.index[2] = static_cast<unsigned>(number) / launch.grid[0] / launch.grid[1];
  const int num_threads = static_cast<int>(launch.block[0]);
  block.warps.resize(static_cast<std::size_t>((num_threads + kWarp - 1) / kWarp));
  block.warpgroups.resize(static_cast<std::size_t>((num_threads + kWarpgroup - 1) / kWarpgroup));
  for (int i = 0; i < num_threads; ++i) {
    if (spare_threads().empty()) spare_threads().push_back(std::make_unique<Thread>());
    Thread* const thread = spare_threads().back().release();
    spare_threads().pop_back();
    block.threads.push_back(thread);
  }
  for (int i = 0; i < num_threads; ++i) {
    Thread& thread = *block.threads[static_cast<std::size_t>(i)];
    thread.block = &block;
    thread.number = i;
    thread.clock = Clock(block.num_actors());
    thread.clock.seen[static_cast<std::size_t>(i)] = 1;
    thread.waits_for = nullptr;
    thread.has_waited = false;
    thread.copy_groups.clear();
    thread.copies.clear();
    thread.may_multiply = false;
    thread.num_products = thread.num_committed = 0;
    thread.pending.clear();
    thread.fiber.start(machine.body);
    block.ready.push_back(&thread);
  }
  for (NamedBarrier& barrier : block.named) barrier.released = Clock(block.num_actors());
  block.shared.assign(launch.shared_bytes, std::byte{0xff});
  block.accesses.reset(launch.shared_bytes);
  machine.statics.reset();
}

void close_block(Block& block) {
  for (Thread* thread : block.threads) {
    machine.thread = thread;
    const bool waited = std::all_of(thread->copy_groups.begin(), thread->copy_groups.end(),
                                    [](const auto& group) { return group.empty(); });
    if (!thread->copies.empty() || !waited) report("a thread ends before its copies", nullptr);
    if (!thread->has_waited) report("a thread ends before the previous kernel", nullptr);
    spare_threads().emplace_back(thread);
  }
  machine.thread = nullptr;
  for (const auto& [address, barrier] : block.barriers) {
    if (barrier.missing_bytes == 0) continue;
    report("the block ends before copies to one of its barriers", nullptr);
  }
  block.threads.clear();
}

void run_thread(Thread& thread) {
  machine.thread = &thread;
  threadIdx.x = static_cast<unsigned>(thread.number);
  thread.fiber.resume();
  machine.thread = nullptr;
  if (thread.fiber.is_done()) ++thread.block->num_done;
}

std::string describe(const Block& block) {
  std::map<std::string, int> waiting;
  for (const Thread* thread : block.threads) {
    if (thread->fiber.is_done()) continue;
    ++waiting[std::string(thread->waits_for) + " in warpgroup " +
              std::to_string(thread->warpgroup())];
  }
  std::string words = "block " + std::to_string(block.number) + " waits forever:";
  for (const auto& [what, count] : waiting)
    words += " " + std::to_string(count) + " threads for " + what + ";";
  return words;
}

/// Runs the block until it is done, gives way or is stuck.
void run_block(Block& block) {
  blockIdx = {block.index[0], block.index[1], block.index[2]};
  if (!block.shared.empty()) std::memcpy(machine.shared, block.shared.data(), block.shared.size());
  block.gives_way = false;
  while (!block.is_done() && !block.gives_way) {
    // Bulk copies come when they like, and at last when all threads wait.
    if (!block.copies.empty() && (block.ready.empty() || machine.random() % 512 == 0)) {
      finish_copy(block, machine.random() % block.copies.size());
      continue;
    }
    if (block.ready.empty()) {
      machine.is_stuck = true;
      report(describe(block), nullptr);
      break;
    }
    std::swap(block.ready[machine.random() % block.ready.size()], block.ready.back());
    Thread& thread = *block.ready.back();
    block.ready.pop_back();
    run_thread(thread);
  }
  if (!block.shared.empty()) std::memcpy(block.shared.data(), machine.shared, block.shared.size());
}

}  // namespace

void run(const Launch& launch, const std::function<void()>& body) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  static testing::Rng rng = testing::make_rng(0xe);
  machine.random.seed(rng());
  machine.launch = launch;
  machine.body = &body;
  machine.shared = shared_memory_of(launch.name);
  machine.is_stuck = false;
  machine.previous = std::exchange(machine.global, {});
  blockDim = {launch.block[0], launch.block[1], launch.block[2]};
  gridDim = {launch.grid[0], launch.grid[1], launch.grid[2]};
  std::vector<int> numbers(launch.grid[0] * launch.grid[1] * launch.grid[2]);
  std::iota(numbers.begin(), numbers.end(), 0);
  std::shuffle(numbers.begin(), numbers.end(), machine.random);
  std::vector<std::unique_ptr<Block>> blocks;
  // Static shared memory is one for all: who has such runs alone.
  const std::size_t at_once = launch.shared_bytes > 0 ? kBlocksAtOnce : 1;
  while ((!numbers.empty() || !blocks.empty()) && !machine.is_stuck) {
    while (blocks.size() < at_once && !numbers.empty()) {
      blocks.push_back(std::make_unique<Block>());
      open_block(*blocks.back(), numbers.back());
      numbers.pop_back();
    }
    const std::size_t idx = machine.random() % blocks.size();
    run_block(*blocks[idx]);
    if (!blocks[idx]->is_done()) continue;
    close_block(*blocks[idx]);
    blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(idx));
  }
  for (const std::unique_ptr<Block>& block : blocks) {  // stuck: their stacks are given up
    for (Thread* thread : block->threads) spare_threads().emplace_back(thread);
  }
}

void suspend(const char* waits_for) {
  Thread& thread = *machine.thread;
  thread.waits_for = waits_for;
  thread.fiber.yield();
}

void make_ready(Thread* thread) { thread->block->ready.push_back(thread); }

void tick(Thread& thread) { ++thread.clock.seen[static_cast<std::size_t>(thread.number)]; }

// ------------------------------------------------------------------------------------------- warps

unsigned lane_id() { return static_cast<unsigned>(machine.thread->lane()); }

const std::uint64_t* exchange(const char* what, std::uint64_t value) {
  Thread& thread = *machine.thread;
  Block& block = *thread.block;
  Warp& warp = block.warps[static_cast<std::size_t>(thread.warp())];
  if (warp.num_arrived == 0) {
    warp.what = what;
  } else if (std::strcmp(warp.what, what) != 0) {
    report(std::string("lanes of a warp are at ") + warp.what + " and at " + what,
           __builtin_return_address(0));
  }
  std::uint64_t* const values = warp.values[static_cast<std::size_t>(warp.generation % 2)].data();
  values[thread.lane()] = value;
  const int size = block.warp_size(thread.warp());
  if (++warp.num_arrived < size) {
    suspend(what);
    return values;
  }
  warp.num_arrived = 0;
  ++warp.generation;
  for (int lane = 0; lane < size; ++lane) {
    if (lane != thread.lane())
      make_ready(block.threads[static_cast<std::size_t>(thread.warp() * kWarp + lane)]);
  }
  return values;
}

void sync_warp() {
  Thread& thread = *machine.thread;
  const Block& block = *thread.block;
  const Clock before = thread.clock;
  const std::uint64_t* const values =
      exchange("__syncwarp", reinterpret_cast<std::uintptr_t>(&before));
  const int size = block.warp_size(thread.warp());
  Clock after = before;
  for (int lane = 0; lane < size; ++lane) {
    if (lane != thread.lane()) join(after, *reinterpret_cast<const Clock*>(values[lane]));
  }
  thread.clock = after;
  tick(thread);
  exchange("__syncwarp's end", 0);  // all have read the clocks
}

}  // namespace seesaw::emulator
