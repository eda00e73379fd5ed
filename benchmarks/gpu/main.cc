// seesaw_bench_gpu: dense decode on a CUDA device beside the device's own limits, in one run.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <regex>
#include <stdexcept>

#include "gpu/report.h"
#include "harness/json_file.h"
#include "seesaw/seesaw.h"

namespace seesaw::bench {
namespace {

constexpr int kExitWrong = 1;  // a result was not correct
constexpr int kExitUsage = 2;

struct Arguments {
  std::string json_path;
  std::string peer_path;
  std::string cublas_path;
  std::string filter = ".*";
  std::string mode = "auto";
  std::string kernel = "best";
  int num_rounds = 3;
  int most_sets = 64;
  int ordinal = 0;
  std::uint64_t seed = 1;
  bool is_causal = false;
  bool is_quick = false;
  bool is_unchecked = false;
  bool only_lists = false;
};

void add_options(CLI::App& app, Arguments& arguments) {
  app.add_option("--json", arguments.json_path, "write all results to this file");
  app.add_option("--peer", arguments.peer_path,
                 "another library's results of this form: adds its time divided by Seesaw's");
  app.add_option("--filter", arguments.filter,
                 "measure only shapes whose name holds this regular expression (see --list)");
  app.add_option("--rounds", arguments.num_rounds, "passes over all shapes")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--mode", arguments.mode,
                 "schedule; auto: latency up to 16 requests, else throughput")
      ->check(CLI::IsMember({"auto", "throughput", "latency", "batch_invariant"}))
      ->capture_default_str();
  app.add_option("--kernel", arguments.kernel, "best, or portable: plan as for an sm_80")
      ->check(CLI::IsMember({"best", "portable"}))
      ->capture_default_str();
  app.add_option("--sets", arguments.most_sets,
                 "sets of pages in turn; 1: small caches stay in the L2 cache")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--device", arguments.ordinal, "which device")->check(CLI::Range(0, 63));
  app.add_option("--seed", arguments.seed, "of lengths, pages and data")->capture_default_str();
  app.add_option("--cublas", arguments.cublas_path, "cuBLAS's file, if the loader finds none");
  app.add_flag("--causal", arguments.is_causal, "with the causal mask");
  app.add_flag("--quick", arguments.is_quick, "the main shapes, one short round");
  app.add_flag("--no-check", arguments.is_unchecked, "do not compare with the oracle");
  app.add_flag("--list", arguments.only_lists, "print the shapes and end");
}

std::vector<Shape> chosen_shapes(const Arguments& arguments) {
  const std::regex filter(arguments.filter);
  std::vector<Shape> shapes;
  for (const Shape& shape : all_shapes()) {
    const bool is_in = !arguments.is_quick || shape.is_quick || arguments.filter != ".*";
    if (is_in && std::regex_search(shape.name(), filter)) shapes.push_back(shape);
  }
  if (shapes.empty()) throw std::runtime_error("--filter: nothing is named so; see --list");
  return shapes;
}

WorkloadOptions workload_options(const Arguments& arguments) {
  WorkloadOptions options;
  options.is_latency_for_few = arguments.mode == "auto";
  if (arguments.mode == "latency") options.mode = ScheduleMode::kLatency;
  if (arguments.mode == "batch_invariant") options.mode = ScheduleMode::kBatchInvariant;
  options.mask = arguments.is_causal ? Mask::kCausal : Mask::kNone;
  options.is_portable = arguments.kernel == "portable";
  options.max_sets = arguments.most_sets;
  options.seed = arguments.seed;
  return options;
}

DeviceSpec find_device(int ordinal) {
  const std::vector<DeviceSpec> devices = probe_cuda();
  for (const DeviceSpec& device : devices) {
    if (device.cuda_ordinal == ordinal) return device;
  }
  throw std::runtime_error(fmt::format("--device: is {}, but this machine shows {} CUDA devices",
                                       ordinal, devices.size()));
}

/// A shape with its place on the device; none where it failed.
struct Entry {
  Row row;
  std::unique_ptr<Workload> workload;
};

class Run {
 public:
  Run(const Arguments& arguments, const DeviceSpec& device)
      : arguments_(arguments), device_(device), options_(workload_options(arguments)) {
    pace_.num_rounds = arguments.is_quick ? 1 : arguments.num_rounds;
    if (arguments.is_quick) pace_.burst_seconds = 0.03;
  }

  void set_up(const std::vector<Shape>& shapes) {
    constexpr std::size_t kLeastPool = std::size_t{4} << 30;
    for (DType dtype : {DType::kBFloat16, DType::kFloat16}) {
      const bool is_used =
          std::any_of(shapes.begin(), shapes.end(), [&](auto& s) { return s.dtype == dtype; });
      if (is_used)
        pools_.push_back(std::make_unique<Pool>(stream_, shapes, dtype, kLeastPool, options_.seed));
    }
    for (const Shape& shape : shapes) entries_.push_back(make_entry(shape));
  }

