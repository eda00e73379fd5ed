#include "cpu/report.h"
#include "harness/json_file.h"

namespace seesaw::bench {
namespace {

Json to_json(const MachineFacts& machine) {
  Json caches = Json::object();
  for (const auto& [name, num_bytes] : machine.caches) caches[name] = num_bytes;
  return {{"cpu_model", machine.cpu_model},
          {"cpu_family_model_stepping", machine.cpu_family},
          {"isa", machine.isa},
          {"num_cores", machine.num_cores},
          {"cache_bytes", caches},
          {"memory_bytes", machine.memory_bytes},
          {"transparent_huge_pages", machine.transparent_huge_pages},
          {"kernel", machine.kernel},
          {"is_virtual_machine", machine.is_virtual_machine},
          {"load_average_before", machine.load_average},
          {"compiler", machine.compiler},
          {"build_type", machine.build_type},
          {"compiler_flags", machine.compiler_flags},
          {"git_commit", machine.git_commit},
          {"command_line", machine.command_line},
          {"date", machine.date}};
}

Json to_json(const std::vector<Limit>& limits) {
  Json list = Json::array();
  for (const Limit& limit : limits) {
    list.push_back({{"name", limit.name},
                    {"unit", limit.unit},
                    {"num_threads", limit.num_threads},
                    {"rate", to_json(limit.rate)}});
  }
  return list;
}

Json to_json(const Work& work) {
  return {{"phase", work.phase == Phase::kDecode ? "decode" : "prefill"},
          {"batch", 1},
          {"s_q", work.s_q},
          {"h_q", work.h_q},
          {"s_k", work.s_k},
          {"d_qk", Work::kDQk},
          {"d_v", Work::kDV},
          {"page_size", Work::kPageSize},
          {"mask", work.mask == Mask::kCausal ? "causal" : "none"},
          {"q_dtype", to_string(work.q_dtype)},
          {"kv_format", to_string(work.kv_format)},
          {"flops", work.flops()},
          {"kv_bytes", work.kv_bytes()}};
}

Json to_json(const std::optional<Comparison>& comparison) {
  if (!comparison) return nullptr;
  return {{"of_medians", comparison->of_medians}, {"paired_by_round", comparison->paired}};
}

Json to_json(const Row& row) {
  Json json = {{"name", row.work.name()},
               {"group", row.group_idx},
               {"contender", row.contender},
               {"isa", row.isa ? Json(to_string(*row.isa)) : Json(nullptr)},
               {"num_threads", row.num_threads},
               {"detail", row.detail},
               {"work", to_json(row.work)}};
  if (!row.failure.empty()) {
    json["failure"] = row.failure;
    return json;
  }
  json["seconds"] = to_json(row.seconds);
  json["gflops"] = row.gflops;
  json["kv_gbps"] = row.kv_gbps;
  json["relative_error"] = row.relative_error;
  json["is_correct"] = row.is_correct;
  if (row.peak_gflops.count > 0) {
    json["peak"] = {{"name", row.peak_name}, {"gflops", to_json(row.peak_gflops)}};
    json["percent_of_peak"] = row.percent_of_peak();
  }
  json["times_onednn"] = to_json(row.to_onednn);
  json["times_openblas"] = to_json(row.to_openblas);
  json["speed_up_over_one_thread"] = to_json(row.to_one_thread);
  return json;
}

}  // namespace

void write_json(const Report& report, const std::filesystem::path& path) {
  Json settings = Json::object();
  for (const auto& [name, value] : report.settings) settings[name] = value;
  Json rows = Json::array();
  for (const Row& row : report.rows) rows.push_back(to_json(row));
  const Json json = {{"schema", "seesaw-bench-cpu-1"},
                     {"machine", to_json(report.machine)},
                     {"settings", settings},
                     {"run_seconds", report.run_seconds},
                     {"disturbance",
                      {{"preemptions", report.disturbance.preemptions},
                       {"other_cpu_seconds", report.disturbance.other_cpu_seconds},
                       {"stolen_seconds", report.disturbance.stolen_seconds}}},
                     {"limits_before", to_json(report.limits_before)},
                     {"limits_after", to_json(report.limits_after)},
                     {"rows", rows}};
  write_json_file(json, path);
}

}  // namespace seesaw::bench
