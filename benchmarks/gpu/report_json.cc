#include <fmt/format.h>

#include <fstream>
#include <stdexcept>

#include "gpu/report.h"
#include "harness/json_file.h"

namespace seesaw::bench {
namespace {

Json to_json(const DeviceLimits& limits) {
  Json json = {{"read_gbps", to_json(limits.read_gbps)}};
  json["matrix_product_tflops"] = limits.matrix_product_tflops.count > 0
                                      ? to_json(limits.matrix_product_tflops)
                                      : Json(nullptr);
  json["matrix_product_library"] = limits.matrix_product_note;
  return json;
}

Json to_json(const Timings& timings) {
  return {{"single_seconds", to_json(summarize(timings.single))},
          {"burst_seconds", to_json(summarize(timings.burst))}};
}

Json to_json(const MachineFacts& machine, const DeviceSpec& device) {
  int driver = 0;
  int runtime = 0;
  int clock_khz = 0;
  int memory_clock_khz = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, device.cuda_ordinal);
  cudaDeviceGetAttribute(&memory_clock_khz, cudaDevAttrMemoryClockRate, device.cuda_ordinal);
  return {{"gpu", device.name},
          {"num_multiprocessors", device.num_workers},
          {"sm_arch", device.sm_arch},
          {"gpu_memory_bytes", device.memory_bytes},
          {"l2_bytes", device.l2_bytes},
          {"most_clock_mhz", clock_khz / 1000},
          {"memory_clock_mhz", memory_clock_khz / 1000},
          {"cuda_driver", driver},
          {"cuda_runtime", runtime},
          {"cpu_model", machine.cpu_model},
          {"kernel", machine.kernel},
          {"is_virtual_machine", machine.is_virtual_machine},
          {"compiler", machine.compiler},
          {"build_type", machine.build_type},
          {"git_commit", machine.git_commit},
          {"command_line", machine.command_line},
          {"date", machine.date}};
}

Json to_json(const Row& row) {
  const Shape& s = row.shape;
  Json json = {{"name", s.name()},
               {"batch", s.batch},
               {"s_q", s.s_q},
               {"h_q", s.h_q},
               {"s_k", s.s_k},
               {"is_varied", s.is_varied},
               {"d_qk", s.d_qk},
               {"d_v", s.d_v},
               {"page_size", s.page_size},
               {"dtype", to_string(s.dtype)}};
  if (!row.failure.empty()) {
    json["failure"] = row.failure;
    return json;
  }
  const double single = median_of(row.decode.single);
  const double burst = median_of(row.decode.burst);
  json["kernel"] = row.kernel;
  json["mode"] = to_string(row.mode);
  json["group_size"] = row.group_size;
  json["num_groups"] = row.num_groups;
  json["num_sets"] = row.num_sets;
  json["operations"] = row.operations;
  json["bytes"] = row.bytes;
  json["single_us"] = single * 1e6;
  json["burst_us"] = burst * 1e6;
  json["single_tflops"] = row.operations / single * 1e-12;
  json["burst_tflops"] = row.operations / burst * 1e-12;
  json["single_gbps"] = row.bytes / single * 1e-9;
  json["burst_gbps"] = row.bytes / burst * 1e-9;
  json["decode"] = to_json(row.decode);
  json["decode_host_plan"] = to_json(row.host_plan);
  json["host_plan_splits"] = row.host_plan_splits;
  json["prepare"] = to_json(row.prepare);
  json["relative_error"] = row.relative_error < 0 ? Json(nullptr) : Json(row.relative_error);
  json["is_correct"] = row.is_correct;
  return json;
}

}  // namespace

const PeerRow* Peer::find(const std::string& shape) const {
  for (const PeerRow& row : rows) {
    if (row.name == shape) return &row;
  }
  return nullptr;
}

Peer read_peer(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("--peer: cannot read " + path.string());
  try {
    const Json json = Json::parse(file);
    Peer peer{.name = json.at("name"), .rows = {}};
    for (const Json& row : json.at("rows")) {
      if (row.contains("failure")) continue;
      peer.rows.push_back({row.at("name"), row.at("single_us"), row.at("burst_us")});
    }
    return peer;
  } catch (const Json::exception& error) {
    throw std::runtime_error(fmt::format("--peer: {}: {}", path.string(), error.what()));
  }
}

void write_json(const Report& report, const std::filesystem::path& path) {
  Json settings = Json::object();
  for (const auto& [name, value] : report.settings) settings[name] = value;
  Json rows = Json::array();
  for (const Row& row : report.rows) rows.push_back(to_json(row));
  const Json json = {{"schema", "seesaw-bench-gpu-1"},
                     {"name", "seesaw"},
                     {"machine", to_json(report.machine, report.device)},
                     {"settings", settings},
                     {"run_seconds", report.run_seconds},
                     {"limits_before", to_json(report.limits_before)},
                     {"limits_after", to_json(report.limits_after)},
                     {"rows", rows}};
  write_json_file(json, path);
}

}  // namespace seesaw::bench
