// In-kernel clocks, in builds with SEESAW_TRACE only: when each warpgroup of a block reached which
// point of which tile. SEESAW_TRACE is a mask of points: a mark costs its warp about 85 clocks.
// benchmarks/gpu/trace_decode.cc reads them.
#pragma once

namespace seesaw::sm90::decode_dense {

enum class TracePoint : int {
  kScoresDone,    // score: Q K^T of the tile has come
  kWeighed,       // score: softmax done, the next tile's products begin
  kWeightsFree,   // score: the tile before has been multiplied
  kPublished,     // score: weights handed over
  kQueued,        // score: the last of the tile's products is queued
  kWeightsReady,  // value: weights have come
  kValuesQueued,  // value: P V queued
  kValuesDone,    // value: P V has come
  kRefilled,      // value: the stage's next copy is asked for
};
inline constexpr int kTracePoints = 9;
inline constexpr int kTraceTiles = 128;

#ifdef SEESAW_TRACE
/// Device memory of [blocks][3 warpgroups][kTraceTiles][kTracePoints] clocks of the block's
/// multiprocessor, for the launches to come; nullptr: none.
inline unsigned* trace_clocks = nullptr;
#endif

}  // namespace seesaw::sm90::decode_dense
