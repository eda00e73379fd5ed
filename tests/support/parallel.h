// Tests' own work over all cores.
#pragma once

#include <cstdint>
#include <functional>

namespace seesaw::testing {

/// Calls work(first, count) for every part of [0, total): parts of `part` numbers, the last one
/// shorter, in any order, by as many threads as there are cores, up to 16: callers may be threads
/// themselves. The first exception of any of them is thrown again when all have ended.
void for_each_part(std::int64_t total, std::int64_t part,
                   const std::function<void(std::int64_t first, std::int64_t count)>& work);

}  // namespace seesaw::testing
