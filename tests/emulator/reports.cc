#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <set>
#include <tuple>

#include "emulator/block.h"

namespace seesaw::emulator {
namespace {

struct Report {
  std::string what;
  const void* where;
  const void* other;
};

std::vector<Report> reports;
std::set<std::tuple<std::string, const void*, const void*>> seen;
constexpr std::size_t kMostReports = 20;

std::string who() {
  const Thread* const thread = machine.thread;
  if (thread == nullptr) return machine.launch.name;
  return std::string(machine.launch.name) + ", block " + std::to_string(thread->block->number) +
         ", thread " + std::to_string(thread->number) + " (warpgroup " +
         std::to_string(thread->warpgroup()) + ")";
}

/// File and line of an address that a call returns to.
std::string place(const void* address) {
  Dl_info info;
  if (address == nullptr || dladdr(address, &info) == 0) return "";
  char command[512];
  std::snprintf(command, sizeof(command), "addr2line -i -s -e /proc/%d/exe %#zx 2>/dev/null",
                static_cast<int>(getpid()),
                static_cast<std::size_t>(static_cast<const char*>(address) -
                                         static_cast<const char*>(info.dli_fbase) - 1));
  std::string words;
  if (std::FILE* const pipe = popen(command, "r")) {
    char line[256];
    while (std::fgets(line, sizeof(line), pipe) != nullptr) {
      words += words.empty() ? " at " : " in ";
      words += line;
      while (!words.empty() && words.back() == '\n') words.pop_back();
    }
    pclose(pipe);
  }
  return words;
}

}  // namespace

void report(const std::string& what, const void* where, const void* other) {
  if (reports.size() >= kMostReports || !seen.emplace(what, where, other).second) return;
  reports.push_back({who() + ": " + what, where, other});
}

void report(const char* access, const Conflict& conflict, const void* where) {
  if (reports.size() >= kMostReports) return;
  report(std::string(access) + " does not happen after " + conflict.what, where, conflict.where);
}

std::vector<std::string> take_reports() {
  std::vector<std::string> words;
  for (const Report& report : reports) {
    words.push_back(report.what + place(report.where) +
                    (report.other != nullptr ? "; that was" + place(report.other) : ""));
  }
  reports.clear();
  seen.clear();
  return words;
}

}  // namespace seesaw::emulator
