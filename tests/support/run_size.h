// How much a test does: all of it, or less where a sanitizer slows every instruction. What shrinks
// is how often and how long something is done (rounds, lengths, types for each shape), never what:
// each branch that the full size takes, the reduced one takes too.
#pragma once

#include <cstdint>

namespace seesaw::testing {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kIsSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kIsSanitized = true;
#else
inline constexpr bool kIsSanitized = false;
#endif
#else
inline constexpr bool kIsSanitized = false;
#endif

/// `full` in an ordinary build, `reduced` in a sanitized one.
constexpr std::int64_t run_size(std::int64_t full, std::int64_t reduced) {
  return kIsSanitized ? reduced : full;
}

}  // namespace seesaw::testing
