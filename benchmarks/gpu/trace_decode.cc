// seesaw_trace_decode: the timeline of one block of the Hopper kernel, as a table and as a trace
// for chrome://tracing or Perfetto. Built where the library is configured with -DSEESAW_TRACE=MASK.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "gpu/workload.h"
#include "hardware/sm90/decode_dense/trace.h"
#include "seesaw/seesaw.h"

namespace seesaw::bench {
namespace {

using namespace sm90::decode_dense;

constexpr int kWarpgroups = 3;
constexpr std::array<const char*, kTracePoints> kPointNames = {"scores",    "weighed", "free",
                                                               "published", "queued",  "ready",
                                                               "pv_queued", "pv_done", "refilled"};

/// What lies between two points of a tile.
struct Span {
  const char* name;
  TracePoint from;
  TracePoint to;
};
constexpr std::array kScoreSpans = {
    Span{"softmax", TracePoint::kScoresDone, TracePoint::kWeighed},
    Span{"Q K^T of the next tile", TracePoint::kWeighed, TracePoint::kWeightsFree},
    Span{"hand over P", TracePoint::kWeightsFree, TracePoint::kPublished}};
constexpr std::array kValueSpans = {
    Span{"start P V", TracePoint::kWeightsReady, TracePoint::kValuesQueued},
    Span{"P V", TracePoint::kValuesQueued, TracePoint::kValuesDone},
    Span{"refill", TracePoint::kValuesDone, TracePoint::kRefilled}};

/// Clocks of all blocks, [blocks][3 warpgroups][kTraceTiles][kTracePoints]; 0: not marked.
class Clocks {
 public:
  explicit Clocks(std::vector<std::uint32_t> clocks) : clocks_(std::move(clocks)) {}
  std::uint32_t at(int block, int warpgroup, int tile, TracePoint point) const {
    const auto row =
        static_cast<std::size_t>((block * kWarpgroups + warpgroup) * kTraceTiles + tile);
    return clocks_[row * kTracePoints + static_cast<std::size_t>(point)];
  }

 private:
  std::vector<std::uint32_t> clocks_;
};

Clocks trace(const Shape& shape, int ordinal) {
  require_cuda(cudaSetDevice(ordinal), "cudaSetDevice");
  const std::vector<DeviceSpec> devices = probe_cuda();
  if (ordinal >= static_cast<int>(devices.size())) {
    throw std::runtime_error(
        fmt::format("--device: is {}, this machine has {}", ordinal, devices.size()));
  }
  const DeviceSpec& device = devices[static_cast<std::size_t>(ordinal)];
  const Stream stream;
  const Pool pool(stream, {shape}, shape.dtype, 0, 1);
  Workload workload(shape, pool, device, stream, {});
  workload.prepare();
  for (int i = 0; i < 3; ++i) workload.decode(i);

  const std::size_t count =
      static_cast<std::size_t>(device.num_workers) * kWarpgroups * kTraceTiles * kTracePoints;
  const DeviceBuffer buffer(count * sizeof(std::uint32_t));
  std::vector<std::uint32_t> clocks(count, 0);
  buffer.upload(std::as_bytes(std::span(clocks)), stream.get());
  trace_clocks = reinterpret_cast<unsigned*>(buffer.data());
  workload.decode(3);
  trace_clocks = nullptr;
  buffer.download(std::as_writable_bytes(std::span(clocks)), stream.get());
  stream.synchronize();
  return Clocks(std::move(clocks));
}

void print_table(const Clocks& clocks, int block, int first_tile, int num_tiles) {
  const std::uint32_t origin = clocks.at(block, 0, first_tile, TracePoint::kPublished);
  fmt::print("block {}: clocks after P of tile {} was handed over\ntile", block, first_tile);
  for (int point = 0; point < kTracePoints; ++point)
    fmt::print(" {:>10}", kPointNames[static_cast<std::size_t>(point)]);
  fmt::print("\n");
  for (int tile = first_tile + 1; tile <= first_tile + num_tiles; ++tile) {
    fmt::print("{:4}", tile);
    for (int point = 0; point < kTracePoints; ++point) {
      const int warpgroup = point >= static_cast<int>(TracePoint::kWeightsReady) ? 1 : 0;
      const std::uint32_t clock = clocks.at(block, warpgroup, tile, static_cast<TracePoint>(point));
      fmt::print(" {:>10}",
                 clock == 0 ? "" : fmt::format("{}", static_cast<std::int32_t>(clock - origin)));
    }
    fmt::print("\n");
  }
}

/// A clock is shown as a nanosecond.
nlohmann::json events_of(const Clocks& clocks, int block) {
  nlohmann::json events = nlohmann::json::array();
  const std::uint32_t origin = clocks.at(block, 0, 1, TracePoint::kPublished);
  const auto add = [&](int warpgroup, int tile, const Span& span) {
    const std::uint32_t from = clocks.at(block, warpgroup, tile, span.from);
    const std::uint32_t to = clocks.at(block, warpgroup, tile, span.to);
    if (from == 0 || to == 0) return;
    events.push_back({{"name", span.name},
                      {"ph", "X"},
                      {"pid", block},
                      {"tid", warpgroup == 0 ? "score" : fmt::format("value {}", warpgroup - 1)},
                      {"ts", static_cast<std::int32_t>(from - origin) / 1e3},
                      {"dur", (to - from) / 1e3},
                      {"args", {{"tile", tile}}}});
  };
  for (int tile = 0; tile < kTraceTiles; ++tile) {
    for (const Span& span : kScoreSpans) add(0, tile, span);
    for (int warpgroup = 1; warpgroup < kWarpgroups; ++warpgroup) {
      for (const Span& span : kValueSpans) add(warpgroup, tile, span);
    }
  }
  return events;
}

}  // namespace
}  // namespace seesaw::bench

int main(int argc, char** argv) {
  using namespace seesaw::bench;
  Shape shape{.batch = 128, .s_q = 2};
  int block = 0;
  int ordinal = 0;
  std::string path;
  CLI::App app("Shows when the warpgroups of a block do what, in clocks of its multiprocessor.");
  app.add_option("--batch", shape.batch)->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--s-q", shape.s_q)->check(CLI::Range(1, 128))->capture_default_str();
  app.add_option("--heads", shape.h_q)->check(CLI::Range(1, 128))->capture_default_str();
  app.add_option("--s-k", shape.s_k)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  app.add_option("--block", block)->check(CLI::Range(0, 31))->capture_default_str();
  app.add_option("--device", ordinal)->check(CLI::Range(0, 63))->capture_default_str();
  app.add_option("--json", path, "a Chrome trace; a clock is shown as a nanosecond");
  CLI11_PARSE(app, argc, argv);
  try {
    const Clocks clocks = trace(shape, ordinal);
    print_table(clocks, block, 4, 12);
    if (!path.empty()) std::ofstream(path) << events_of(clocks, block).dump() << '\n';
  } catch (const std::exception& error) {
    std::fprintf(stderr, "seesaw_trace_decode: %s\n", error.what());
    return 2;
  }
  return 0;
}
