// What the arithmetic units of a core can do at best: streams of one instruction with enough
// independent accumulators to hide its latency, all operands in registers or in the L1 cache.
#pragma once

#include <cstdint>
#include <optional>

#include "harness/thread_team.h"
#include "seesaw/types/device_spec.h"

namespace seesaw::bench {

enum class Arithmetic : std::uint8_t {
  kBf16DotAvx512,           // vdpbf16ps zmm, zmm, zmm
  kBf16DotAvx512Broadcast,  // vdpbf16ps zmm, zmm, one 32-bit pair broadcast from memory
  kFmaAvx512,               // vfmadd231ps zmm
  kFmaAvx2,                 // vfmadd231ps ymm
  kMultiplyAddSse2,         // mulps and addps xmm: what code for any x86-64 can use
};

inline constexpr Arithmetic kAllArithmetic[] = {
    Arithmetic::kBf16DotAvx512, Arithmetic::kBf16DotAvx512Broadcast, Arithmetic::kFmaAvx512,
    Arithmetic::kFmaAvx2, Arithmetic::kMultiplyAddSse2};

const char* to_string(Arithmetic arithmetic);
bool cpu_has(Arithmetic arithmetic);
/// The arithmetic that bounds kernels of an instruction set; nothing where this CPU lacks it or
/// (outside x86-64) there is no measurement.
std::optional<Arithmetic> arithmetic_of(CpuIsa isa);

/// One burst of about `seconds` on every thread of the team: GFLOP/s, summed over the threads.
double measure_gflops(Arithmetic arithmetic, ThreadTeam& team, double seconds);

}  // namespace seesaw::bench
