#include "cli/interrupt.h"

#include <atomic>
#include <csignal>

namespace seesaw::cli {
namespace {

std::atomic<int> noted_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler writes it");

extern "C" void note_signal(int signal) { noted_signal.store(signal, std::memory_order_relaxed); }

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = note_signal;
  // SA_RESETHAND: the second signal meets the default action. SA_RESTART: writes are not cut off.
  action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM}) {
    struct sigaction present {};
    // A signal that the parent had ignored (nohup, a background job) stays ignored.
    if (::sigaction(signal, nullptr, &present) == 0 && present.sa_handler == SIG_IGN) continue;
    ::sigaction(signal, &action, nullptr);
  }
  // At a limit of file sizes (ulimit -f) writing then fails as it does on a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
}

bool is_interrupted() noexcept { return noted_signal.load(std::memory_order_relaxed) != 0; }

ExitCode interrupt_exit_code() noexcept {
  switch (noted_signal.load(std::memory_order_relaxed)) {
    case 0:
      return ExitCode::kOk;
    case SIGTERM:
      return ExitCode::kTerminated;
    default:
      return ExitCode::kInterrupted;
  }
}

}  // namespace seesaw::cli
