// Sizes at which counters of 16 and 32 bits wrap.
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "support/run_case.h"
#include "support/run_size.h"
#include "system/small_call.h"
#include "system/supported_isas.h"

namespace seesaw::testing {
namespace {

class LargeShape : public ::testing::TestWithParam<CpuIsa> {
 protected:
  CpuIsa isa() const { return GetParam(); }

  CaseSpec narrow_spec() const {
    CaseSpec spec;
    spec.problem = {.phase = Phase::kDecode,
                    .s_q = 1,
                    .h_q = 1,
                    .h_kv = 1,
                    .d_qk = 6,
                    .d_v = 4,
                    .page_size = 4};
    set_types(spec.problem, type_for(isa()));
    return spec;
  }

  void check(const CaseSpec& spec) {
    AttentionCase attention_case(spec, rng_);
    EXPECT_TRUE(run_case(attention_case, executor_,
                         {.isa = isa(), .plan = {}, .check = DataCheck::kVerify}));
  }

  Rng& rng() { return rng_; }
  Executor& executor() { return executor_; }

 private:
  Rng rng_ = make_rng();
  Executor executor_ = Executor::cpu(2);
};
INSTANTIATE_TEST_SUITE_P(Isas, LargeShape, ::testing::ValuesIn(supported_isas()), isa_name);

// ---- "gridDim.y/z over 65,535" ----

std::vector<std::int64_t> counts() {
  if (kIsSanitized) return {65536};
  return {65535, 65536, 70000};
}

TEST_P(LargeShape, BatchesBeyond16Bits) {
  for (const std::int64_t batch : counts()) {
    CaseSpec spec = narrow_spec();
    for (std::int64_t i = 0; i < batch; ++i) {
      spec.kv_lengths.push_back(static_cast<std::int32_t>(uniform(rng(), 0, 6)));
    }
    check(spec);
  }
}

TEST_P(LargeShape, DecodeTokensBeyond16Bits) {
  for (const std::int64_t s_q : counts()) {
    CaseSpec spec = narrow_spec();
    spec.kv_lengths = {5};
    spec.problem.s_q = s_q;
    spec.problem.mask = Mask::kCausal;  // all but the last five tokens see nothing
    check(spec);
    spec.problem.mask = Mask::kNone;
    check(spec);
  }
}

TEST_P(LargeShape, PrefillAndSparseTokensBeyond16Bits) {
  CaseSpec chunk = narrow_spec();
  chunk.problem.phase = Phase::kPrefill;
  chunk.kv_lengths = {3, 5};
  chunk.q_lengths = {7, 65536};
  check(chunk);
  CaseSpec sparse = narrow_spec();
  sparse.kv_lengths = {5};
  sparse.problem.s_q = 65536;
  sparse.problem.sparsity = Sparsity::kTopK;
  sparse.problem.top_k = 3;
  check(sparse);
}

// ---- "32-bit products of page and stride wrap" ----

/// Address space without memory behind what is not touched.
class SparseMemory {
 public:
  explicit SparseMemory(std::size_t num_bytes) : num_bytes_(num_bytes) {
    void* memory = mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory != MAP_FAILED) bytes_ = static_cast<std::byte*>(memory);
  }
  ~SparseMemory() {
    if (bytes_ != nullptr) munmap(bytes_, num_bytes_);
  }
  SparseMemory(const SparseMemory&) = delete;
  SparseMemory& operator=(const SparseMemory&) = delete;

  std::byte* bytes() const { return bytes_; }
  std::size_t num_bytes() const { return num_bytes_; }

 private:
  std::size_t num_bytes_;
  std::byte* bytes_ = nullptr;
};

/// Moves the pages of a compact case into a pool of its own: page p of the case becomes page
/// p * spread there, so that all the pool is spanned. Where an address computed in 32 bits would
/// land, there is NaN.
class LargePool {
 public:
  LargePool(SmallCall& call, std::int64_t page_stride_bytes, std::size_t pool_bytes)
      : memory_(pool_bytes) {
    const ConstTensorView& from = call.decode.cache.kv_cache;
    const auto element = static_cast<std::int64_t>(size_bytes(from.dtype));
    const std::int64_t num_pages = static_cast<std::int64_t>(pool_bytes) / page_stride_bytes;
    spread_ = (num_pages - 1) / (from.dim(0) - 1);
    view_ = from;
    view_.data = memory_.bytes();
    view_.shape[0] = num_pages;
    view_.stride[0] = page_stride_bytes / element;
    page_bytes_ = static_cast<std::size_t>(from.dim(1) * from.step(1) * element);
  }

