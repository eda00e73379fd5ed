// What a result must say about where it comes from.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace seesaw::bench {

/// Facts as name and value, in the order they are worth reading. Sizes in bytes.
struct MachineFacts {
  std::string cpu_model;
  std::string cpu_family;                                    // "26/2/1": family, model, stepping
  std::vector<std::string> isa;                              // vector extensions the kernel shows
  int num_cores = 0;                                         // that this process may use
  std::vector<std::pair<std::string, std::int64_t>> caches;  // "L1d" etc., of core 0
  std::int64_t memory_bytes = 0;
  std::string transparent_huge_pages;
  std::string kernel;
  bool is_virtual_machine = false;
  double load_average = 0;  // over the last minute, before the first measurement
  std::string compiler;
  std::string build_type;
  std::string compiler_flags;
  std::string git_commit;  // of the source at build time; "-dirty" behind it: changed files
  std::string command_line;
  std::string date;  // UTC, ISO 8601
};

MachineFacts gather_machine_facts(int argc, char** argv);

/// Cores this process may run on.
int num_available_cores();

}  // namespace seesaw::bench
