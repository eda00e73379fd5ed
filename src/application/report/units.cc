#include "report/units.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstddef>

namespace seesaw::report {

std::string with_commas(std::int64_t value) {
  std::string text = fmt::format("{}", value);
  const std::size_t first_digit = value < 0 ? 1 : 0;
  for (std::size_t end = text.size(); end > first_digit + 3;) {
    end -= 3;
    text.insert(end, 1, ',');
  }
  return text;
}

std::string three_digits(double value) {
  const double size = std::abs(value);
  if (size >= 99.95 && size < 9e18) return with_commas(std::llround(value));
  if (size >= 9.995) return fmt::format("{:.1f}", value);
  if (size >= 0.9995) return fmt::format("{:.2f}", value);
  return fmt::format("{:.3g}", value);
}

std::string bytes_text(std::int64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto size = static_cast<double>(bytes);
  std::size_t unit_idx = 0;
  while (size >= 1023.95 && unit_idx + 1 < kUnits.size()) {
    size /= 1024.0;
    ++unit_idx;
  }
  const bool is_whole = size == std::floor(size);
  return fmt::format("{:.{}f} {}", size, is_whole ? 0 : 1, kUnits[unit_idx]);
}

std::string seconds_text(double seconds) {
  if (seconds < 999.5e-9) return three_digits(seconds * 1e9) + " ns";
  if (seconds < 999.5e-6) return three_digits(seconds * 1e6) + " us";
  if (seconds < 999.5e-3) return three_digits(seconds * 1e3) + " ms";
  if (seconds < 99.5) return three_digits(seconds) + " s";
  const auto whole = std::llround(seconds);
  return fmt::format("{} min {} s", whole / 60, whole % 60);
}

std::string counted(std::int64_t count, const std::string& noun) {
  return with_commas(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace seesaw::report
