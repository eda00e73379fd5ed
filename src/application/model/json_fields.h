// Reading JSON that nobody vouches for: every error names the file and the field.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "seesaw/types/status.h"

namespace seesaw::model {

/// Parses one JSON document. Refused with kCorruptData: text that is no JSON, a name that stands
/// twice in one object, nesting deeper than 32. Nothing is thrown.
Result<nlohmann::json> parse_json(std::string_view text, std::string_view file_name);

/// A value for a message: strings quoted and shortened, containers by their kind.
std::string describe(const nlohmann::json& value);

struct IntegerRange {
  std::int64_t min = 0;
  std::int64_t max = 0;
};

struct NumberRange {
  double min = 0.0;
  double max = 0.0;
};

/// Typed access to the fields of one object. The first error sticks and later reads return their
/// fallback (or zero), so a caller reads everything and looks at status() once. A field that is
/// null counts as missing, as in Python's None.
class JsonFields {
 public:
  /// prefix is put before field names in messages, e.g. "rope_scaling.".
  JsonFields(const nlohmann::json& object, std::string_view file_name, std::string prefix = "");

  bool has(const char* name) const;
  /// The field, or null where it is missing.
  const nlohmann::json& raw(const char* name) const;

  std::int64_t integer(const char* name, IntegerRange range,
                       std::optional<std::int64_t> fallback = std::nullopt);
  /// A field where null means "none" and is read as 0; unlike elsewhere, it may not be left out.
  std::int64_t integer_or_null(const char* name, IntegerRange range);
  double number(const char* name, NumberRange range, std::optional<double> fallback = std::nullopt);
  bool boolean(const char* name, std::optional<bool> fallback = std::nullopt);
  std::string text(const char* name, const std::optional<std::string>& fallback = std::nullopt);

  /// Records an error about a field: "FILE: PREFIXname: is VALUE, must be EXPECTED".
  void refuse(StatusCode code, const char* name, std::string_view expected);
  void fail(Status status);

  const Status& status() const noexcept { return status_; }
  const std::string& file_name() const noexcept { return file_name_; }
  std::string field_name(const char* name) const { return prefix_ + name; }

 private:
  /// The field where it is there; otherwise null, with an error unless there is a fallback.
  const nlohmann::json* find(const char* name, bool has_fallback);

  const nlohmann::json* object_;
  std::string file_name_;
  std::string prefix_;
  Status status_;
};

}  // namespace seesaw::model
