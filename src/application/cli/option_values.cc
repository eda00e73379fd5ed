#include "cli/option_values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <system_error>

namespace seesaw::cli {
namespace {

/// Refuses a value; the message is the whole of what the user sees.
[[noreturn]] void refuse(const std::string& option, const std::string& text,
                         const std::string& expected) {
  throw CLI::ValidationError(fmt::format("{}: is \"{}\", must be {}", option, text, expected));
}

template <typename Value>
bool parses_whole(const std::string& text, Value& value) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && rest == end;
}

}  // namespace

std::int64_t parse_integer(const std::string& option, const std::string& text,
                           IntegerLimits limits) {
  std::int64_t value = 0;
  if (!parses_whole(text, value) || value < limits.least || value > limits.most) {
    refuse(option, text, fmt::format("an integer from {} to {}", limits.least, limits.most));
  }
  return value;
}

double parse_number(const std::string& option, const std::string& text, NumberLimits limits) {
  double value = 0.0;
  const bool is_number = parses_whole(text, value) && std::isfinite(value);
  const bool is_above = limits.excludes_least ? value > limits.least : value >= limits.least;
  if (!is_number || !is_above || value > limits.most) {
    refuse(option, text,
           fmt::format("a number {} {} and <= {}", limits.excludes_least ? ">" : ">=", limits.least,
                       limits.most));
  }
  return value;
}

CLI::Option* add_value(CLI::App& app, const std::string& option,
                       const std::function<void(const std::string& text)>& set,
                       const std::string& type_name, const std::string& description) {
  // The raw strings: converted ones would lose what looks like a list to CLI11.
  const auto set_once = [option, set](const CLI::results_t& texts) {
    if (texts.size() > 1) {
      throw CLI::ValidationError(
          fmt::format("{}: is given {} times, must be given once", option, texts.size()));
    }
    set(texts.front());
    return true;
  };
  return app.add_option(option, CLI::callback_t(set_once), description)
      ->type_name(type_name)
      ->type_size(1)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

CLI::Option* add_integer(CLI::App& app, const std::string& option, std::int64_t& target,
                         IntegerLimits limits, const std::string& description) {
  const auto set = [option, &target, limits](const std::string& text) {
    target = parse_integer(option, text, limits);
  };
  return add_value(app, option, set, "N", description);
}

CLI::Option* add_number(CLI::App& app, const std::string& option, double& target,
                        NumberLimits limits, const std::string& description) {
  const auto set = [option, &target, limits](const std::string& text) {
    target = parse_number(option, text, limits);
  };
  return add_value(app, option, set, "X", description);
}

std::size_t parse_choice(const std::string& option, const std::string& text,
                         std::span<const std::string> names) {
  const auto found = std::ranges::find(names, text);
  if (found == names.end()) {
    refuse(option, text, fmt::format("one of {}", fmt::join(names, ", ")));
  }
  return static_cast<std::size_t>(found - names.begin());
}

}  // namespace seesaw::cli
