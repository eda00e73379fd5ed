// What the compiler calls before each load and store of code that is compiled with
// -fsanitize=thread: here the emulator, not ThreadSanitizer's library, answers.
#include <cstddef>
#include <cstdint>

#include "emulator/machine.h"

using seesaw::emulator::note_read;
using seesaw::emulator::note_write;

#define SEESAW_NOTE(name, kind, size) \
  void name(void* at) { note_##kind(at, size, __builtin_return_address(0)); }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
SEESAW_NOTE(__tsan_read1, read, 1)
SEESAW_NOTE(__tsan_read2, read, 2)
SEESAW_NOTE(__tsan_read4, read, 4)
SEESAW_NOTE(__tsan_read8, read, 8)
SEESAW_NOTE(__tsan_read16, read, 16)
SEESAW_NOTE(__tsan_write1, write, 1)
SEESAW_NOTE(__tsan_write2, write, 2)
SEESAW_NOTE(__tsan_write4, write, 4)
SEESAW_NOTE(__tsan_write8, write, 8)
SEESAW_NOTE(__tsan_write16, write, 16)
SEESAW_NOTE(__tsan_unaligned_read2, read, 2)
SEESAW_NOTE(__tsan_unaligned_read4, read, 4)
SEESAW_NOTE(__tsan_unaligned_read8, read, 8)
SEESAW_NOTE(__tsan_unaligned_read16, read, 16)
SEESAW_NOTE(__tsan_unaligned_write2, write, 2)
SEESAW_NOTE(__tsan_unaligned_write4, write, 4)
SEESAW_NOTE(__tsan_unaligned_write8, write, 8)
SEESAW_NOTE(__tsan_unaligned_write16, write, 16)
void __tsan_read_range(void* at, std::size_t size) {
  note_read(at, size, __builtin_return_address(0));
}
void __tsan_write_range(void* at, std::size_t size) {
  note_write(at, size, __builtin_return_address(0));
}
// Of host code that is compiled with the kernels.
std::uint64_t __tsan_atomic64_load(const volatile std::uint64_t* at, int) {
  return __atomic_load_n(at, __ATOMIC_SEQ_CST);
}
void __tsan_atomic64_store(volatile std::uint64_t* at, std::uint64_t value, int) {
  __atomic_store_n(at, value, __ATOMIC_SEQ_CST);
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

}  // extern "C"
