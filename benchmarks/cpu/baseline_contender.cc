#include <algorithm>
#include <limits>
#include <thread>

#include "cpu/check.h"
#include "cpu/contenders.h"
#include "harness/interleave.h"
#include "harness/statistics.h"

namespace seesaw::bench {
namespace {

class BaselineContender final : public AttentionContender {
 public:
  BaselineContender(const Work& work, ColdCache& cache, const HugeBuffer& queries,
                    const ProductLibrary& library, const BlockingChoice& choice, int num_threads)
      : AttentionContender(work, cache, cache.dtype()),
        queries_(queries),
        choice_(choice),
        attention_(library, shape_of(work, cache), choice, num_threads) {}

  static BaselineShape shape_of(const Work& work, ColdCache& cache) {
    return {.h_q = work.h_q,
            .s_q = work.s_q,
            .s_k = work.s_k,
            .d_qk = Work::kDQk,
            .d_v = Work::kDV,
            .is_causal = work.mask == Mask::kCausal,
            .scale = work.problem().scale(),
            .dtype = cache.dtype()};
  }

  void prepare() override { attention_.prepare(); }

  double sample() override {
    const std::int64_t request_idx = cache_.next_contiguous_request(work_.s_k);
    return seconds_of([&] { run(request_idx); });
  }

  double checked_error(std::uint64_t seed) override {
    prepare();
    run(0);
    return relative_error({.work = work_,
                           .queries = queries_.data(),
                           .queries_dtype = cache_.dtype(),
                           .pages = cache_.contiguous_pages(),
                           .block_table = cache_.contiguous_block_table(0, work_.s_k),
                           .out = out_.data(),
                           .out_dtype = cache_.dtype()},
                          seed);
  }

  std::string detail() const override { return choice_.to_string(); }

 private:
  void run(std::int64_t request_idx) {
    attention_.run(queries_.data(), cache_.contiguous(request_idx, work_.s_k), out_.data());
  }

  const HugeBuffer& queries_;
  BlockingChoice choice_;
  TwoProductAttention attention_;
};

}  // namespace

std::unique_ptr<AttentionContender> make_baseline(const Work& work, ColdCache& cache,
                                                  const HugeBuffer& queries,
                                                  const ProductLibrary& library, int num_threads) {
  const auto make = [&](const BlockingChoice& choice) {
    return std::make_unique<BaselineContender>(work, cache, queries, library, choice, num_threads);
  };
  struct Trial {
    BlockingChoice choice;
    double seconds;
  };
  // First a glance at every choice, dropping early what is far behind.
  std::vector<Trial> trials;
  double best = std::numeric_limits<double>::infinity();
  for (const BlockingChoice& choice :
       blocking_choices(BaselineContender::shape_of(work, cache), num_threads)) {
    const auto contender = make(choice);
    contender->prepare();
    std::this_thread::sleep_for(std::chrono::milliseconds(num_threads > 1 ? 10 : 1));
    contender->sample();
    std::vector<double> samples;
    double total = 0;
    while (samples.size() < 3 || (total < 0.004 && samples.size() < 20)) {
      samples.push_back(contender->sample());
      total += samples.back();
      if (samples.back() > 2 * best) break;
    }
    trials.push_back({choice, median_of(samples)});
    best = std::min(best, trials.back().seconds);
  }
  std::sort(trials.begin(), trials.end(),
            [](const Trial& a, const Trial& b) { return a.seconds < b.seconds; });

  // Then the best of them in turn, long enough to tell them apart.
  constexpr std::size_t kFinalists = 4;
  std::vector<std::unique_ptr<BaselineContender>> finalists;
  std::vector<Contender> contenders;
  for (std::size_t i = 0; i < std::min(kFinalists, trials.size()); ++i) {
    finalists.push_back(make(trials[i].choice));
    BaselineContender* finalist = finalists.back().get();
    contenders.push_back({.name = finalist->detail(),
                          .prepare = [finalist] { finalist->prepare(); },
                          .sample = [finalist] { return finalist->sample(); }});
  }
  const Samples samples =
      interleave(contenders, {.num_rounds = 5, .burst_seconds = 0.004, .least_calls = 1});
  std::vector<double> medians;
  for (const auto& rounds : samples) medians.push_back(median_of(flatten(rounds)));
  const auto winner = std::min_element(medians.begin(), medians.end()) - medians.begin();
  return std::move(finalists[static_cast<std::size_t>(winner)]);
}

}  // namespace seesaw::bench
