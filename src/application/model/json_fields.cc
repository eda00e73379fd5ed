#include "model/json_fields.h"

#include <fmt/format.h>

#include <cmath>
#include <set>
#include <utility>
#include <vector>

namespace seesaw::model {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxShown = 80;  // characters of a file's content in a message

std::string shorten(std::string text, std::size_t limit) {
  if (text.size() <= limit) return text;
  text.resize(limit);
  return text + "...";
}

/// What the parser's callback throws; caught in parse_json.
struct Refusal {
  std::string reason;
};

/// Follows the parser to refuse what nlohmann::json would accept silently: of two equal names it
/// keeps the last, and it nests as deep as memory reaches.
class Watcher {
 public:
  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth) throw Refusal{fmt::format("nests deeper than {}", kMaxDepth)};
    switch (event) {
      case json::parse_event_t::object_start:
        names_.emplace_back();
        break;
      case json::parse_event_t::object_end:
        names_.pop_back();
        break;
      case json::parse_event_t::key:
        if (!names_.back().insert(parsed.get_ref<const std::string&>()).second) {
          throw Refusal{fmt::format("the name {} stands twice in one object", describe(parsed))};
        }
        break;
      default:
        break;
    }
    return true;
  }

 private:
  std::vector<std::set<std::string>> names_;  // of the objects that are open
};

const json kNull;

}  // namespace

Result<json> parse_json(std::string_view text, std::string_view file_name) {
  try {
    Watcher watcher;
    return json::parse(text.begin(), text.end(), std::ref(watcher));
  } catch (const Refusal& refusal) {
    return Status(StatusCode::kCorruptData, fmt::format("{}: {}", file_name, refusal.reason));
  } catch (const json::exception& error) {
    return Status(StatusCode::kCorruptData,
                  fmt::format("{}: is not JSON: {}", file_name, shorten(error.what(), 200)));
  }
}

std::string describe(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  return shorten(value.dump(-1, ' ', false, json::error_handler_t::replace), kMaxShown);
}

JsonFields::JsonFields(const json& object, std::string_view file_name, std::string prefix)
    : object_(&object), file_name_(file_name), prefix_(std::move(prefix)) {
  if (object.is_object()) return;
  const std::string where =
      prefix_.empty() ? "the document" : prefix_.substr(0, prefix_.size() - 1);
  fail({StatusCode::kCorruptData,
        fmt::format("{}: {}: is {}, must be an object", file_name_, where, describe(object))});
}

bool JsonFields::has(const char* name) const { return !raw(name).is_null(); }

const json& JsonFields::raw(const char* name) const {
  if (!object_->is_object()) return kNull;
  const auto found = object_->find(name);
  return found == object_->end() ? kNull : *found;
}

const json* JsonFields::find(const char* name, bool has_fallback) {
  const json& value = raw(name);
  if (!value.is_null()) return &value;
  if (!has_fallback) {
    fail({StatusCode::kCorruptData,
          fmt::format("{}: {}: is missing", file_name_, field_name(name))});
  }
  return nullptr;
}

std::int64_t JsonFields::integer(const char* name, IntegerRange range,
                                 std::optional<std::int64_t> fallback) {
  const json* value = find(name, fallback.has_value());
  if (value == nullptr) return fallback.value_or(0);
  const bool fits = value->is_number_integer() &&
                    !(value->is_number_unsigned() &&
                      value->get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX));
  if (fits) {
    const auto number = value->get<std::int64_t>();
    if (number >= range.min && number <= range.max) return number;
  }
  refuse(StatusCode::kCorruptData, name,
         fmt::format("an integer from {} to {}", range.min, range.max));
  return fallback.value_or(0);
}

std::int64_t JsonFields::integer_or_null(const char* name, IntegerRange range) {
  const bool is_null = object_->is_object() && object_->contains(name) && !has(name);
  return is_null ? 0 : integer(name, range);
}

double JsonFields::number(const char* name, NumberRange range, std::optional<double> fallback) {
  const json* value = find(name, fallback.has_value());
  if (value == nullptr) return fallback.value_or(0.0);
  if (value->is_number()) {
    const auto number = value->get<double>();
    if (std::isfinite(number) && number >= range.min && number <= range.max) return number;
  }
  refuse(StatusCode::kCorruptData, name,
         fmt::format("a number from {} to {}", range.min, range.max));
  return fallback.value_or(0.0);
}

bool JsonFields::boolean(const char* name, std::optional<bool> fallback) {
  const json* value = find(name, fallback.has_value());
  if (value == nullptr) return fallback.value_or(false);
  if (value->is_boolean()) return value->get<bool>();
  refuse(StatusCode::kCorruptData, name, "true or false");
  return fallback.value_or(false);
}

std::string JsonFields::text(const char* name, const std::optional<std::string>& fallback) {
  const json* value = find(name, fallback.has_value());
  if (value == nullptr) return fallback.value_or("");
  if (value->is_string()) return value->get<std::string>();
  refuse(StatusCode::kCorruptData, name, "a string");
  return fallback.value_or("");
}

void JsonFields::refuse(StatusCode code, const char* name, std::string_view expected) {
  fail({code, fmt::format("{}: {}: is {}, must be {}", file_name_, field_name(name),
                          describe(raw(name)), expected)});
}

void JsonFields::fail(Status status) {
  if (status_.is_ok()) status_ = std::move(status);
}

}  // namespace seesaw::model
