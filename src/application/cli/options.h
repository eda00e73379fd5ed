// What the command line asks for, checked value by value.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "seesaw/types/device_spec.h"
#include "seesaw/types/kv_format.h"
#include "seesaw/types/work_plan.h"

namespace seesaw::cli {

struct GenerateArgs {
  std::filesystem::path model;
  std::vector<std::string> prompts;
  std::int64_t max_new_tokens = 64;
  double temperature = 0.0;
  double top_p = 1.0;
  std::int64_t seed = 0;
  KvFormat kv_format = KvFormat::kBFloat16;
  std::int64_t num_threads = 0;  // 0: every core the process may use
};

struct LogitsArgs {
  std::filesystem::path model;
  std::filesystem::path input_ids;
  std::filesystem::path output;
  KvFormat kv_format = KvFormat::kBFloat16;
  std::int64_t num_threads = 0;
};

enum class OutputStyle : std::uint8_t { kText, kJson };

struct BenchDecodeArgs {
  std::int64_t batch = 1;
  std::int64_t s_q = 1;
  std::int64_t h_q = 128;
  std::int64_t h_kv = 1;
  std::int64_t kv_length = 4096;
  std::int64_t d_qk = 576;
  std::int64_t d_v = 512;
  std::int64_t page_size = 64;
  KvFormat kv_format = KvFormat::kBFloat16;
  ScheduleMode mode = ScheduleMode::kThroughput;
  DeviceKind device = DeviceKind::kCpu;
  std::optional<CpuIsa> isa;  // nothing: the best that the machine has
  std::int64_t num_threads = 0;
  std::int64_t num_repetitions = 0;  // 0: as many as a second holds, within limits
  std::int64_t seed = 0;
  OutputStyle style = OutputStyle::kText;
};

struct InfoArgs {
  OutputStyle style = OutputStyle::kText;
};

using CommandArgs = std::variant<GenerateArgs, LogitsArgs, BenchDecodeArgs, InfoArgs>;

}  // namespace seesaw::cli
