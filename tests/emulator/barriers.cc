// Where threads meet: named barriers, barriers in shared memory, counters in global memory. Who
// leaves knows what was done before by all who came.
#include <algorithm>
#include <string>
#include <utility>

#include "emulator/block.h"

namespace seesaw::emulator {

// ---------------------------------------------------------------------------------- named barriers

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

// --------------------------------------------------------------------------------- memory barriers

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

// -------------------------------------------------------------------------------- the whole device

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

void let_next_kernel_start() {
  if (!machine.thread->has_waited) {
    report("the next kernel may start before the previous one has ended",
           __builtin_return_address(0));
  }
}

}  // namespace seesaw::emulator
