#include "baselines/openblas_products.h"

#include <cblas.h>
#include <fmt/format.h>

#include "baselines/row_kernels.h"
#include "harness/memory.h"

namespace seesaw::bench {
namespace {

class OpenBlasProducts final : public BlockProducts {
 public:
  explicit OpenBlasProducts(const BlockSizes& sizes) : sizes_(sizes) {
    if (sizes.dtype == DType::kBFloat16) {
      wide_keys_ = HugeBuffer(sizes.num_keys * sizes.d_qk * 4);
      wide_queries_ = HugeBuffer(sizes.num_rows * sizes.d_qk * 4);
    }
  }

  void begin_keys(const void* keys) override { keys_ = widen(keys, sizes_.num_keys, wide_keys_); }

  void multiply_keys(const void* queries, float* scores) override {
    const float* rows = widen(queries, sizes_.num_rows, wide_queries_);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, as_int(sizes_.num_rows),
                as_int(sizes_.num_keys), as_int(sizes_.d_qk), 1.0f, rows, as_int(sizes_.d_qk),
                keys_, as_int(sizes_.d_qk), 0.0f, scores, as_int(sizes_.num_keys));
  }

  void multiply_values(const void* weights, float* sums, bool accumulate) override {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, as_int(sizes_.num_rows),
                as_int(sizes_.d_v), as_int(sizes_.num_keys), 1.0f,
                static_cast<const float*>(weights), as_int(sizes_.num_keys), keys_,
                as_int(sizes_.d_qk), accumulate ? 1.0f : 0.0f, sums, as_int(sizes_.d_v));
  }

 private:
  static blasint as_int(std::int64_t value) { return static_cast<blasint>(value); }

  const float* widen(const void* rows, std::int64_t num_rows, const HugeBuffer& wide) const {
    if (sizes_.dtype == DType::kFloat32) return static_cast<const float*>(rows);
    const auto* from = static_cast<const std::uint16_t*>(rows);
    row_kernels().widen_bfloat16(from, wide.as<float>(), num_rows * sizes_.d_qk);
    return wide.as<float>();
  }

  BlockSizes sizes_;
  HugeBuffer wide_keys_, wide_queries_;
  const float* keys_ = nullptr;
};

}  // namespace

std::string openblas_core_name() { return openblas_get_corename(); }

std::string OpenBlasLibrary::name() const {
  return fmt::format("{} [{} kernels]", openblas_get_config(), openblas_get_corename());
}

std::unique_ptr<BlockProducts> OpenBlasLibrary::make(const BlockSizes& sizes, int) const {
  return std::make_unique<OpenBlasProducts>(sizes);
}

void OpenBlasLibrary::set_num_threads(int num_threads) const {
  openblas_set_num_threads(num_threads);
}

}  // namespace seesaw::bench
