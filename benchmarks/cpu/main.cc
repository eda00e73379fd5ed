// seesaw_bench_cpu: Seesaw's CPU kernels beside baselines and the machine's own limits, in one run.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <regex>
#include <stdexcept>

#include "cpu/measure.h"
#include "cpu/report.h"
#include "harness/environment.h"
#include "harness/json_file.h"
#include "seesaw/seesaw.h"

namespace seesaw::bench {
namespace {

constexpr int kExitWrong = 1;  // a result was not correct
constexpr int kExitUsage = 2;

struct Arguments {
  std::string json_path;
  std::string filter = ".*";
  std::vector<int> threads;
  int num_rounds = 20;
  std::int64_t pool_mib = 512;
  std::uint64_t seed = 1;
  bool is_quick = false;
  bool only_lists = false;
  bool keeps_environment = false;
};

/// The settings in which the baselines are at their best. OpenBLAS's threads by default spin for
/// 26 ms after each call, through the next contender's turn; its SkylakeX code is as quick as its
/// Cooperlake code with 128 rows and a tenth quicker with 16 (0.3.21 on an EPYC of family 26).
std::vector<std::pair<std::string, std::optional<std::string>>> library_settings() {
  std::optional<std::string> core;
  if (cpu_supports(CpuIsa::kAvx512)) core = "SkylakeX";
  return {{"OPENBLAS_CORETYPE", core},        {"OPENBLAS_THREAD_TIMEOUT", "22"},
          {"OPENBLAS_L2_SIZE", std::nullopt}, {"OMP_WAIT_POLICY", std::nullopt},
          {"OMP_NUM_THREADS", std::nullopt},  {"ONEDNN_MAX_CPU_ISA", std::nullopt},
          {"DNNL_MAX_CPU_ISA", std::nullopt}};
}

void add_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--json", arguments.json_path, "write all results to this file");
  app.add_option("--filter", arguments.filter,
                 "measure only work whose name holds this regular expression (see --list)");
  app.add_option("--threads", arguments.threads, "thread counts to measure")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  app.add_option("--rounds", arguments.num_rounds,
                 "rounds in which each contender gets a burst of calls")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  app.add_option("--pool-mib", arguments.pool_mib,
                 "size of the cache pool of each kind; many times the last-level cache")
      ->check(CLI::Range(64, 1 << 20))
      ->capture_default_str();
  app.add_option("--seed", arguments.seed, "of the random inputs")->capture_default_str();
  app.add_flag("--quick", arguments.is_quick, "5 rounds: an impression in about a minute");
  app.add_flag("--keep-environment", arguments.keeps_environment,
               "leave the variables that steer OpenBLAS, OpenMP and oneDNN as they are");
  app.add_flag("--list", arguments.only_lists, "print the work list and end");
}

std::vector<WorkGroup> chosen_groups(const Arguments& arguments, CpuIsa best) {
  const std::regex filter(arguments.filter);
  std::vector<WorkGroup> groups;
  for (WorkGroup& group : work_list(best)) {
    if (std::regex_search(group.work.name(), filter)) groups.push_back(std::move(group));
  }
  return groups;
}

std::vector<std::pair<std::string, std::string>> settings_in_force(const Bench::Options& options) {
  std::vector<std::pair<std::string, std::string>> settings = {
      {"seesaw", SEESAW_VERSION},
      {"onednn", OneDnnLibrary().name()},
      {"openblas", OpenBlasLibrary().name()},
      {"rounds", std::to_string(options.pace.num_rounds)},
      {"burst_ms", fmt::format("{}", options.pace.burst_seconds * 1e3)},
      {"settle_ms", fmt::format("{}", options.pace.settle_seconds * 1e3)},
      {"pool_mib", std::to_string(options.pool_bytes >> 20)},
      {"seed", std::to_string(options.seed)}};
  for (const auto& [name, wanted] : library_settings()) {
    const char* value = std::getenv(name.c_str());
    if (value != nullptr) settings.emplace_back(name, value);
  }
  return settings;
}

int run(const Arguments& arguments, int argc, char** argv) {
  const DeviceSpec device = probe_cpu().value();
  const std::vector<WorkGroup> groups = chosen_groups(arguments, device.cpu_isa);
  if (groups.empty()) throw std::runtime_error("--filter: nothing is named so; see --list");
  if (arguments.only_lists) {
    for (const WorkGroup& group : groups) {
      for (CpuIsa isa : group.isas) fmt::print("{} [{}]\n", group.work.name(), to_string(isa));
    }
    return 0;
  }

  if (!arguments.json_path.empty()) require_writable(arguments.json_path);

  Bench::Options options;
  options.threads = arguments.threads;
  if (options.threads.empty()) {
    options.threads = {1};
    if (num_available_cores() > 1) options.threads.push_back(2);
  }
  options.pace.num_rounds = arguments.is_quick ? 5 : arguments.num_rounds;
  options.pool_bytes = arguments.pool_mib << 20;
  options.seed = arguments.seed;
  const LimitOptions limit_options{.threads = options.threads,
                                   .num_rounds = arguments.is_quick ? 3 : 7,
                                   .memory_bytes = options.pool_bytes,
                                   .l2_bytes = device.l2_bytes,
                                   .l3_bytes = device.l3_bytes};

  Report report;
  report.machine = gather_machine_facts(argc, argv);
  report.settings = settings_in_force(options);
  if (report.machine.load_average > 0.5) {
    fmt::print(stderr, "warning: load average {:.2f}: other work disturbs every figure\n",
               report.machine.load_average);
  }
  const Disturbance disturbance_before = disturbance_so_far();
  const auto begin = std::chrono::steady_clock::now();
  Bench bench(device, options);
  const auto team = [&bench](int num_threads) -> ThreadTeam& { return bench.team(num_threads); };
  fmt::print(stderr, "limits of the machine\n");
  report.limits_before = measure_limits(limit_options, team);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    fmt::print(stderr, "[{}/{}] {}\n", i + 1, groups.size(), groups[i].work.name());
    for (Row& row : bench.measure(groups[i])) {
      row.group_idx = i;
      report.rows.push_back(std::move(row));
    }
  }
  report.limits_after = measure_limits(limit_options, team);
  report.disturbance = disturbance_so_far() - disturbance_before;
  report.run_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  if (!arguments.json_path.empty()) write_json(report, arguments.json_path);
  fmt::print("{}", to_text(report));
  for (const Row& row : report.rows) {
    if (row.failure.empty() && !row.is_correct) return kExitWrong;
  }
  return 0;
}

/// The exit code; errors by exception.
int parse_and_run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Measures Seesaw's CPU attention beside two matrix products through oneDNN and OpenBLAS and "
      "the machine's own limits, all in turn in one run.");
  add_options(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  if (!arguments.keeps_environment) require_environment(argv, library_settings());
  return run(arguments, argc, argv);
}

}  // namespace
}  // namespace seesaw::bench

int main(int argc, char** argv) {
  try {
    return seesaw::bench::parse_and_run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "seesaw_bench_cpu: %s\n", error.what());
    return seesaw::bench::kExitUsage;
  }
}
