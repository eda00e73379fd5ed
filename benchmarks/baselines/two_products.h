// The baseline: attention as two matrix products of a vendor's library with a float32 softmax
// between, over a contiguous latent, one block of keys at a time with a running maximum, or all
// keys in one block. What a good engineer writes who has a matrix product but no attention kernel.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "seesaw/types/dtype.h"

namespace seesaw::bench {

/// One request: rows are query * h_q + head.
struct BaselineShape {
  std::int64_t h_q = 0;
  std::int64_t s_q = 1;
  std::int64_t s_k = 0;
  std::int64_t d_qk = 0;
  std::int64_t d_v = 0;
  bool is_causal = false;
  float scale = 0;
  DType dtype = DType::kBFloat16;  // of queries, cache and output: bfloat16 or float32

  std::int64_t num_rows() const { return h_q * s_q; }
};

/// The two products of a block, made once for fixed sizes and used by one thread at a time.
class BlockProducts {
 public:
  virtual ~BlockProducts() = default;
  /// Called once for a block of keys [num_keys, d_qk] before the calls below.
  virtual void begin_keys(const void* keys) = 0;
  /// scores [num_rows, num_keys] = queries [num_rows, d_qk] * keys^T.
  virtual void multiply_keys(const void* queries, float* scores) = 0;
  /// sums [num_rows, d_v] = (or += ) weights [num_rows, num_keys] * keys[:, :d_v].
  virtual void multiply_values(const void* weights, float* sums, bool accumulate) = 0;
};

struct BlockSizes {
  std::int64_t num_rows = 0;
  std::int64_t num_keys = 0;
  std::int64_t d_qk = 0;
  std::int64_t d_v = 0;
  DType dtype = DType::kBFloat16;  // of queries and keys
};

/// A vendor's library.
class ProductLibrary {
 public:
  virtual ~ProductLibrary() = default;
  virtual std::string name() const = 0;  // with its version and the code it picked for this CPU
  virtual DType weights_dtype(DType cache) const = 0;  // of the softmax weights it multiplies
  /// num_threads: those a product may spread over by itself.
  virtual std::unique_ptr<BlockProducts> make(const BlockSizes& sizes, int num_threads) const = 0;
  /// Makes the library use that many threads in products from now on.
  virtual void set_num_threads(int num_threads) const = 0;
  /// True where its threads are OpenMP's: parallel loops may then stand between its products.
  /// Two teams of spinning threads on the same cores would stand in each other's way.
  virtual bool runs_on_openmp() const = 0;
};

enum class Threading : std::uint8_t {
  kInsideProducts,  // one block at a time, its products spread over the threads by the library
  kOverBlocks,  // each thread takes a share of the keys (or row blocks) with products of its own
};

/// How the work is cut. Each is a reasonable choice somewhere; the benchmark times all and keeps
/// the one that suits a shape.
struct BlockingChoice {
  std::int64_t key_block = 0;  // divides s_k
  std::int64_t row_block = 0;  // divides the number of rows
  Threading threading = Threading::kInsideProducts;

  std::string to_string() const;
};

/// The choices worth timing for a shape.
std::vector<BlockingChoice> blocking_choices(const BaselineShape& shape, int num_threads);

class TwoProductAttention {
 public:
  TwoProductAttention(const ProductLibrary& library, const BaselineShape& shape,
                      const BlockingChoice& choice, int num_threads);
  ~TwoProductAttention();

  /// Sets the thread counts of the libraries; call before a series of calls to run.
  void prepare() const;
  /// queries [rows, d_qk], keys [s_k, d_qk], out [rows, d_v], all gapless and of shape.dtype.
  void run(const void* queries, const void* keys, void* out);

 private:
  struct Worker;
  void attend(Worker& worker, std::int64_t row_begin, std::int64_t row_end, std::int64_t key_begin,
              std::int64_t key_end);
  void attend_block(Worker& worker, std::int64_t row_begin, std::int64_t key_begin, bool is_first);
  void merge_into_first();
  void write(std::int64_t row_begin, std::int64_t row_end);

  const ProductLibrary& library_;
  BaselineShape shape_;
  BlockingChoice choice_;
  int num_threads_;
  DType weights_dtype_;
  bool splits_keys_ = false;
  std::vector<std::unique_ptr<Worker>> workers_;
  const std::byte* queries_ = nullptr;
  const std::byte* keys_ = nullptr;
  std::byte* out_ = nullptr;
};

}  // namespace seesaw::bench
