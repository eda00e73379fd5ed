// Words and matrices of shared memory, and the memory of the device.
#include <link.h>
#include <sys/mman.h>

#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "emulator/block.h"

namespace seesaw::emulator {
namespace {

/// All device memory lies here, so that an address alone tells it.
constexpr std::size_t kDeviceBytes = std::size_t{64} << 30;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kAlignment = 256;

struct DeviceMemory {
  std::mutex mutex;
  std::byte* begin;
  std::byte* next;  // never used again once released: what still points there must fail
  std::map<void*, std::pair<std::byte*, std::size_t>> pages;  // of each allocation

  DeviceMemory()
      : begin(static_cast<std::byte*>(mmap(nullptr, kDeviceBytes, PROT_NONE,
                                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))),
        next(begin) {}
};

DeviceMemory& device_memory() {
  static DeviceMemory memory;
  return memory;
}

}  // namespace

void* allocate(std::size_t num_bytes) {
  DeviceMemory& memory = device_memory();
  const std::lock_guard lock(memory.mutex);
  const std::size_t rounded = (num_bytes + kAlignment - 1) / kAlignment * kAlignment;
  const std::size_t paged = (rounded + kPage - 1) / kPage * kPage;
  if (paged + 2 * kPage > kDeviceBytes - static_cast<std::size_t>(memory.next - memory.begin))
    return nullptr;
  std::byte* const first = memory.next + kPage;
  if (mprotect(first, paged, PROT_READ | PROT_WRITE) != 0) return nullptr;
  memory.next = first + paged;
  std::byte* const data = first + (paged - rounded);
  std::memset(first, 0xa5, paged);
  memory.pages[data] = {first, paged};
  return data;
}

bool release(void* data) {
  DeviceMemory& memory = device_memory();
  const std::lock_guard lock(memory.mutex);
  const auto found = memory.pages.find(data);
  if (found == memory.pages.end()) return false;
  mmap(found->second.first, found->second.second, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  memory.pages.erase(found);
  return true;
}

bool is_device_memory(const void* data) {
  const DeviceMemory& memory = device_memory();
  const auto* const at = static_cast<const std::byte*>(data);
  return at >= memory.begin && at < memory.begin + kDeviceBytes;
}

std::uint32_t shared_address(const void* pointer) {
  return static_cast<std::uint32_t>(static_cast<const std::byte*>(pointer) - machine.shared) +
         kWindowBegin;
}

bool is_shared(std::uint32_t address, std::size_t num_bytes, const void* where) {
  if (address >= kWindowBegin && machine.offset(address) + num_bytes <= machine.launch.shared_bytes)
    return true;
  report("outside of the block's shared memory", where);
  return false;
}

namespace {

/// The program's thread-local memory, of this thread.
std::pair<const std::byte*, std::size_t> thread_local_memory() {
  std::pair<const std::byte*, std::size_t> found{nullptr, 0};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
          *static_cast<decltype(found)*>(data) = {
              static_cast<const std::byte*>(info->dlpi_tls_data), info->dlpi_phdr[i].p_memsz};
        }
        return 1;  // the program is the first
      },
      &found);
  return found;
}

/// Whether it is memory that a kernel declares __shared__ with a fixed size, and that is watched:
/// where blocks come one after the other.
bool is_static_shared(const void* at) {
  static thread_local const auto memory = thread_local_memory();
  const auto* const byte = static_cast<const std::byte*>(at);
  return machine.launch.shared_bytes == 0 && byte >= memory.first &&
         byte < memory.first + memory.second;
}

}  // namespace

// ------------------------------------------------------------------------------- ordinary accesses

namespace {

bool is_in_shared(const void* at) {
  const auto* const byte = static_cast<const std::byte*>(at);
  return byte >= machine.shared && byte < machine.shared + machine.launch.shared_bytes;
}

void note(const void* at, std::size_t num_bytes, bool writes, const void* where) {
  Thread* const thread = machine.thread;
  // Threads may write parts of a word, which is the least that is told apart.
  if (thread == nullptr || num_bytes % 4 != 0 || reinterpret_cast<std::uintptr_t>(at) % 4 != 0)
    return;
  const Access access{&thread->clock, thread->now(), Proxy::kGeneric, where};
  Block& block = *thread->block;
  Conflict conflict;
  if (is_in_shared(at)) {
    const auto begin = static_cast<std::size_t>(static_cast<const std::byte*>(at) - machine.shared);
    conflict = writes ? block.accesses.write(access, begin, begin + num_bytes)
                      : block.accesses.read(access, begin, begin + num_bytes);
  } else if (const bool is_global = is_device_memory(at); is_global || is_static_shared(at)) {
    if (is_global && !thread->has_waited)
      report("device memory is reached before the previous kernel is waited for", where);
    GlobalAccesses& accesses = is_global ? machine.global : machine.statics;
    const auto begin = reinterpret_cast<std::uintptr_t>(at);
    conflict = writes ? accesses.write(block.number, access, begin, begin + num_bytes)
                      : accesses.read(block.number, access, begin, begin + num_bytes);
  }
  if (conflict) report(writes ? "a write" : "a read", conflict, where);
}

}  // namespace

