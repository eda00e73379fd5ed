#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cli/option_values.h"
#include "cli/standard_output.h"
#include "cli/usage_text.h"
#include "seesaw/executor.h"
#include "seesaw/types/attention_problem.h"
#include "seesaw/version.h"

namespace seesaw::cli {
namespace {

// Sizes beyond these are mistakes; what fits the memory is checked where the model is known.
constexpr IntegerLimits kThreads{0, Executor::kMaxThreads};
constexpr IntegerLimits kNewTokens{0, 1 << 20};
constexpr IntegerLimits kSeed{0, std::numeric_limits<std::int64_t>::max()};
constexpr IntegerLimits kBatch{1, 1 << 20};
constexpr IntegerLimits kQueryTokens{1, 1 << 20};
constexpr IntegerLimits kHeads{1, 1 << 16};
constexpr IntegerLimits kKvLength{0, 1 << 30};
constexpr IntegerLimits kHeadDim{1, kMaxHeadDim};
constexpr IntegerLimits kPageSize{1, 1 << 20};
constexpr IntegerLimits kRepetitions{0, 1'000'000};
constexpr NumberLimits kTemperature{.least = 0.0, .most = 1e6};
constexpr NumberLimits kTopP{.least = 0.0, .most = 1.0, .excludes_least = true};

constexpr std::array kCacheFormats = {KvFormat::kFloat32, KvFormat::kBFloat16, KvFormat::kFloat16};
constexpr std::array kModes = {ScheduleMode::kThroughput, ScheduleMode::kLatency,
                               ScheduleMode::kBatchInvariant};
constexpr std::array kIsas = {CpuIsa::kGeneric, CpuIsa::kAvx2, CpuIsa::kAvx512,
                              CpuIsa::kAvx512Bf16};

enum class BenchDevice : std::uint8_t { kCpu, kCuda };
constexpr const char* to_string(BenchDevice device) {
  return device == BenchDevice::kCpu ? "cpu" : "cuda";
}
constexpr std::array kDevices = {BenchDevice::kCpu, BenchDevice::kCuda};

/// All commands' values while CLI11 fills them in.
struct Values {
  GenerateArgs generate;
  LogitsArgs logits;
  BenchDecodeArgs bench_decode;
  BenchDevice device = BenchDevice::kCpu;
  InfoArgs info;
};

void add_path(CLI::App& app, const std::string& option, std::filesystem::path& target,
              const char* type_name, const char* description) {
  const auto set = [option, &target](const std::string& text) {
    if (text.empty()) throw CLI::ValidationError(option + ": is empty, must be a path");
    target = text;
  };
  add_value(app, option, set, type_name, description)->required();
}

void add_threads(CLI::App& app, std::int64_t& target) {
  add_integer(app, "--threads", target, kThreads,
              "threads to compute with; 0: every core that this\n"
              "process may use (default 0)");
}

void add_json(CLI::App& app, OutputStyle& target) {
  const auto set = [&target] { target = OutputStyle::kJson; };
  app.add_flag_callback("--json", set, "print one JSON object instead of text")
      ->disable_flag_override();
}

void add_cache_format(CLI::App& app, KvFormat& target) {
  add_choice<KvFormat, KvFormat>(app, "--kv-dtype", target, kCacheFormats,
                                 "element type of the latent cache (default bfloat16)");
}

void add_generate(CLI::App& app, GenerateArgs& args) {
  CLI::App& command = *app.add_subcommand("generate", "complete prompts with a model");
  command.footer(kGenerateFooter);
  add_path(command, "--model", args.model, "DIR", "folder with config.json and safetensors files");
  // The raw strings: CLI11 would take a prompt like "[a, b]" apart.
  const auto set_prompts = [&args](const CLI::results_t& prompts) {
    args.prompts = prompts;
    return true;
  };
  command.add_option("--prompt", CLI::callback_t(set_prompts), "text to complete; may be repeated")
      ->type_name("TEXT")
      ->type_size(1)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->required();
  add_integer(command, "--max-new-tokens", args.max_new_tokens, kNewTokens,
              "most tokens to make for each prompt (default 64)");
  add_number(command, "--temperature", args.temperature, kTemperature,
             "0: always the likeliest token; higher: more varied (default 0)");
  add_number(command, "--top-p", args.top_p, kTopP,
             "draw only from the likeliest tokens that together\n"
             "have this probability, > 0 and <= 1 (default 1)");
  add_integer(command, "--seed", args.seed, kSeed,
              "of the random draws; equal seeds give equal text (default 0)");
  add_cache_format(command, args.kv_format);
  add_threads(command, args.num_threads);
}

void add_logits(CLI::App& app, LogitsArgs& args) {
  CLI::App& command =
      *app.add_subcommand("logits", "compute the logits after every token of a list of ids");
  command.footer(kLogitsFooter);
  add_path(command, "--model", args.model, "DIR", "folder with config.json and safetensors files");
  add_path(command, "--input-ids", args.input_ids, "FILE.json", "JSON list of token ids");
  add_path(command, "--output", args.output, "FILE.npy",
           "float32 array [tokens, vocab] to write, whole or not at all");
  add_cache_format(command, args.kv_format);
  add_threads(command, args.num_threads);
}

void add_bench(CLI::App& app, BenchDecodeArgs& args, BenchDevice& device) {
  CLI::App& bench = *app.add_subcommand("bench", "measure this machine's speed");
  bench.footer(kBenchFooter);
  bench.require_subcommand(1);
  CLI::App& command =
      *bench.add_subcommand("decode", "decode attention over a cold paged cache of random data");
  command.footer(kBenchDecodeFooter);
  add_integer(command, "--batch", args.batch, kBatch, "requests (default 1)");
  add_integer(command, "--q-len", args.s_q, kQueryTokens, "query tokens a request (default 1)");
  add_integer(command, "--heads", args.h_q, kHeads, "query heads (default 128)");
  add_integer(command, "--kv-heads", args.h_kv, kHeads,
              "KV heads; must divide the query heads (default 1)");
  add_integer(command, "--kv-len", args.kv_length, kKvLength,
              "cached tokens of each request (default 4096)");
  add_integer(command, "--d-qk", args.d_qk, kHeadDim, "width of query and key (default 576)");
  add_integer(command, "--d-v", args.d_v, kHeadDim, "width of value, <= d-qk (default 512)");
  add_integer(command, "--page-size", args.page_size, kPageSize, "tokens a page (default 64)");
  add_choice<KvFormat, KvFormat>(command, "--kv-dtype", args.kv_format, kCacheFormats,
                                 "element type of cache, query and output (default bfloat16)");
  add_choice<ScheduleMode, ScheduleMode>(command, "--mode", args.mode, kModes,
                                         "what the schedule is for (default throughput)");
  add_choice<BenchDevice, BenchDevice>(command, "--device", device, kDevices,
                                       "where to run (default cpu)");
  add_choice<std::optional<CpuIsa>, CpuIsa>(command, "--isa", args.isa, kIsas,
                                            "CPU kernel to allow at most (default: the best)");
  add_threads(command, args.num_threads);
  add_integer(command, "--repetitions", args.num_repetitions, kRepetitions,
              "timed calls; 0: as many as fit a second,\n"
              "from 5 to 1,000 (default 0)");
  add_integer(command, "--seed", args.seed, kSeed, "of the random data (default 0)");
  add_json(command, args.style);
}

void add_info(CLI::App& app, InfoArgs& args) {
  CLI::App& command =
      *app.add_subcommand("info", "show devices, kernels and limits on this machine");
  command.footer(kInfoFooter);
  add_json(command, args.style);
}

/// The arguments, last first, as CLI11 takes them, with "--name=value" as two of them: of
/// "--name=" CLI11 would take the argument behind it for the value.
std::vector<std::string> split_arguments(int argc, const char* const* argv) {
  static const std::set<std::string> kFlags = {"--help", "--version", "--json"};
  std::vector<std::string> arguments;
  bool is_value = false;  // of the option before it
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const std::size_t equals = argument.find('=');
    const bool is_option = !is_value && argument.starts_with("--");
    if (is_option && equals != std::string::npos) {
      arguments.push_back(argument.substr(0, equals));
      arguments.push_back(argument.substr(equals + 1));
      is_value = false;
    } else {
      arguments.push_back(argument);
      is_value = is_option && kFlags.count(argument) == 0;
    }
  }
  std::ranges::reverse(arguments);
  return arguments;
}

/// The commands that were named, outermost first.
std::vector<const CLI::App*> named_commands(const CLI::App& app) {
  std::vector<const CLI::App*> commands;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands().front();
    commands.push_back(at);
  }
  return commands;
}

