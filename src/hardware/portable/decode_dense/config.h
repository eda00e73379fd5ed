// The shape of a block's work: what is fixed at compile time, and what follows from it. Plain C++:
// the kernel's traits are made of it too.
#pragma once

namespace seesaw::portable::decode_dense {

inline constexpr int kRows = 64;    // query rows of a block
inline constexpr int kTokens = 64;  // the plan's blocks: cuts are multiples of it

inline constexpr int kStages = 2;  // steps of keys in shared memory
inline constexpr int kWarps = 8;
inline constexpr int kThreads = 32 * kWarps;
inline constexpr int kWarpRows = 16;  // of a pair of warps: one holds half of d_qk and d_v each
inline constexpr int kPairs = kRows / kWarpRows;
static_assert(kWarps == 2 * kPairs);

/// An instance serves every d_qk up to kDQk: what is missing is zero in shared memory. O is
/// computed kDV columns at a time; where d_v has more, the scores are computed again for the next
/// ones.
template <int kDQkOfInstance, int kDVOfInstance, int kStepTokensOfInstance>
struct Config {
  static constexpr int kDQk = kDQkOfInstance;
  static constexpr int kDV = kDVOfInstance;
  static constexpr int kStepTokens = kStepTokensOfInstance;  // keys of a step
  static_assert(kDQk % 64 == 0 && kDV % 32 == 0 && kDV <= kDQk);
  static_assert(kStepTokens % 16 == 0 && kTokens % (kStages * kStepTokens) == 0);

  static constexpr int kKeyTiles = kStepTokens / 8;      // products of 8 keys
  static constexpr int kWeightSteps = kStepTokens / 16;  // products of 16 weights
  static constexpr int kScoreSteps = kDQk / 2 / 16;      // products of 16 dimensions, of a warp
  static constexpr int kValueTiles = kDV / 2 / 8;        // of 8 columns of O, of a warp
  /// Elements from key to key: 16 bytes more than a multiple of 128, so that the eight rows of a
  /// matrix lie in different banks.
  static constexpr int kPitch = kDQk + 8;
  static constexpr int kStageBytes = kStepTokens * kPitch * 2;
  /// Half sums of scores: float32 [warp][kWarpRows, kStepTokens].
  static constexpr int kScoresAt = kStages * kStageBytes;
  static constexpr int kWarpScoreBytes = kWarpRows * kStepTokens * 4;
  static constexpr int kCursorAt = kScoresAt + kWarps * kWarpScoreBytes;
  static constexpr int kSharedBytes = kCursorAt + 128;
};

using NarrowConfig = Config<320, 256, 32>;
using WideConfig = Config<576, 512, 32>;
using TallConfig = Config<1024, 256, 16>;

/// What a block of sm_86 and sm_89 may have.
inline constexpr int kMaxSharedBytes = 99 * 1024;
static_assert(NarrowConfig::kSharedBytes <= kMaxSharedBytes);
static_assert(WideConfig::kSharedBytes <= kMaxSharedBytes);
static_assert(TallConfig::kSharedBytes <= kMaxSharedBytes);

template <typename Config>
constexpr bool serves(int d_qk, int d_v) {
  return d_qk <= Config::kDQk && d_v <= Config::kDV;
}

}  // namespace seesaw::portable::decode_dense
