// Vector clocks: what a thread knows of what the others of its block, and of other blocks, have
// done. An actor is a thread, the readers of a warp's products, or the copies of one barrier.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace seesaw::emulator {

using Ticks = std::vector<std::uint32_t>;  // by actor of a block

inline void join(Ticks& to, const Ticks& from) {
  if (to.size() < from.size()) to.resize(from.size());
  std::uint32_t* const a = to.data();
  const std::uint32_t* const b = from.data();
  for (std::size_t i = 0; i < from.size(); ++i) a[i] = std::max(a[i], b[i]);
}

/// When an actor did something.
struct Moment {
  std::uint32_t actor = 0;
  std::uint32_t tick = 0;  // 0: never; kUnderWay: it is not done yet
};
inline constexpr std::uint32_t kUnderWay = ~std::uint32_t{0};

struct Clock {
  Ticks seen;                   // of the own block: what happened before
  Ticks fenced;                 // of it, the ordinary writes that products and bulk copies see, too
  std::map<int, Ticks> others;  // by block

  explicit Clock(int num_actors = 0)
      : seen(static_cast<std::size_t>(num_actors)), fenced(static_cast<std::size_t>(num_actors)) {}

  bool knows(const Moment& moment) const { return moment.tick <= seen[moment.actor]; }
  bool has_fenced(const Moment& moment) const { return moment.tick <= fenced[moment.actor]; }
  bool knows_of(int block, const Moment& moment) const {
    const auto found = others.find(block);
    return found != others.end() && moment.actor < found->second.size() &&
           moment.tick <= found->second[moment.actor];
  }
};

inline void join(Clock& to, const Clock& from) {
  join(to.seen, from.seen);
  join(to.fenced, from.fenced);
  for (const auto& [block, ticks] : from.others) join(to.others[block], ticks);
}

}  // namespace seesaw::emulator
