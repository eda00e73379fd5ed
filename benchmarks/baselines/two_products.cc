#include "baselines/two_products.h"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "baselines/row_kernels.h"
#include "harness/memory.h"

namespace seesaw::bench {
namespace {

constexpr float kLowest = -1e30f;
constexpr double kLog2E = 1.4426950408889634;
constexpr std::int64_t kLargestScoreBlock = std::int64_t{1} << 25;  // values: 128 MiB of float32

std::int64_t row_bytes(std::int64_t columns, DType dtype) {
  return columns * static_cast<std::int64_t>(size_bytes(dtype));
}

}  // namespace

std::string BlockingChoice::to_string() const {
  return fmt::format("{} keys x {} rows a block, threads {}", key_block, row_block,
                     threading == Threading::kOverBlocks ? "over blocks" : "inside products");
}

std::vector<BlockingChoice> blocking_choices(const BaselineShape& shape, int num_threads) {
  std::vector<std::int64_t> key_blocks;
  for (std::int64_t keys : {128, 256, 512, 1024, 4096, 16384}) {
    if (keys <= shape.s_k && shape.s_k % keys == 0) key_blocks.push_back(keys);
  }
  if (std::find(key_blocks.begin(), key_blocks.end(), shape.s_k) == key_blocks.end()) {
    key_blocks.push_back(shape.s_k);
  }
  std::vector<std::int64_t> row_blocks;
  const std::int64_t num_rows = shape.num_rows();
  for (std::int64_t rows : {128, 512}) {
    if (rows < num_rows && num_rows % rows == 0) row_blocks.push_back(rows);
  }
  row_blocks.push_back(num_rows);

  std::vector<BlockingChoice> choices;
  for (std::int64_t keys : key_blocks) {
    for (std::int64_t rows : row_blocks) {
      if (keys * rows > kLargestScoreBlock) continue;
      choices.push_back({keys, rows, Threading::kInsideProducts});
      const bool has_share = num_rows / rows >= num_threads || shape.s_k / keys >= num_threads;
      if (num_threads > 1 && has_share) choices.push_back({keys, rows, Threading::kOverBlocks});
    }
  }
  return choices;
}

/// What one thread owns: products of its own and room for its rows.
struct TwoProductAttention::Worker {
  std::unique_ptr<BlockProducts> products;
  HugeBuffer scores, weights, sums, row_max, row_sum, correction;
};

TwoProductAttention::TwoProductAttention(const ProductLibrary& library, const BaselineShape& shape,
                                         const BlockingChoice& choice, int num_threads)
    : library_(library),
      shape_(shape),
      choice_(choice),
      num_threads_(num_threads),
      weights_dtype_(library.weights_dtype(shape.dtype)) {
  const bool is_over_blocks = choice.threading == Threading::kOverBlocks;
  const std::int64_t rows = shape.num_rows();
  splits_keys_ = is_over_blocks && rows / choice.row_block < num_threads;
  const int num_workers = is_over_blocks ? num_threads : 1;
  const int product_threads = is_over_blocks ? 1 : num_threads;
  library_.set_num_threads(product_threads);
  const std::int64_t block = choice.row_block * choice.key_block;
  for (int i = 0; i < num_workers; ++i) {
    auto worker = std::make_unique<Worker>();
    worker->products = library_.make({.num_rows = choice.row_block,
                                      .num_keys = choice.key_block,
                                      .d_qk = shape.d_qk,
                                      .d_v = shape.d_v,
                                      .dtype = shape.dtype},
                                     product_threads);
    worker->scores = HugeBuffer(row_bytes(block, DType::kFloat32));
    worker->weights = HugeBuffer(row_bytes(block, weights_dtype_));
    worker->row_max = HugeBuffer(row_bytes(rows, DType::kFloat32));
    worker->row_sum = HugeBuffer(row_bytes(rows, DType::kFloat32));
    worker->correction = HugeBuffer(row_bytes(choice.row_block, DType::kFloat32));
    // Workers that split the keys hold sums of all rows; those that split the rows share worker
    // 0's arrays, each its own part.
    if (i == 0 || splits_keys_)
      worker->sums = HugeBuffer(row_bytes(rows * shape.d_v, DType::kFloat32));
    workers_.push_back(std::move(worker));
  }
}

TwoProductAttention::~TwoProductAttention() = default;

void TwoProductAttention::prepare() const {
  omp_set_num_threads(num_threads_);
  library_.set_num_threads(choice_.threading == Threading::kOverBlocks ? 1 : num_threads_);
}

void TwoProductAttention::attend_block(Worker& worker, std::int64_t row_begin,
                                       std::int64_t key_begin, bool is_first) {
  const RowKernels& kernels = row_kernels();
  const std::int64_t rows = choice_.row_block;
  const std::int64_t keys = choice_.key_block;
  Worker& owner = splits_keys_ ? worker : *workers_[0];
  float* sums = owner.sums.as<float>() + row_begin * shape_.d_v;

  worker.products->multiply_keys(queries_ + row_bytes(row_begin * shape_.d_qk, shape_.dtype),
                                 worker.scores.as<float>());
  const auto softmax =
      weights_dtype_ == DType::kBFloat16 ? kernels.softmax_to_bfloat16 : kernels.softmax_to_float32;
  const std::int64_t weight_row_bytes = row_bytes(keys, weights_dtype_);
  const auto part = [&](std::int64_t begin, std::int64_t end) {
    SoftmaxBlock block{.scores = worker.scores.as<float>() + begin * keys,
                       .num_rows = end - begin,
                       .num_keys = keys,
                       .scale_log2 = static_cast<float>(shape_.scale * kLog2E),
                       .first_visible = shape_.s_k - shape_.s_q + 1 - key_begin,
                       .first_row = row_begin + begin,
                       .heads = shape_.h_q,
                       .is_masked = shape_.is_causal,
                       .row_max = owner.row_max.as<float>() + row_begin + begin,
                       .row_sum = owner.row_sum.as<float>() + row_begin + begin,
                       .correction = worker.correction.as<float>() + begin,
                       .weights = worker.weights.data() + begin * weight_row_bytes};
    softmax(block);
    if (!is_first) {
      kernels.scale_rows(sums + begin * shape_.d_v, end - begin, shape_.d_v, block.correction);
    }
  };
  const bool is_alone = choice_.threading == Threading::kInsideProducts && num_threads_ > 1;
  if (is_alone && library_.runs_on_openmp()) {
    const std::int64_t share = (rows + num_threads_ - 1) / num_threads_;
#pragma omp parallel for schedule(static)
    for (std::int64_t begin = 0; begin < rows; begin += share) {
      part(begin, std::min(begin + share, rows));
    }
  } else {
    part(0, rows);
  }
  worker.products->multiply_values(worker.weights.data(), sums, !is_first);
}

void TwoProductAttention::attend(Worker& worker, std::int64_t row_begin, std::int64_t row_end,
                                 std::int64_t key_begin, std::int64_t key_end) {
  Worker& owner = splits_keys_ ? worker : *workers_[0];
  std::fill(owner.row_max.as<float>() + row_begin, owner.row_max.as<float>() + row_end, kLowest);
  std::fill(owner.row_sum.as<float>() + row_begin, owner.row_sum.as<float>() + row_end, 0.0f);
  for (std::int64_t key = key_begin; key < key_end; key += choice_.key_block) {
    worker.products->begin_keys(keys_ + row_bytes(key * shape_.d_qk, shape_.dtype));
    for (std::int64_t row = row_begin; row < row_end; row += choice_.row_block) {
      const std::int64_t last_query = (row + choice_.row_block - 1) / shape_.h_q;
      const bool is_hidden = shape_.is_causal && key > shape_.s_k - shape_.s_q + last_query;
      const bool is_first = key == key_begin;  // never skipped: it initializes the sums
      if (is_first || !is_hidden) attend_block(worker, row, key, is_first);
    }
  }
}

void TwoProductAttention::merge_into_first() {
  const RowKernels& kernels = row_kernels();
  Worker& first = *workers_[0];
  const std::int64_t rows = shape_.num_rows();
#pragma omp parallel for schedule(static)
  for (std::int64_t r = 0; r < rows; ++r) {
    float* row = first.sums.as<float>() + r * shape_.d_v;
    float& first_max = first.row_max.as<float>()[r];
    float& first_sum = first.row_sum.as<float>()[r];
    for (std::size_t i = 1; i < workers_.size(); ++i) {
      const float other_max = workers_[i]->row_max.as<float>()[r];
      const float other_sum = workers_[i]->row_sum.as<float>()[r];
      const float best = std::max(first_max, other_max);
      const float keep = std::exp2(first_max - best);
      const float take = std::exp2(other_max - best);
      kernels.scale_rows(row, 1, shape_.d_v, &keep);
      kernels.add_scaled(row, workers_[i]->sums.as<float>() + r * shape_.d_v, shape_.d_v, take);
      first_sum = first_sum * keep + other_sum * take;
      first_max = best;
    }
  }
}

void TwoProductAttention::write(std::int64_t row_begin, std::int64_t row_end) {
  const RowKernels& kernels = row_kernels();
  const Worker& first = *workers_[0];
  for (std::int64_t r = row_begin; r < row_end; ++r) {
    const float* sums = first.sums.as<float>() + r * shape_.d_v;
    const float factor = 1.0f / first.row_sum.as<float>()[r];
    std::byte* to = out_ + row_bytes(r * shape_.d_v, shape_.dtype);
    if (shape_.dtype == DType::kBFloat16) {
      kernels.round_to_bfloat16(sums, factor, reinterpret_cast<std::uint16_t*>(to), shape_.d_v);
    } else {
      float* row = reinterpret_cast<float*>(to);
      std::fill(row, row + shape_.d_v, 0.0f);
      kernels.add_scaled(row, sums, shape_.d_v, factor);
    }
  }
}

void TwoProductAttention::run(const void* queries, const void* keys, void* out) {
  queries_ = static_cast<const std::byte*>(queries);
  keys_ = static_cast<const std::byte*>(keys);
  out_ = static_cast<std::byte*>(out);
  const std::int64_t rows = shape_.num_rows();
  if (workers_.size() == 1) {
    attend(*workers_[0], 0, rows, 0, shape_.s_k);
    write(0, rows);
    return;
  }
  const std::int64_t num_workers = num_threads_;
  const std::int64_t num_units =
      splits_keys_ ? shape_.s_k / choice_.key_block : rows / choice_.row_block;
  const std::int64_t unit = splits_keys_ ? choice_.key_block : choice_.row_block;
#pragma omp parallel num_threads(num_threads_)
  {
    const std::int64_t worker_idx = omp_get_thread_num();
    const std::int64_t begin = num_units * worker_idx / num_workers * unit;
    const std::int64_t end = num_units * (worker_idx + 1) / num_workers * unit;
    Worker& worker = *workers_[static_cast<std::size_t>(worker_idx)];
    if (splits_keys_) {
      attend(worker, 0, rows, begin, end);
    } else {
      attend(worker, begin, end, 0, shape_.s_k);
      write(begin, end);
    }
  }
  if (splits_keys_) {
    merge_into_first();
    write(0, rows);
  }
}

}  // namespace seesaw::bench