/// What is wrong, in the user's terms: a mistyped name is told before what is missing for it.
std::string explain_error(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<const CLI::App*> commands = named_commands(app);
  const CLI::App& command = commands.empty() ? app : *commands.back();
  std::string path = "seesaw";
  for (const CLI::App* named : commands) path += " " + named->get_name();
  const std::vector<std::string> unknown = app.remaining(true);
  const bool needs_command = !command.get_subcommands({}).empty();
  std::string what = error.what();
  if (!unknown.empty()) {
    what = unknown.front().starts_with('-')
               ? fmt::format("{}: is no option of \"{}\"", unknown.front(), path)
           : needs_command ? fmt::format("{}: is no command of \"{}\"", unknown.front(), path)
                           : fmt::format("{}: is one argument too many", unknown.front());
  } else if (needs_command) {
    what = fmt::format("\"{}\" needs a command", path);
  }
  return fmt::format("{} (see {} --help)", what, path);
}

ExitCode print(const std::string& text) {
  const Status written = write_output(text);
  return written ? ExitCode::kOk : fail(written);
}

CommandArgs chosen_args(const CLI::App& app, Values& values) {
  const std::string name = named_commands(app).front()->get_name();
  if (name == "generate") return std::move(values.generate);
  if (name == "logits") return std::move(values.logits);
  if (name == "bench") {
    values.bench_decode.device =
        values.device == BenchDevice::kCuda ? DeviceKind::kCuda : DeviceKind::kCpu;
    return values.bench_decode;
  }
  return values.info;
}

}  // namespace

std::variant<CommandArgs, ExitCode> parse_command_line(int argc, const char* const* argv) {
  Values values;
  CLI::App app(kSummary, "seesaw");
  app.footer(kFooter);
  app.set_version_flag("--version", "seesaw " SEESAW_VERSION, "print the version");
  app.set_help_flag("-h,--help", "print this help");
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  add_generate(app, values.generate);
  add_logits(app, values.logits);
  add_bench(app, values.bench_decode, values.device);
  add_info(app, values.info);
  try {
    app.parse(split_arguments(argc, argv));
    return chosen_args(app, values);
  } catch (const CLI::CallForHelp&) {
    return print(app.help());
  } catch (const CLI::CallForVersion& version) {
    return print(version.what() + std::string("\n"));
  } catch (const CLI::ParseError& error) {
    print_error(explain_error(app, error));
    return ExitCode::kBadInput;
  }
}

}  // namespace seesaw::cli
