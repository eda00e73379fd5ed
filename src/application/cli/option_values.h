// Option values with their limits, so that every command refuses the same nonsense in the same
// words: "--threads: is \"x\", must be an integer from 0 to 1024".
#pragma once

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

namespace seesaw::cli {

struct IntegerLimits {
  std::int64_t least = 0;
  std::int64_t most = 0;
};

struct NumberLimits {
  double least = 0.0;
  double most = 0.0;
  bool excludes_least = false;
};

/// A decimal integer within limits. Throws CLI::ValidationError.
std::int64_t parse_integer(const std::string& option, const std::string& text,
                           IntegerLimits limits);

/// A finite decimal number within limits. Throws CLI::ValidationError.
double parse_number(const std::string& option, const std::string& text, NumberLimits limits);

/// An option with one value, given at most once. `set` may throw CLI::ValidationError.
CLI::Option* add_value(CLI::App& app, const std::string& option,
                       const std::function<void(const std::string& text)>& set,
                       const std::string& type_name, const std::string& description);

CLI::Option* add_integer(CLI::App& app, const std::string& option, std::int64_t& target,
                         IntegerLimits limits, const std::string& description);

CLI::Option* add_number(CLI::App& app, const std::string& option, double& target,
                        NumberLimits limits, const std::string& description);

/// The number of the choice that `text` names. Throws CLI::ValidationError.
std::size_t parse_choice(const std::string& option, const std::string& text,
                         std::span<const std::string> names);

/// One of a few values, each called by its to_string().
template <typename Target, typename Choice>
CLI::Option* add_choice(CLI::App& app, const std::string& option, Target& target,
                        std::span<const Choice> choices, const std::string& description) {
  std::vector<std::string> names;
  for (const Choice choice : choices) names.emplace_back(to_string(choice));
  std::vector<Choice> values(choices.begin(), choices.end());
  const auto set = [option, &target, names, values](const std::string& text) {
    target = values[parse_choice(option, text, names)];
  };
  return add_value(app, option, set, fmt::format("{}", fmt::join(names, "|")), description);
}

}  // namespace seesaw::cli
