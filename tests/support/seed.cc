#include "support/seed.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <string>

namespace seesaw::testing {

std::uint64_t test_seed() {
  static const std::uint64_t seed = [] {
    const char* text = std::getenv("SEESAW_TEST_SEED");
    const std::uint64_t value =
        text != nullptr ? std::stoull(text, nullptr, 0) : std::random_device{}();
    std::cout << "SEESAW_TEST_SEED=" << value << std::endl;
    return value;
  }();
  return seed;
}

Rng make_rng(std::uint64_t stream_idx) {
  std::uint64_t name_hash = 14695981039346656037u;  // FNV-1a: equal on every platform
  if (const auto* test = ::testing::UnitTest::GetInstance()->current_test_info()) {
    for (char c : std::string(test->test_suite_name()) + "." + test->name())
      name_hash = (name_hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  }
  std::seed_seq sequence{test_seed() & 0xffffffffu, test_seed() >> 32,
                         name_hash & 0xffffffffu,   name_hash >> 32,
                         stream_idx & 0xffffffffu,  stream_idx >> 32};
  return Rng(sequence);
}

}  // namespace seesaw::testing
