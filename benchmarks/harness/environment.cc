#include "harness/environment.h"

#include <unistd.h>

#include <cstdlib>

namespace seesaw::bench {

void require_environment(
    char** argv, const std::vector<std::pair<std::string, std::optional<std::string>>>& settings) {
  bool is_changed = false;
  for (const auto& [name, wanted] : settings) {
    const char* present = std::getenv(name.c_str());
    const bool is_met = wanted ? present != nullptr && *wanted == present : present == nullptr;
    if (is_met) continue;
    wanted ? setenv(name.c_str(), wanted->c_str(), 1) : unsetenv(name.c_str());
    is_changed = true;
  }
  // If exec fails the program goes on without the settings; the result names those in force.
  if (is_changed) execv("/proc/self/exe", argv);
}

}  // namespace seesaw::bench
