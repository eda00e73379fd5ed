// Progress bars for people who watch; silent for programs.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace seesaw::report {

/// One line on stderr that shows how far a piece of work is, redrawn in place at most ten times a
/// second and wiped at the end, so that it leaves nothing behind. Draws nothing where stderr is no
/// terminal (or a "dumb" one). One bar at a time.
class Progress {
 public:
  /// total = 0: how much there is to do is not known; the label alone is shown.
  explicit Progress(std::string label, std::int64_t total = 0);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { finish(); }

  /// done of total; may be called as often as is convenient.
  void update(std::int64_t done);
  void update(std::int64_t done, std::int64_t total);

  /// Wipes the line; later updates draw nothing.
  void finish() noexcept;

 private:
  void draw(std::int64_t done);

  std::string label_;
  std::int64_t total_;
  bool is_shown_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_drawn_;
};

/// The bar's line, without what moves the cursor: "label [####......]  40 %  3.2 s", never longer
/// than width characters.
std::string progress_line(const std::string& label, double fraction, double seconds, int width);

}  // namespace seesaw::report
