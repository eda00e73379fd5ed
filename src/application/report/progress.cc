#include "report/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "report/units.h"

namespace seesaw::report {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kRedrawEvery = std::chrono::milliseconds(100);

bool stderr_moves_its_cursor() {
  if (::isatty(STDERR_FILENO) == 0) return false;
  const char* term = std::getenv("TERM");
  return term == nullptr || std::string_view(term) != "dumb";
}

int terminal_width() {
  struct winsize size {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

std::string progress_line(const std::string& label, double fraction, double seconds, int width) {
  constexpr int kMaxBar = 40;
  constexpr int kMinBar = 5;
  const double bounded = std::isfinite(fraction) ? std::clamp(fraction, 0.0, 1.0) : 0.0;
  const std::string tail =
      fmt::format(" {:3.0f} %  {}", std::floor(bounded * 100.0), seconds_text(seconds));
  const int room = width - static_cast<int>(label.size() + tail.size()) - 3;  // space, brackets
  std::string line = label;
  if (room >= kMinBar) {
    const int bar = std::min(room, kMaxBar);
    const auto filled = static_cast<std::size_t>(bounded * bar);
    line += fmt::format(" [{}{}]", std::string(filled, '#'),
                        std::string(static_cast<std::size_t>(bar) - filled, '.'));
  }
  line += tail;
  return line.substr(0, static_cast<std::size_t>(std::max(width, 0)));
}

Progress::Progress(std::string label, std::int64_t total)
    : label_(std::move(label)),
      total_(total),
      is_shown_(stderr_moves_its_cursor()),
      start_(Clock::now()),
      last_drawn_(start_) {
  if (is_shown_) draw(0);
}

void Progress::update(std::int64_t done) {
  if (!is_shown_) return;
  const auto now = Clock::now();
  if (now - last_drawn_ < kRedrawEvery) return;
  last_drawn_ = now;
  draw(done);
}

void Progress::update(std::int64_t done, std::int64_t total) {
  total_ = total;
  update(done);
}

void Progress::draw(std::int64_t done) {
  // A column is left free: a full line makes some terminals wrap.
  const int width = terminal_width() - 1;
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const std::string line =
      total_ > 0 ? progress_line(label_, static_cast<double>(done) / static_cast<double>(total_),
                                 seconds, width)
                 : (label_ + " ...").substr(0, static_cast<std::size_t>(std::max(width, 0)));
  std::fputs(("\r\x1b[K" + line).c_str(), stderr);
  std::fflush(stderr);
}

void Progress::finish() noexcept {
  if (!std::exchange(is_shown_, false)) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
}

}  // namespace seesaw::report