void note_read(const void* at, std::size_t num_bytes, const void* where) {
  note(at, num_bytes, false, where);
}

void load_before_wait(const void* from, void* to, std::size_t num_bytes) {
  const void* const where = __builtin_return_address(0);
  Thread& thread = *machine.thread;
  const auto begin = reinterpret_cast<std::uintptr_t>(from);
  if (!thread.has_waited && machine.previous.is_written(begin, begin + num_bytes)) {
    report("a load before the wait, of what the previous kernel writes", where);
  }
  std::memcpy(to, from, num_bytes);
  const bool has_waited = std::exchange(thread.has_waited, true);
  note(from, num_bytes, false, where);
  thread.has_waited = has_waited;
}

void end_kernels() {
  machine.global.reset();
  machine.previous.reset();
}

void note_write(const void* at, std::size_t num_bytes, const void* where) {
  note(at, num_bytes, true, where);
}

void read_shared(std::uint32_t from, void* to, std::size_t num_bytes) {
  const void* const where = __builtin_return_address(0);
  if (from % num_bytes != 0) report("a load from shared memory is misaligned", where);
  if (!is_shared(from, num_bytes, where)) return;
  std::memcpy(to, machine.at(from), num_bytes);
  note(machine.at(from), num_bytes, false, where);
}

void write_shared(std::uint32_t to, const void* from, std::size_t num_bytes) {
  const void* const where = __builtin_return_address(0);
  if (to % num_bytes != 0) report("a store to shared memory is misaligned", where);
  if (!is_shared(to, num_bytes, where)) return;
  std::memcpy(machine.at(to), from, num_bytes);
  note(machine.at(to), num_bytes, true, where);
}

// ------------------------------------------------------------------------------ ldmatrix, stmatrix

namespace {

/// Element `column` of row `row` of a lane's i-th matrix is what it gets; each lane gives a row's
/// address.
template <typename Take>
void load_rows(std::uint32_t row_address, const void* where, const Take& take) {
  if (is_shared(row_address, 16, where)) note(machine.at(row_address), 16, false, where);
  const std::uint64_t* const rows = exchange("ldmatrix", row_address);
  take([&](unsigned matrix, unsigned row, unsigned column) {
    std::uint16_t element = 0;
    const auto address = static_cast<std::uint32_t>(rows[8 * matrix + row]);
    if (is_shared(address, 16, where))
      std::memcpy(&element, machine.at(address) + 2 * column, sizeof(element));
    return std::uint32_t{element};
  });
  exchange("ldmatrix's end", 0);  // nobody overwrites what others still read
}

}  // namespace

void load_matrices(std::uint32_t (&x)[4], std::uint32_t row_address) {
  const unsigned lane = lane_id();
  load_rows(row_address, __builtin_return_address(0), [&](const auto& element) {
    for (unsigned i = 0; i < 4; ++i) {
      x[i] = element(i, lane / 4, lane % 4 * 2) | element(i, lane / 4, lane % 4 * 2 + 1) << 16;
    }
  });
}

void load_transposed(std::uint32_t (&x)[4], std::uint32_t row_address) {
  const unsigned lane = lane_id();
  load_rows(row_address, __builtin_return_address(0), [&](const auto& element) {
    for (unsigned i = 0; i < 4; ++i) {
      x[i] = element(i, lane % 4 * 2, lane / 4) | element(i, lane % 4 * 2 + 1, lane / 4) << 16;
    }
  });
}

void store_matrices(std::uint32_t row_address, const std::uint32_t* x) {
  const void* const where = __builtin_return_address(0);
  if (is_shared(row_address, 16, where)) note(machine.at(row_address), 16, true, where);
  const std::uint64_t* const rows = exchange("stmatrix", row_address);
  std::array<std::uint32_t, kWarp> addresses{};
  for (std::size_t i = 0; i < kWarp; ++i) addresses[i] = static_cast<std::uint32_t>(rows[i]);
  const unsigned lane = lane_id();
  for (unsigned i = 0; i < 4; ++i) {
    const std::uint32_t row = addresses[8 * i + lane / 4];
    if (is_shared(row, 16, where)) std::memcpy(machine.at(row) + lane % 4 * 4, &x[i], 4);
  }
  exchange("stmatrix's end", 0);
}

}  // namespace seesaw::emulator