  bool is_mapped() const { return memory_.bytes() != nullptr; }
  std::int64_t spread() const { return spread_; }
  const ConstTensorView& view() const { return view_; }

  void copy_pages(const ConstTensorView& from) {
    const auto element = static_cast<std::int64_t>(size_bytes(from.dtype));
    const std::int64_t to_step = view_.step(0) * element * spread_;
    for (std::int64_t page = 0; page < from.dim(0); ++page) {
      const std::int64_t offset = page * to_step;
      const std::int64_t wrapped_at[] = {
          offset & 0xffffffff,                        // bytes counted in 32 bits
          (offset / element & 0xffffffff) * element,  // elements counted in 32 bits
      };
      for (const std::int64_t wrapped : wrapped_at) {
        if (wrapped != offset) poison(wrapped);
      }
    }
    for (std::int64_t page = 0; page < from.dim(0); ++page) {
      std::memcpy(memory_.bytes() + page * to_step,
                  static_cast<const std::byte*>(from.data) + page * from.step(0) * element,
                  page_bytes_);
    }
  }

 private:
  void poison(std::int64_t offset) {
    const auto begin = static_cast<std::size_t>(offset);
    if (begin + page_bytes_ > memory_.num_bytes()) return;
    std::memset(memory_.bytes() + begin, 0xff, page_bytes_);
  }

  SparseMemory memory_;
  ConstTensorView view_;
  std::int64_t spread_ = 0;
  std::size_t page_bytes_ = 0;
};

struct PoolShape {
  std::int64_t page_size;
  std::int64_t page_stride_bytes;
  std::size_t pool_bytes;
};

constexpr PoolShape kPools[] = {
    {.page_size = 16, .page_stride_bytes = 16 * 80 * 4, .pool_bytes = std::size_t{5} << 30},
    {.page_size = 16, .page_stride_bytes = (5 << 18) + 64, .pool_bytes = std::size_t{9} << 30},
};

TEST_P(LargeShape, PoolsBeyond4GiBAndPageStridesBeyond1MiB) {
  for (const PoolShape& shape : kPools) {
    for (const bool is_sparse : {false, true}) {
      CaseSpec spec = narrow_spec();
      spec.problem.h_q = 8;
      spec.problem.d_qk = 80;
      spec.problem.d_v = 64;
      spec.problem.page_size = shape.page_size;
      spec.kv_lengths = {200, 37, 64};
      if (is_sparse) {
        spec.problem.sparsity = Sparsity::kTopK;
        spec.problem.top_k = 150;
      }
      SmallCall call(spec, {}, isa());
      LargePool pool(call, shape.page_stride_bytes, shape.pool_bytes);
      ASSERT_TRUE(pool.is_mapped()) << "no address space for " << shape.pool_bytes << " bytes";
      ASSERT_TRUE(call.run(executor()).is_ok());
      const std::vector<double> expected = call.arrays.out();
      call.arrays.poison_outputs();

      pool.copy_pages(call.decode.cache.kv_cache);
      call.decode.cache.kv_cache = pool.view();
      StridedArray& places = is_sparse ? call.arrays.indices() : call.arrays.block_table();
      const std::int64_t unit = is_sparse ? spec.problem.page_size : 1;
      for (std::int64_t i = 0; i < places.num_elements(); ++i) {
        const auto value = static_cast<std::int64_t>(places.read(i));
        if (value < 0 || value == std::numeric_limits<std::int32_t>::max()) continue;
        const std::int64_t moved = value / unit * pool.spread() * unit + value % unit;
        ASSERT_LE(moved, std::numeric_limits<std::int32_t>::max());
        places.write(i, static_cast<double>(moved));
      }
      const Status status = call.run(executor(), DataCheck::kVerify);
      ASSERT_TRUE(status.is_ok()) << status.message();
      EXPECT_EQ(call.arrays.out(), expected);
    }
  }
}

}  // namespace
}  // namespace seesaw::testing
