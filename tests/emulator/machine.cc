#include "emulator/machine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <numeric>

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
}

void close_block(Block& block) {
  for (Thread* thread : block.threads) {
    const bool waited = std::all_of(thread->copy_groups.begin(), thread->copy_groups.end(),
                                    [](const auto& group) { return group.empty(); });
    if (!thread->copies.empty() || !waited) {
      machine.thread = thread;
      report("a thread ends before its copies", nullptr);
    }
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
  machine.global.reset();
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
  const int size = std::min(kWarp, block.num_threads() - thread.warp() * kWarp);
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
  const int size = std::min(kWarp, block.num_threads() - thread.warp() * kWarp);
  Clock after = before;
  for (int lane = 0; lane < size; ++lane) {
    if (lane != thread.lane()) join(after, *reinterpret_cast<const Clock*>(values[lane]));
  }
  thread.clock = after;
  tick(thread);
  exchange("__syncwarp's end", 0);  // all have read the clocks
}

// -------------------------------------------------------------------------------- named barriers

namespace {

/// The thread comes to a barrier; the last one sends all off. False: others are to come.
bool come_to(NamedBarrier& barrier, int number, int num_threads, bool predicate,
             const void* where) {
  Thread& thread = *machine.thread;
  if (barrier.arrived.empty()) barrier.num_threads = num_threads;
  if (barrier.num_threads != num_threads)
    report("barrier " + std::to_string(number) + " is come to with different counts", where);
  if (!barrier.arrived.insert(thread.number).second)
    report("barrier " + std::to_string(number) + " is come to twice by one thread", where);
  join(barrier.released, thread.clock);
  tick(thread);
  barrier.count += predicate;
  if (static_cast<int>(barrier.arrived.size()) < barrier.num_threads) return false;
  for (Thread* waiting : barrier.waiting) {
    join(waiting->clock, barrier.released);
    make_ready(waiting);
  }
  barrier.waiting.clear();
  barrier.arrived.clear();
  barrier.finished_count = barrier.count;
  barrier.count = 0;
  return true;
}

int sync(int number, int num_threads, bool predicate, const char* waits_for, const void* where) {
  NamedBarrier& barrier = machine.block().named[static_cast<std::size_t>(number)];
  Thread& thread = *machine.thread;
  if (come_to(barrier, number, num_threads, predicate, where)) {
    join(thread.clock, barrier.released);
    barrier.released = Clock(thread.block->num_actors());
  } else {
    barrier.waiting.push_back(&thread);
    suspend(waits_for);
  }
  return barrier.finished_count;
}

}  // namespace

void sync_named(int barrier, int num_threads) {
  static constexpr const char* kNames[kNamedBarriers] = {
      "barrier 0",  "barrier 1",  "barrier 2",  "barrier 3", "barrier 4",  "barrier 5",
      "barrier 6",  "barrier 7",  "barrier 8",  "barrier 9", "barrier 10", "barrier 11",
      "barrier 12", "barrier 13", "barrier 14", "barrier 15"};
  sync(barrier, num_threads, false, kNames[barrier], __builtin_return_address(0));
}

void arrive_named(int barrier, int num_threads) {
  NamedBarrier& named = machine.block().named[static_cast<std::size_t>(barrier)];
  if (come_to(named, barrier, num_threads, false, __builtin_return_address(0)))
    named.released = Clock(machine.block().num_actors());
}

int sync_threads(bool predicate) {
  return sync(0, machine.block().num_threads(), predicate, "__syncthreads",
              __builtin_return_address(0));
}

// ------------------------------------------------------------------------------- memory barriers

namespace {

MemoryBarrier& barrier_at(std::uint32_t address, const void* where) {
  Block& block = machine.block();
  const auto found = block.barriers.find(address);
  if (found != block.barriers.end()) return found->second;
  report("a barrier in memory is used that nobody made", where);
  return block.barriers.try_emplace(address).first->second;
}

void end_phase(Block& block, MemoryBarrier& barrier) {
  if (barrier.pending > 0 || barrier.missing_bytes != 0) return;
  ++barrier.num_phases;
  barrier.pending = barrier.arrivals;
  barrier.completed = std::move(barrier.released);
  barrier.released = Clock(block.num_actors());
  std::erase_if(barrier.waiting, [&](const auto& waiting) {
    const auto& [thread, parity] = waiting;
    if ((barrier.num_phases & 1) == parity) return false;
    join(thread->clock, barrier.completed);
    make_ready(thread);
    return true;
  });
}

void arrive_at(MemoryBarrier& barrier, int num_bytes, const void* where) {
  Thread& thread = *machine.thread;
  if (barrier.pending == 0) report("more arrivals at a barrier in memory than it counts", where);
  join(barrier.released, thread.clock);
  tick(thread);
  barrier.missing_bytes += num_bytes;
  --barrier.pending;
  end_phase(*thread.block, barrier);
}

}  // namespace

void complete_bytes(Block& block, MemoryBarrier& barrier, std::int64_t num_bytes) {
  barrier.missing_bytes -= num_bytes;
  end_phase(block, barrier);
}

void init_barrier(std::uint32_t address, int arrivals) {
  Block& block = machine.block();
  const auto actor = static_cast<std::uint32_t>(block.num_threads()) +
                     static_cast<std::uint32_t>(block.warps.size() + block.barriers.size());
  MemoryBarrier& barrier = block.barriers[address];
  barrier.maker = machine.thread->number;
  barrier.arrivals = barrier.pending = arrivals;
  barrier.copy_actor = actor;
  barrier.released = Clock(block.num_actors());
  barrier.completed = Clock(block.num_actors());
}

void fence_barrier_init() {
  for (auto& [address, barrier] : machine.block().barriers) {
    if (barrier.maker == machine.thread->number) barrier.is_fenced = true;
  }
}

void arrive(std::uint32_t barrier) {
  const void* const where = __builtin_return_address(0);
  arrive_at(barrier_at(barrier, where), 0, where);
}

void arrive_and_expect(std::uint32_t barrier, int num_bytes) {
  const void* const where = __builtin_return_address(0);
  arrive_at(barrier_at(barrier, where), num_bytes, where);
}

void wait(std::uint32_t address, int parity) {
  MemoryBarrier& barrier = barrier_at(address, __builtin_return_address(0));
  Thread& thread = *machine.thread;
  if ((barrier.num_phases & 1) != parity) {
    join(thread.clock, barrier.completed);
    return;
  }
  barrier.waiting.emplace_back(&thread, parity);
  suspend("a barrier in memory");
}

void fence_async_proxy() {
  Clock& clock = machine.thread->clock;
  join(clock.fenced, clock.seen);
  tick(*machine.thread);
}

// ------------------------------------------------------------------------------ the whole device

namespace {

void synchronize(const std::int32_t* at, bool releases, const void* where) {
  Thread& thread = *machine.thread;
  if (!is_device_memory(at)) report("an atomic operation outside of the device's memory", where);
  if (const Conflict conflict = machine.global.synchronize(
          thread.block->number, thread.clock, reinterpret_cast<std::uintptr_t>(at), releases)) {
    report("an atomic operation", conflict, where);
  }
  tick(thread);
}

/// Others may come first.
void give_way() {
  if (machine.random() % 2 == 0) return;
  machine.block().gives_way = true;
  make_ready(machine.thread);
  suspend("its turn");
}

}  // namespace

std::int32_t count_around(std::int32_t* at, std::int32_t last) {
  give_way();
  synchronize(at, true, __builtin_return_address(0));
  const std::int32_t before = *at;
  *at = static_cast<std::uint32_t>(before) >= static_cast<std::uint32_t>(last) ? 0 : before + 1;
  return before;
}

std::int32_t load_acquire(const std::int32_t* at) {
  give_way();
  synchronize(at, false, __builtin_return_address(0));
  return *at;
}

void wait_for_previous_kernel() { machine.thread->has_waited = true; }

}  // namespace seesaw::emulator
