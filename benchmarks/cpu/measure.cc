#include "cpu/measure.h"

#include <algorithm>

#include "cpu/contenders.h"

namespace seesaw::bench {
namespace {

constexpr double kPeakBurstSeconds = 0.001;

Row start_row(const Work& work, std::string contender, int num_threads) {
  Row row;
  row.work = work;
  row.contender = std::move(contender);
  row.num_threads = num_threads;
  return row;
}

/// The arithmetic that bounds a row.
std::optional<Arithmetic> bound_of(const Row& row, CpuIsa best) {
  if (row.isa) return arithmetic_of(*row.isa);
  const bool is_bf16 = row.contender == "onednn" && row.work.kv_format == KvFormat::kBFloat16;
  if (best == CpuIsa::kAvx512Bf16 && !is_bf16) return arithmetic_of(CpuIsa::kAvx512);
  return arithmetic_of(best);
}

/// A group while it is measured.
class Lineup {
 public:
  Lineup(CpuIsa best, std::uint64_t seed) : best_(best), seed_(seed) {}

  /// Checks what was made, and keeps it; a failure becomes a row without measurement.
  void add(Row row, Result<std::unique_ptr<AttentionContender>> made) {
    std::unique_ptr<AttentionContender> contender;
    if (made) {
      contender = std::move(made).value();
      row.detail = contender->detail();
      row.relative_error = contender->checked_error(seed_);
      row.is_correct = row.relative_error <= contender->limit_of_error();  // false for NaN
    } else {
      row.failure = made.status().message();
    }
    entries_.push_back({std::move(row), std::move(contender), {}});
  }

  /// Measures contenders and the peaks that bound them; `team` gives a team of that many threads.
  std::vector<Row> measure(const Pace& pace, const std::function<ThreadTeam&(int)>& team) {
    std::vector<Contender> contenders;
    std::vector<std::vector<std::vector<double>>*> results;
    for (Entry& entry : entries_) {
      AttentionContender* contender = entry.contender.get();
      if (contender == nullptr) continue;
      contenders.push_back({.name = entry.row.contender,
                            .prepare = [contender] { contender->prepare(); },
                            .sample = [contender] { return contender->sample(); }});
      results.push_back(&entry.rounds);
    }
    std::map<std::pair<Arithmetic, int>, std::vector<std::vector<double>>> peaks;
    for (const Entry& entry : entries_) {
      const auto bound = bound_of(entry.row, best_);
      if (entry.contender && bound) peaks[{*bound, entry.row.num_threads}] = {};
    }
    for (auto& [key, rounds] : peaks) {
      const Arithmetic arithmetic = key.first;
      ThreadTeam* peak_team = &team(key.second);
      contenders.push_back({.name = to_string(arithmetic), .prepare = {}, .sample = [=] {
                              return measure_gflops(arithmetic, *peak_team, kPeakBurstSeconds);
                            }});
      results.push_back(&rounds);
    }

    Samples samples = interleave(contenders, pace);
    for (std::size_t i = 0; i < samples.size(); ++i) *results[i] = std::move(samples[i]);
    for (Entry& entry : entries_) {
      if (!entry.contender) continue;
      fill(entry);
      if (const auto bound = bound_of(entry.row, best_)) {
        entry.row.peak_name = to_string(*bound);
        entry.row.peak_gflops = summarize(flatten(peaks[{*bound, entry.row.num_threads}]));
      }
    }
    std::vector<Row> rows;
    for (Entry& entry : entries_) rows.push_back(std::move(entry.row));
    return rows;
  }

 private:
  struct Entry {
    Row row;
    std::unique_ptr<AttentionContender> contender;  // null where there is none
    std::vector<std::vector<double>> rounds;
  };

  void fill(Entry& entry) const {
    Row& row = entry.row;
    row.seconds = summarize(flatten(entry.rounds));
    row.gflops = row.work.flops() / row.seconds.median * 1e-9;
    row.kv_gbps = row.work.kv_bytes() / row.seconds.median * 1e-9;
    if (row.num_threads > 1) row.to_one_thread = compare(entry, row.contender, 1, row.isa);
    if (row.contender == "seesaw") {
      row.to_onednn = compare(entry, "onednn", row.num_threads, {});
      row.to_openblas = compare(entry, "openblas", row.num_threads, {});
    }
  }

  std::optional<Comparison> compare(const Entry& entry, const std::string& contender,
                                    int num_threads, std::optional<CpuIsa> isa) const {
    for (const Entry& other : entries_) {
      if (!other.contender || other.row.contender != contender ||
          other.row.num_threads != num_threads || other.row.isa != isa) {
        continue;
      }
      return Comparison{
          .of_medians = median_of(flatten(other.rounds)) / median_of(flatten(entry.rounds)),
          .paired = paired_ratio(other.rounds, entry.rounds)};
    }
    return std::nullopt;
  }

  CpuIsa best_;
  std::uint64_t seed_;
  std::vector<Entry> entries_;
};

}  // namespace

Bench::Bench(DeviceSpec device, Options options)
    : device_(std::move(device)), options_(std::move(options)) {}

ColdCache& Bench::cache(DType dtype) {
  if (!cache_ || cache_->dtype() != dtype) {
    cache_.reset();  // before the next one takes its memory
    cache_ = std::make_unique<ColdCache>(dtype, Work::kDQk, Work::kPageSize, options_.pool_bytes,
                                         options_.seed);
  }
  return *cache_;
}

Executor& Bench::executor(int num_threads) {
  auto found = executors_.find(num_threads);
  if (found == executors_.end()) {
    found = executors_.emplace(num_threads, Executor::cpu(num_threads)).first;
  }
  return found->second;
}

ThreadTeam& Bench::team(int num_threads) {
  auto& team = teams_[num_threads];
  if (!team) team = std::make_unique<ThreadTeam>(num_threads);
  return *team;
}

std::vector<Row> Bench::measure(const WorkGroup& group) {
  const Work& work = group.work;
  const DType kv_dtype = plain_dtype(work.kv_format).value();
  ColdCache& kv_cache = cache(kv_dtype);
  const std::int64_t num_query_values = work.num_rows() * Work::kDQk;
  const HugeBuffer queries = random_values(work.q_dtype, num_query_values, options_.seed + 3);
  const HugeBuffer baseline_queries = random_values(kv_dtype, num_query_values, options_.seed + 4);

  Lineup lineup(device_.cpu_isa, options_.seed + 5);
  for (int num_threads : options_.threads) {
    for (CpuIsa isa : group.isas) {
      DeviceSpec device = device_;
      device.num_workers = num_threads;
      device.cpu_isa = isa;
      Row row = start_row(work, "seesaw", num_threads);
      row.isa = isa;
      lineup.add(std::move(row),
                 make_seesaw(work, kv_cache, queries, {device, &executor(num_threads)}));
    }
    if (group.has_onednn) {
      lineup.add(start_row(work, "onednn", num_threads),
                 make_baseline(work, kv_cache, baseline_queries, onednn_, num_threads));
    }
    if (group.has_openblas) {
      lineup.add(start_row(work, "openblas", num_threads),
                 make_baseline(work, kv_cache, baseline_queries, openblas_, num_threads));
    }
  }
  return lineup.measure(options_.pace,
                        [this](int num_threads) -> ThreadTeam& { return team(num_threads); });
}

}  // namespace seesaw::bench
