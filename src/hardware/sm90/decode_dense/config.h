// The shape of a block's work: what is fixed at compile time, and what follows from it.
#pragma once

namespace seesaw::sm90::decode_dense {

inline constexpr int kRows = 64;    // query rows of a block
inline constexpr int kTokens = 64;  // of a tile of keys
inline constexpr int kThreads = 384;
inline constexpr int kSharedMemoryBytes = 232'448;  // of a block, at most: all that Hopper has

// Registers of a thread by role. 384 threads start with 168 each (64,512 in all), which is what
// they share: a sum above it would wait forever.
inline constexpr int kScoreRegisters = 184;
inline constexpr int kValueRegisters = 160;
static_assert(kScoreRegisters + 2 * kValueRegisters <= 3 * 168);

/// m may lag behind the largest score by this much, in log2 units, before O is rescaled: weights
/// reach 2^8, which bfloat16 and float16 hold as exactly as 1.
inline constexpr float kRescaleSlackLog2 = 8;

/// Dimensions are counted in columns of 64: 128 bytes, the swizzle's width. A tile of keys is
/// kValueColumns columns, which are V too, and kTailColumns more (the rope's).
template <int kDQk, int kDV>
struct Config {
  static_assert(kDQk % 64 == 0 && kDV % 128 == 0 && (kDQk == kDV || kDQk == kDV + 64));
  static constexpr int kColumns = kDQk / 64;
  static constexpr int kValueColumns = kDV / 64;
  static constexpr int kHalfColumns = kValueColumns / 2;  // of one value warpgroup
  static constexpr int kTailColumns = kColumns - kValueColumns;
  static constexpr int kColumnBytes = kTokens * 128;
  static constexpr int kHalfBytes = kHalfColumns * kColumnBytes;

  /// Q K^T is kSteps products of 16 dimensions. The first kRegisterColumns columns of Q stay in
  /// registers, 16 a column: with all of Q in shared memory the products read 128 bytes a clock,
  /// all that there is. Shared memory has room for two columns.
  static constexpr int kSteps = kDQk / 16;
  static constexpr int kRegisterColumns =
      kColumns - 2 < kValueColumns ? kColumns - 2 : kValueColumns;
  static constexpr int kRegisterSteps = 4 * kRegisterColumns;
  /// P of the tile before is handed over in the course of these products, from this step on a piece
  /// every other one: as late as lets its own products begin when these end.
  static constexpr int kPublishStep = kSteps - 20;
  static constexpr int kSharedQueryColumns = kColumns - kRegisterColumns;

  /// Tiles of keys in shared memory: as many as there is room for.
  static constexpr int kStages = kValueColumns == 8 ? 3 : 6;

  /// Floats of O in a thread of a value warpgroup.
  static constexpr int kOutputs = kHalfColumns * 64 / 2;
};

}  // namespace seesaw::sm90::decode_dense
