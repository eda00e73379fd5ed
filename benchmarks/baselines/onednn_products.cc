#include "baselines/onednn_products.h"

#include <fmt/format.h>
#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

namespace seesaw::bench {
namespace {

using dnnl::memory;

/// One engine for the process, as oneDNN advises.
dnnl::engine& cpu_engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

/// A matmul and its arguments; only data handles change from call to call.
class Product {
 public:
  Product(const memory::desc& left, const memory::desc& right, const memory::desc& result,
          bool accumulate) {
    dnnl::primitive_attr attributes;
    // A scratchpad of its own lets several threads run their products side by side.
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (accumulate) {
      dnnl::post_ops post_ops;
      post_ops.append_sum(1.0f);
      attributes.set_post_ops(post_ops);
    }
    const dnnl::matmul::primitive_desc description({left, right, result}, attributes, cpu_engine());
    matmul_ = dnnl::matmul(description);
    left_ = memory(left, cpu_engine(), nullptr);
    right_ = memory(right, cpu_engine(), nullptr);
    result_ = memory(result, cpu_engine(), nullptr);
    arguments_ = {{DNNL_ARG_SRC, left_},
                  {DNNL_ARG_WEIGHTS, right_},
                  {DNNL_ARG_DST, result_},
                  {DNNL_ARG_SCRATCHPAD, memory(description.scratchpad_desc(), cpu_engine())}};
  }

  void run(const dnnl::stream& stream, const void* left, const void* right, float* result) {
    left_.set_data_handle(const_cast<void*>(left));
    right_.set_data_handle(const_cast<void*>(right));
    result_.set_data_handle(result);
    matmul_.execute(stream, arguments_);
  }

 private:
  dnnl::matmul matmul_;
  memory left_, right_, result_;
  std::unordered_map<int, memory> arguments_;
};

/// Layouts. Of those that need no copy of the cache outside the primitive (Q K^T or K Q^T, P V or
/// V^T P^T, inner_product in place of matmul) none beats these two by more than 3 % on an EPYC of
/// family 26, with 16 rows or 128; V as columns of the K rows (row stride d_qk) takes the gemm
/// path, which is quicker there than the blocked one that dense rows take.
class OneDnnProducts final : public BlockProducts {
 public:
  explicit OneDnnProducts(const BlockSizes& sizes) : stream_(cpu_engine()) {
    const auto type =
        sizes.dtype == DType::kBFloat16 ? memory::data_type::bf16 : memory::data_type::f32;
    const auto wide = memory::data_type::f32;
    const memory::desc queries({sizes.num_rows, sizes.d_qk}, type, memory::format_tag::ab);
    const memory::desc keys({sizes.d_qk, sizes.num_keys}, type, memory::format_tag::ba);
    const memory::desc scores({sizes.num_rows, sizes.num_keys}, wide, memory::format_tag::ab);
    const memory::desc weights({sizes.num_rows, sizes.num_keys}, type, memory::format_tag::ab);
    const memory::desc values({sizes.num_keys, sizes.d_v}, type, memory::dims{sizes.d_qk, 1});
    const memory::desc sums({sizes.num_rows, sizes.d_v}, wide, memory::format_tag::ab);
    keys_product_ = std::make_unique<Product>(queries, keys, scores, false);
    first_values_product_ = std::make_unique<Product>(weights, values, sums, false);
    next_values_product_ = std::make_unique<Product>(weights, values, sums, true);
  }

  void begin_keys(const void* keys) override { keys_ = keys; }
  void multiply_keys(const void* queries, float* scores) override {
    keys_product_->run(stream_, queries, keys_, scores);
  }
  void multiply_values(const void* weights, float* sums, bool accumulate) override {
    (accumulate ? next_values_product_ : first_values_product_)->run(stream_, weights, keys_, sums);
  }

 private:
  dnnl::stream stream_;
  std::unique_ptr<Product> keys_product_, first_values_product_, next_values_product_;
  const void* keys_ = nullptr;
};

}  // namespace

std::string OneDnnLibrary::name() const {
  const dnnl::version_t* version = dnnl::version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

std::unique_ptr<BlockProducts> OneDnnLibrary::make(const BlockSizes& sizes, int num_threads) const {
  // A primitive divides its work when it is made, by the OpenMP setting of that moment.
  omp_set_num_threads(num_threads);
  return std::make_unique<OneDnnProducts>(sizes);
}

void OneDnnLibrary::set_num_threads(int) const {}  // primitives keep the number they were made for

}  // namespace seesaw::bench
