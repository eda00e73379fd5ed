// What every fuzz target offers, and what it does when a promise of the code under test is broken.
#pragma once

#include <cstddef>
#include <cstdint>

/// Runs the code under test on one input; called by libFuzzer and by run_corpus.cc.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace seesaw::fuzz {

/// Ends the process where `holds` is false, so that the input is kept as a crash.
inline void check(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace seesaw::fuzz
