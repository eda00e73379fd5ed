// Copies from global to shared memory. What is to be overwritten is made NaN when a copy is asked
// for, and is right when it is done.
#include <cstring>

#include "emulator/block.h"
#include "emulator/tensor_map.h"

namespace seesaw::emulator {
namespace {

constexpr int kRowBytes = 128;  // of a box, and of the swizzle

void finish_copies(const std::vector<ThreadCopy>& copies) {
  Thread& thread = *machine.thread;
  for (const ThreadCopy& copy : copies) {
    std::byte* const to = machine.at(copy.to);
    std::memset(to, 0, copy.num_bytes);
    if (copy.num_valid > 0) {
      std::memcpy(to, copy.from, copy.num_valid);
      note_read(copy.from, copy.num_valid, copy.where);
    }
    const std::size_t begin = machine.offset(copy.to);
    thread.block->accesses.finish_write(thread.now(), begin, begin + copy.num_bytes);
  }
}

}  // namespace

void copy_bytes(std::uint32_t to, const void* from, std::size_t num_bytes, std::size_t num_valid) {
  const void* const where = __builtin_return_address(0);
  Thread& thread = *machine.thread;
  if (to % num_bytes != 0 || reinterpret_cast<std::uintptr_t>(from) % num_bytes != 0)
    report("cp.async: misaligned", where);
  if (!is_shared(to, num_bytes, where)) return;
  if (num_valid > 0) {
    if (!is_device_memory(from)) {
      report("cp.async: from outside of the device's memory", where);
      return;
    }
    note_read(from, num_valid, where);
  }
  const std::size_t begin = machine.offset(to);
  const Access access{&thread.clock, thread.now(), Proxy::kGeneric, where};
  if (const Conflict conflict =
          thread.block->accesses.start_write(access, begin, begin + num_bytes)) {
    report("cp.async", conflict, where);
  }
  std::memset(machine.at(to), 0xff, num_bytes);
  thread.copies.push_back({to, static_cast<const std::byte*>(from), num_bytes, num_valid, where});
}

void commit_copies() {
  Thread& thread = *machine.thread;
  thread.copy_groups.push_back(std::move(thread.copies));
  thread.copies.clear();
}

void wait_for_copies(int num_pending) {
  Thread& thread = *machine.thread;
  if (num_pending < 0) {
    commit_copies();
    num_pending = 0;
  }
  while (thread.copy_groups.size() > static_cast<std::size_t>(num_pending)) {
    finish_copies(thread.copy_groups.front());
    thread.copy_groups.erase(thread.copy_groups.begin());
  }
}

void copy_box(const void* map_data, std::uint32_t to, const std::int32_t (&origin)[5],
              std::uint32_t barrier) {
  const void* const where = __builtin_return_address(0);
  TensorMap map;
  std::memcpy(&map, map_data, sizeof(map));
  Thread& thread = *machine.thread;
  Block& block = *thread.block;
  const auto found = block.barriers.find(barrier);
  if (found == block.barriers.end()) {
    report("a bulk copy counts towards a barrier that nobody made", where);
    return;
  }
  if (!found->second.is_fenced)
    report("a bulk copy counts towards a barrier that was made without fence.mbarrier_init", where);
  if (to % 1024 != 0 && map.box[1] % 8 == 0) report("a bulk copy is misaligned", where);
  std::size_t num_rows = 1;
  for (int i = 1; i < 5; ++i) num_rows *= map.box[i];
  if (!is_shared(to, num_rows * kRowBytes, where)) return;

  BoxCopy copy{.rows = {}, .barrier = barrier};
  std::uint64_t at[5] = {};
  for (std::size_t row = 0; row < num_rows; ++row) {
    std::size_t rest = row;
    bool is_inside = true;
    std::int64_t offset = std::int64_t{origin[0]} * kMapElementBytes;
    for (int i = 1; i < 5; ++i) {
      at[i] = rest % map.box[i];
      rest /= map.box[i];
      const std::int64_t idx = origin[i] + static_cast<std::int64_t>(at[i]);
      is_inside = is_inside && idx >= 0 && idx < static_cast<std::int64_t>(map.sizes[i]);
      offset += idx * static_cast<std::int64_t>(map.strides[i - 1]);
    }
    copy.rows.push_back({static_cast<std::uint32_t>(to + row * kRowBytes),
                         is_inside ? map.data + offset : nullptr});
  }
  const Access access{&thread.clock, {found->second.copy_actor, kUnderWay}, Proxy::kAsync, where};
  const std::size_t begin = machine.offset(to);
  if (const Conflict conflict =
          block.accesses.start_write(access, begin, begin + num_rows * kRowBytes)) {
    report("a bulk copy", conflict, where);
  }
  std::memset(machine.at(to), 0xff, num_rows * kRowBytes);
  block.copies.push_back(std::move(copy));
}

void finish_copy(Block& block, std::size_t idx) {
  const BoxCopy copy = std::move(block.copies[idx]);
  block.copies.erase(block.copies.begin() + static_cast<std::ptrdiff_t>(idx));
  MemoryBarrier& barrier = block.barriers.at(copy.barrier);
  for (const BoxCopy::Row& row : copy.rows) {
    for (int chunk = 0; chunk < kRowBytes / 16; ++chunk) {
      const std::uint32_t address = row.to + 16 * static_cast<std::uint32_t>(chunk);
      std::byte* const to = machine.at((row.to & ~127u) | ((address ^ address >> 3) & 0x70));
      if (row.from != nullptr) {
        std::memcpy(to, row.from + 16 * chunk, 16);
      } else {
        std::memset(to, 0, 16);
      }
    }
  }
  ++barrier.copy_tick;
  const std::size_t begin = machine.offset(copy.rows.front().to);
  block.accesses.finish_write({barrier.copy_actor, barrier.copy_tick}, begin,
                              begin + copy.rows.size() * kRowBytes);
  std::uint32_t& released = barrier.released.seen[barrier.copy_actor];
  released = barrier.copy_tick;
  complete_bytes(block, barrier, static_cast<std::int64_t>(copy.rows.size()) * kRowBytes);
}

}  // namespace seesaw::emulator
