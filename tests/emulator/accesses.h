// Who has read and written each word of memory, and whether what is done to it now happens after:
// the check for data races. Words are of four bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "emulator/clock.h"

namespace seesaw::emulator {

/// How memory is reached: what the one has written the other sees only after a fence.
enum class Proxy : std::uint8_t {
  kGeneric,  // loads, stores, ldmatrix, cp.async
  kAsync,    // wgmma, bulk tensor copies
};

/// Somebody who reaches memory now. `where`: an address in the code.
struct Access {
  const Clock* clock;
  Moment now;
  Proxy proxy = Proxy::kGeneric;
  const void* where = nullptr;
};

/// An access that the one now made does not happen after.
struct Conflict {
  const char* what = nullptr;  // nullptr: there is none
  const void* where = nullptr;
  Moment moment;

  explicit operator bool() const { return what != nullptr; }
};

/// Of a block's shared memory. Offsets are in bytes from its begin.
class SharedAccesses {
 public:
  /// Nobody has reached any of so many bytes.
  void reset(std::size_t num_bytes);

  Conflict read(const Access& access, std::size_t begin, std::size_t end);
  Conflict write(const Access& access, std::size_t begin, std::size_t end);
  /// A write that is not done before finish_write.
  Conflict start_write(const Access& access, std::size_t begin, std::size_t end);
  void finish_write(Moment now, std::size_t begin, std::size_t end);

 private:
  struct Reader {
    Moment moment;
    const void* where = nullptr;
  };
  struct Word {
    Moment writer;
    Proxy proxy = Proxy::kGeneric;
    std::uint8_t num_readers = 0;  // in `readers`; the others are in many_
    std::uint32_t many = 0;        // place in many_, 0: none
    const void* where = nullptr;
    std::array<Reader, 4> readers;
  };
  using ManyReaders = std::unordered_map<std::uint32_t, Reader>;  // by actor

  Conflict check_writer(const Word& word, const Access& access, const char* what) const;
  Conflict check_readers(const Word& word, const Access& access) const;
  void note_reader(Word& word, const Access& access);

  std::vector<Word> words_;
  std::vector<ManyReaders> many_{1};
};

/// Of the device's memory, during one launch. Words that nobody reached take no room.
class GlobalAccesses {
 public:
  void reset() {
    words_.clear();
    atomics_.clear();
  }
  /// Whether any of it was.
  bool is_written(std::uintptr_t begin, std::uintptr_t end) const;

  Conflict read(int block, const Access& access, std::uintptr_t begin, std::uintptr_t end);
  Conflict write(int block, const Access& access, std::uintptr_t begin, std::uintptr_t end);

  /// An atomic operation of a thread whose clock it is: what was released there before happens
  /// before whatever the thread does next.
  Conflict synchronize(int block, Clock& clock, std::uintptr_t at, bool releases);

 private:
  struct Known {
    int block = 0;
    Moment moment;
    const void* where = nullptr;
  };
  struct Word {
    Known writer;
    std::vector<Known> readers;
  };
  static bool knows(int block, const Clock& clock, const Known& known);
  bool knows_releases(int block, const Clock& clock, std::uintptr_t at) const;

  std::unordered_map<std::uintptr_t, Word> words_;
  std::unordered_map<std::uintptr_t, std::map<int, Ticks>> atomics_;  // what was released there
};

}  // namespace seesaw::emulator
