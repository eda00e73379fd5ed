// Runs a fuzz target on stored inputs with any compiler: usage: PROGRAM FOLDER..
// Every input is also cut short at each length, because that is how files break.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "fuzz_target.h"

namespace {

std::vector<std::uint8_t> read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// Runs the input and its beginnings; returns how many runs that were.
long run(const std::vector<std::uint8_t>& input) {
  constexpr std::size_t kMostCuts = 512;  // of a long input only some
  const std::size_t step = input.size() / kMostCuts + 1;
  long num_runs = 1;
  LLVMFuzzerTestOneInput(input.data(), input.size());
  for (std::size_t length = 0; length < input.size(); length += step, ++num_runs) {
    // A copy of exactly this length, so that AddressSanitizer sees a read behind it.
    const std::vector<std::uint8_t> cut(input.begin(),
                                        input.begin() + static_cast<std::ptrdiff_t>(length));
    LLVMFuzzerTestOneInput(cut.data(), cut.size());
  }
  return num_runs;
}

}  // namespace

int main(int argc, char** argv) {
  long num_inputs = 0;
  long num_runs = 0;
  for (int i = 1; i < argc; ++i) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      num_runs += run(read(entry.path()));
      ++num_inputs;
    }
  }
  std::printf("%ld inputs, %ld runs\n", num_inputs, num_runs);
  return num_inputs > 0 ? 0 : 1;  // an empty corpus proves nothing
}
