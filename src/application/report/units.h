// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace seesaw::report {

/// 1234567 -> "1,234,567".
std::string with_commas(std::int64_t value);

/// Rounded to a whole number from 100 on, else to three digits: "1,234", "12.3", "0.00123".
std::string three_digits(double value);

/// Bytes in powers of 1,024: "512 B", "1.5 KiB", "23.9 GiB".
std::string bytes_text(std::int64_t bytes);

/// Seconds in the unit that suits them: "850 ns", "12.3 us", "4.56 ms", "7.89 s", "2 min 5 s".
std::string seconds_text(double seconds);

/// "1 thread", "2 threads".
std::string counted(std::int64_t count, const std::string& noun);

}  // namespace seesaw::report