  void measure() {
    for (int round = 0; round < pace_.num_rounds; ++round)
      for (std::size_t i = 0; i < entries_.size(); ++i) {
        Entry& entry = entries_[i];
        fmt::print(stderr, "\rround {}/{} [{}/{}] {:<50}", round + 1, pace_.num_rounds, i + 1,
                   entries_.size(), entry.row.shape.name());
        guarded(entry, [&] { measure_round(*entry.workload, stream_, timer_, pace_, entry.row); });
      }
    fmt::print(stderr, "\r{:<80}\r", "");
  }

  void check() {
    for (Entry& entry : entries_)
      guarded(entry, [&] {
        check_result(*entry.workload, pool(entry.row.shape.dtype), stream_, options_.mask,
                     entry.row);
      });
  }

  std::vector<Row> rows() const {
    std::vector<Row> rows;
    for (const Entry& entry : entries_) rows.push_back(entry.row);
    return rows;
  }
  const Stream& stream() const { return stream_; }

 private:
  template <typename Work>
  void guarded(Entry& entry, const Work& work) {
    if (!entry.row.failure.empty()) return;
    try {
      work();
    } catch (const Error& error) {  // a Status: the device is still well
      entry.row.failure = error.what();
    }
  }

  const Pool& pool(DType dtype) const {
    for (const auto& pool : pools_) {
      if (pool->dtype == dtype) return *pool;
    }
    throw std::logic_error("no pool of this type");
  }

  Entry make_entry(const Shape& shape) {
    Entry entry;
    entry.row.shape = shape;
    guarded(entry, [&] {
      entry.workload =
          std::make_unique<Workload>(shape, pool(shape.dtype), device_, stream_, options_);
      const WorkPlan& plan = entry.workload->plan();
      entry.row.kernel = plan.kernel_name;
      entry.row.mode = plan.mode;
      entry.row.group_size = plan.groups.shape.group_size;
      entry.row.num_groups = plan.groups.shape.num_groups;
      entry.row.num_sets = entry.workload->num_sets();
      entry.row.host_plan_splits = entry.workload->host_plan_splits();
      entry.row.operations = num_operations(shape, entry.workload->lengths());
      entry.row.bytes = num_bytes(shape, entry.workload->lengths());
    });
    return entry;
  }

  Arguments arguments_;
  DeviceSpec device_;
  WorkloadOptions options_;
  Pace pace_;
  Stream stream_;
  EventTimer timer_;
  std::vector<std::unique_ptr<Pool>> pools_;
  std::vector<Entry> entries_;
};

int run(const Arguments& arguments, int argc, char** argv) {
  const std::vector<Shape> shapes = chosen_shapes(arguments);
  if (arguments.only_lists) {
    for (const Shape& shape : shapes) fmt::print("{}\n", shape.name());
    return 0;
  }
  if (!arguments.json_path.empty()) require_writable(arguments.json_path);
  Report report;
  if (!arguments.peer_path.empty()) report.peer = read_peer(arguments.peer_path);
  report.device = find_device(arguments.ordinal);
  require_cuda(cudaSetDevice(arguments.ordinal), "cudaSetDevice");
  report.machine = gather_machine_facts(argc, argv);
  report.settings = {{"mode", arguments.mode},
                     {"kernel", arguments.kernel},
                     {"mask", arguments.is_causal ? "causal" : "none"},
                     {"rounds", std::to_string(arguments.is_quick ? 1 : arguments.num_rounds)},
                     {"seed", std::to_string(arguments.seed)}};
  const auto begin = std::chrono::steady_clock::now();
  const Cublas cublas(arguments.cublas_path);
  Run measured(arguments, report.device);
  report.limits_before =
      measure_limits(measured.stream(), report.device, cublas, arguments.is_quick);
  measured.set_up(shapes);
  measured.measure();
  report.limits_after =
      measure_limits(measured.stream(), report.device, cublas, arguments.is_quick);
  if (!arguments.is_unchecked) measured.check();
  report.rows = measured.rows();
  report.run_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (!arguments.json_path.empty()) write_json(report, arguments.json_path);
  fmt::print("{}", to_text(report));
  for (const Row& row : report.rows) {
    if (!row.failure.empty() || !row.is_correct) return kExitWrong;
  }
  return 0;
}

}  // namespace
}  // namespace seesaw::bench

int main(int argc, char** argv) {
  using namespace seesaw::bench;
  Arguments arguments;
  CLI::App app("Measures Seesaw's dense decode on a CUDA device, and the device's own limits.");
  try {
    add_options(app, arguments);
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  try {
    return run(arguments, argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "seesaw_bench_gpu: %s\n", error.what());
    return kExitUsage;
  }
}
