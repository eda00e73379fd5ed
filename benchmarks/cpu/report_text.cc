#include <fmt/format.h>

#include <iterator>

#include "cpu/report.h"

namespace seesaw::bench {
namespace {

using Text = std::back_insert_iterator<std::string>;

std::string size_text(std::int64_t num_bytes) {
  if (num_bytes >= std::int64_t{1} << 30) {
    return fmt::format("{:.1f} GiB", static_cast<double>(num_bytes) / (1 << 30));
  }
  if (num_bytes >= 1 << 20) return fmt::format("{} MiB", num_bytes >> 20);
  return fmt::format("{} KiB", num_bytes >> 10);
}

void write_machine(const Report& report, Text to) {
  const MachineFacts& machine = report.machine;
  fmt::format_to(to, "{} (family/model/stepping {}), {} cores, {}{}\n", machine.cpu_model,
                 machine.cpu_family, machine.num_cores, machine.kernel,
                 machine.is_virtual_machine ? ", virtual machine" : "");
  for (const auto& [name, num_bytes] : machine.caches) {
    fmt::format_to(to, "{} {}, ", name, size_text(num_bytes));
  }
  fmt::format_to(to, "memory {}, huge pages {}\n", size_text(machine.memory_bytes),
                 machine.transparent_huge_pages);
  fmt::format_to(to, "{} {}; commit {}; {}; load average {:.2f} before\n", machine.compiler,
                 machine.build_type, machine.git_commit, machine.date, machine.load_average);
  fmt::format_to(to, "{}\n", machine.command_line);
  for (const auto& [name, value] : report.settings) fmt::format_to(to, "  {}: {}\n", name, value);
}

void write_limits(const Report& report, Text to) {
  fmt::format_to(to, "\n{:<46} {:>7} {:>9} {:>9} {:>9} {:>9}\n", "machine limit", "threads",
                 "median", "best", "spread %", "at end");
  for (std::size_t i = 0; i < report.limits_before.size(); ++i) {
    const Limit& limit = report.limits_before[i];
    const bool has_after = i < report.limits_after.size();
    fmt::format_to(
        to, "{:<46} {:>7} {:>9.1f} {:>9.1f} {:>9.1f} {:>9} {}\n", limit.name, limit.num_threads,
        limit.rate.median, limit.rate.max, 100 * limit.rate.relative_spread(),
        has_after ? fmt::format("{:.1f}", report.limits_after[i].rate.median) : "-", limit.unit);
  }
}

std::string ratio(const std::optional<Comparison>& comparison) {
  return comparison ? fmt::format("{:.2f}", comparison->of_medians) : "-";
}

void write_row(const Row& row, Text to) {
  const std::string what = row.isa ? to_string(*row.isa) : row.contender;
  if (!row.failure.empty()) {
    fmt::format_to(to, "{:<50} {:>2} {:<11} not measured: {}\n", row.work.name(), row.num_threads,
                   what, row.failure);
    return;
  }
  const std::string percent =
      row.peak_gflops.count == 0 ? "-" : fmt::format("{:.1f}", row.percent_of_peak());
  fmt::format_to(to,
                 "{:<50} {:>2} {:<11} {:>9.3f} {:>9.3f} {:>6.1f} {:>8.1f} {:>6} {:>6.1f} {:>7} "
                 "{:>8} {:>8} {:>9.1e} {}\n",
                 row.work.name(), row.num_threads, what, row.seconds.median * 1e3,
                 row.seconds.min * 1e3, 100 * row.seconds.relative_spread(), row.gflops, percent,
                 row.kv_gbps, ratio(row.to_onednn), ratio(row.to_openblas),
                 ratio(row.to_one_thread), row.relative_error, row.is_correct ? "" : "WRONG");
}

void write_rows(const std::vector<Row>& rows, bool of_seesaw, Text to) {
  fmt::format_to(to,
                 "\n{:<50} {:>2} {:<11} {:>9} {:>9} {:>6} {:>8} {:>6} {:>6} {:>7} {:>8} {:>8} "
                 "{:>9}\n",
                 of_seesaw ? "Seesaw, cold paged cache" : "baselines, cold contiguous cache", "th",
                 of_seesaw ? "kernels" : "library", "ms", "min ms", "IQR %", "GFLOP/s", "% peak",
                 "GB/s", "xoneDNN", "xOpenBLAS", "speed-up", "error");
  for (const Row& row : rows) {
    if ((row.contender == "seesaw") == of_seesaw) write_row(row, to);
  }
}

}  // namespace

std::string to_text(const Report& report) {
  std::string text;
  const Text to(text);
  write_machine(report, to);
  write_limits(report, to);
  write_rows(report.rows, false, to);
  write_rows(report.rows, true, to);
  fmt::format_to(to,
                 "\n{:.0f} s in all; meanwhile {} preemptions, {:.1f} s of CPU time of other "
                 "processes, {:.1f} s stolen by other machines\n",
                 report.run_seconds, report.disturbance.preemptions,
                 report.disturbance.other_cpu_seconds, report.disturbance.stolen_seconds);
  return text;
}

}  // namespace seesaw::bench
