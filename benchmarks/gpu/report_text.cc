#include <fmt/format.h>

#include "gpu/report.h"

namespace seesaw::bench {
namespace {

std::string limits_text(const char* when, const DeviceLimits& limits) {
  std::string text = fmt::format("{}: read bandwidth {:.0f} GB/s (best {:.0f})", when,
                                 limits.read_gbps.median, limits.read_gbps.max);
  if (limits.matrix_product_tflops.count > 0) {
    text += fmt::format("; cuBLAS bfloat16 8192^3 {:.0f} TFLOPS (best {:.0f})",
                        limits.matrix_product_tflops.median, limits.matrix_product_tflops.max);
  } else {
    text += "; cuBLAS: " + limits.matrix_product_note;
  }
  return text + "\n";
}

/// "427 (416)": single and burst.
std::string pair_text(double single, double burst, int digits = 0) {
  return fmt::format("{:.{}f} ({:.{}f})", single, digits, burst, digits);
}

std::string row_text(const Report& report, const Row& row) {
  const std::string name = row.shape.name();
  if (!row.failure.empty()) return fmt::format("{:<44} {}\n", name, row.failure);
  const double single = median_of(row.decode.single);
  const double burst = median_of(row.decode.burst);
  const double read = report.limits_before.read_gbps.median * 1e9;
  const auto us = [](double seconds) { return seconds * 1e6; };
  std::string text = fmt::format(
      "{:<44} {:>17} {:>13} {:>13} {:>11} {:>17} {:>11} {:>5.1f}", name,
      pair_text(us(single), us(burst), 1),
      pair_text(row.operations / single * 1e-12, row.operations / burst * 1e-12),
      pair_text(row.bytes / single * 1e-9, row.bytes / burst * 1e-9),
      pair_text(100 * row.bytes / single / read, 100 * row.bytes / burst / read),
      pair_text(us(median_of(row.host_plan.single)), us(median_of(row.host_plan.burst)), 1),
      pair_text(us(median_of(row.prepare.single)), us(median_of(row.prepare.burst)), 1),
      100 * summarize(row.decode.single).relative_spread());
  if (report.peer) {
    const PeerRow* peer = report.peer->find(name);
    text += peer == nullptr ? fmt::format(" {:>13}", "-")
                            : fmt::format(" {:>13}", pair_text(peer->single_us / us(single),
                                                               peer->burst_us / us(burst), 2));
  }
  if (row.relative_error >= 0)
    text += fmt::format(" {:>8.1e}{}", row.relative_error, row.is_correct ? "" : " WRONG");
  return text + "\n";
}

}  // namespace

std::string to_text(const Report& report) {
  std::string text =
      fmt::format("{} ({} multiprocessors, sm_{}), commit {}, {}\n", report.device.name,
                  report.device.num_workers, report.device.sm_arch, report.machine.git_commit,
                  report.machine.date);
  for (const auto& [name, value] : report.settings) text += fmt::format("{} {}; ", name, value);
  text += fmt::format("run of {:.0f} s\n", report.run_seconds);
  text += limits_text("before", report.limits_before) + limits_text("after", report.limits_after);
  text +=
      "medians: calls timed alone (in brackets: back to back in a graph); % read: of the read "
      "bandwidth before; host plan: the same call planned on the host; IQR: spread of single "
      "calls\n\n";
  text += fmt::format("{:<44} {:>17} {:>13} {:>13} {:>11} {:>17} {:>11} {:>5}", "shape", "us",
                      "TFLOPS", "GB/s", "% read", "host plan us", "planning us", "IQR%");
  if (report.peer) text += fmt::format(" {:>13}", "x " + report.peer->name);
  text += fmt::format(" {:>8}\n", "error");
  for (const Row& row : report.rows) text += row_text(report, row);
  return text;
}

}  // namespace seesaw::bench
