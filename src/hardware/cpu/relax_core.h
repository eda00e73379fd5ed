// What a thread does between two looks at a flag.
#pragma once

namespace seesaw::cpu {

/// Tells the core that this thread only waits: frees it for a sibling thread and saves power.
inline void relax_core() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace seesaw::cpu
