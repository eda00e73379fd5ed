// Products of a warpgroup: computed when its last thread asks for one, delivered when a thread
// waits for it. In between the thread's part of d is NaN.
#include <algorithm>
#include <cstring>
#include <limits>

#include "emulator/block.h"

namespace seesaw::emulator {
namespace {

constexpr int kRows = 64;
constexpr int kDepth = 16;
constexpr int kWarps = kWarpgroup / kWarp;
constexpr std::uint32_t kRowBytes = 128;
constexpr std::uint32_t kGroupRows = 8;

/// Byte address of a place in memory that is swizzled by 128 bytes.
std::uint32_t swizzled(std::uint32_t address) { return address ^ (address >> 3 & 0x70); }

/// The descriptor's fields.
struct Fields {
  std::uint32_t begin;
  std::uint32_t leading_bytes;
  std::uint32_t stride_bytes;

  explicit Fields(const Matrix& matrix)
      : begin((matrix.low & 0x3fff) << 4),
        leading_bytes((matrix.low >> 16 & 0x3fff) << 4),
        stride_bytes((matrix.high & 0x3fff) << 4) {}

  /// Rows of 16-bit elements along k.
  std::uint32_t along_k(int row, int k) const {
    const auto r = static_cast<std::uint32_t>(row);
    return swizzled(begin + r / kGroupRows * stride_bytes + r % kGroupRows * kRowBytes +
                    static_cast<std::uint32_t>(k) * 2);
  }
  /// Rows of 64 elements along n.
  std::uint32_t along_n(int n, int k) const {
    const auto r = static_cast<std::uint32_t>(k);
    const auto column = static_cast<std::uint32_t>(n);
    return swizzled(begin + column / 64 * leading_bytes + r / kGroupRows * stride_bytes +
                    r % kGroupRows * kRowBytes + column % 64 * 2);
  }
};

/// Element of an operand, noted as read by products of the given warps.
class Reader {
 public:
  Reader(const SharedProduct& product, Thread& thread, const void* where)
      : product_(product), thread_(thread), where_(where) {}

  float element(std::uint32_t address) const {
    if (!is_shared(address, 2, where_)) return 0;
    std::uint16_t bits = 0;
    std::memcpy(&bits, machine.at(address), sizeof(bits));
    return product_.first.to_float(bits);
  }
  /// Eight neighbouring elements, by products of warps [first, last) of the warpgroup.
  void note(std::uint32_t address, int first, int last) const {
    if (!is_shared(address, 16, where_)) return;
    const std::size_t begin = machine.offset(address);
    Block& block = *thread_.block;
    for (int i = first; i < last; ++i) {
      const auto warp = static_cast<std::size_t>(i);
      const Moment now{block.reader_of_products(thread_.warpgroup() * kWarps + i),
                       product_.ticks[warp]};
      const Access access{&product_.clocks[warp], now, Proxy::kAsync, where_};
      if (const Conflict conflict = block.accesses.read(access, begin, begin + 16))
        report("a product", conflict, where_);
    }
  }

 private:
  const SharedProduct& product_;
  Thread& thread_;
  const void* where_;
};

/// Row and column in d of a thread's i-th float.
int row_of(int thread, int i) { return thread / 32 * 16 + thread % 32 / 4 + i / 2 % 2 * 8; }
int column_of(int thread, int i) { return i / 4 * 8 + thread % 4 * 2 + i % 2; }

void compute(const SharedProduct& product, Thread& thread, const void* where) {
  const Product& p = product.first;
  const Reader reader(product, thread, where);
  float a[kRows][kDepth];
  if (p.a_registers != nullptr) {
    for (int t = 0; t < kWarpgroup; ++t) {
      for (int i = 0; i < 8; ++i) {
        const std::uint32_t pair =
            product.a_registers[static_cast<std::size_t>(t)][static_cast<std::size_t>(i / 2)];
        const int row = t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8;
        const int k = t % 4 * 2 + i / 4 * 8 + i % 2;
        a[row][k] = p.to_float(static_cast<std::uint16_t>(i % 2 == 0 ? pair : pair >> 16));
      }
    }
  } else {
    const Fields fields(p.a_shared);
    for (int row = 0; row < kRows; ++row) {
      reader.note(fields.along_k(row, 0), row / 16, row / 16 + 1);
      reader.note(fields.along_k(row, 8), row / 16, row / 16 + 1);
      for (int k = 0; k < kDepth; ++k) a[row][k] = reader.element(fields.along_k(row, k));
    }
  }
  static float b[kDepth][256];
  const Fields fields(p.b);
  if (p.b_along_n) {
    for (int k = 0; k < kDepth; ++k) {
      for (int n = 0; n < p.n; ++n) {
        const std::uint32_t address = fields.along_n(n, k);
        if (n % 8 == 0) reader.note(address, 0, kWarps);
        b[k][n] = reader.element(address);
      }
    }
  } else {
    for (int n = 0; n < p.n; ++n) {
      for (int k = 0; k < kDepth; ++k) {
        const std::uint32_t address = fields.along_k(n, k);
        if (k % 8 == 0) reader.note(address, 0, kWarps);
        b[k][n] = reader.element(address);
      }
    }
  }
  std::vector<float>& d = product.accumulator->d;
  if (!p.adds) std::fill(d.begin(), d.end(), 0.0f);
  for (int row = 0; row < kRows; ++row) {
    float* const to = d.data() + row * p.n;
    for (int k = 0; k < kDepth; ++k) {
      const float x = a[row][k];
      for (int n = 0; n < p.n; ++n) to[n] += x * b[k][n];
    }
  }
}

/// The thread's part of d goes where the products compute; what it had is gone.
void lend_part(SharedProduct& shared, const Product& product, Thread& thread, const void* where) {
  std::shared_ptr<Accumulator>& own = thread.pending[product.d];
  const bool is_first_use = own == nullptr;
  if (shared.accumulator == nullptr) {
    shared.accumulator = own;
    if (is_first_use) {
      shared.accumulator = std::make_shared<Accumulator>();
      shared.accumulator->n = product.n;
      shared.accumulator->d.resize(static_cast<std::size_t>(kRows * product.n));
    }
  }
  if (is_first_use) own = shared.accumulator;
  if (own != shared.accumulator) report("threads of a warpgroup add to different d", where);
  const int number = thread.number % kWarpgroup;
  for (int i = 0; i < product.n / 2; ++i) {
    if (is_first_use && product.adds) {
      own->d[static_cast<std::size_t>(row_of(number, i) * product.n + column_of(number, i))] =
          product.d[i];
    }
    product.d[i] = std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace

void multiply(const Product& product) {
  const void* const where = __builtin_return_address(0);
  Thread& thread = *machine.thread;
  Warpgroup& group = thread.block->warpgroups[static_cast<std::size_t>(thread.warpgroup())];
  if (!thread.may_multiply) report("a product without wgmma.fence before it", where);
  const auto idx = static_cast<std::size_t>(thread.num_products++ - group.num_done);
  if (idx == group.products.size()) {
    group.products.emplace_back();
    group.products.back().first = product;
  }
  SharedProduct& shared = group.products[idx];
  const Product& first = shared.first;
  if (product.n != first.n || product.adds != first.adds || product.b.low != first.b.low ||
      product.b.high != first.b.high || product.a_shared.low != first.a_shared.low) {
    report("threads of a warpgroup ask for different products", where);
  }
  if (product.a_registers != nullptr) {
    std::memcpy(shared.a_registers[static_cast<std::size_t>(thread.number % kWarpgroup)].data(),
                product.a_registers, 16);
  }
  if (thread.lane() == 0) {
    const auto warp = static_cast<std::size_t>(thread.warp() % kWarps);
    shared.clocks[warp] = thread.clock;
    shared.ticks[warp] = static_cast<std::uint32_t>(thread.num_committed) + 1;
  }
  lend_part(shared, product, thread, where);
  if (++shared.num_asked < kWarpgroup) return;
  compute(shared, thread, where);
  group.products.pop_front();
  ++group.num_done;
  for (Thread* waiting : group.waiting) make_ready(waiting);
  group.waiting.clear();
}

void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], Pair b,
                  float (*to_float)(std::uint16_t bits)) {
  struct Operands {
    const std::uint32_t* a;
    Pair b;
  };
  const Operands own{a, b};
  const std::uint64_t* const all = exchange("mma.sync", reinterpret_cast<std::uintptr_t>(&own));
  const auto of = [&](unsigned lane) { return reinterpret_cast<const Operands*>(all[lane]); };
  const auto half = [&](std::uint32_t pair, unsigned k) {
    return to_float(static_cast<std::uint16_t>(k % 2 == 0 ? pair : pair >> 16));
  };
  const unsigned lane = lane_id();
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned column = lane % 4 * 2 + i % 2;
    for (unsigned k = 0; k < kDepth; ++k) {
      const unsigned holder = k % 8 / 2;
      const float x = half(of(lane / 4 * 4 + holder)->a[k / 8 * 2 + i / 2], k);
      c[i] += x * half(of(column * 4 + holder)->b.x[k / 8], k);
    }
  }
  exchange("mma.sync's end", 0);  // the operands are the lanes' own
}

/// A warpgroup's warps multiply together: who comes first waits for the others. What they did
/// before is not handed on by that.
void begin_products() {
  Thread& thread = *machine.thread;
  thread.may_multiply = true;
  Warpgroup& group = thread.block->warpgroups[static_cast<std::size_t>(thread.warpgroup())];
  if (group.meeting.size() + 1 < kWarpgroup) {
    group.meeting.push_back(&thread);
    suspend("the warpgroup's other warps, to multiply with");
    return;
  }
  for (Thread* const other : group.meeting) make_ready(other);
  group.meeting.clear();
}

void commit_products() { ++machine.thread->num_committed; }

void finish_products() {
  Thread& thread = *machine.thread;
  Warpgroup& group = thread.block->warpgroups[static_cast<std::size_t>(thread.warpgroup())];
  while (group.num_done < thread.num_products) {
    group.waiting.push_back(&thread);
    suspend("products");
  }
  const int number = thread.number % kWarpgroup;
  for (const auto& [d, accumulator] : thread.pending) {
    for (int i = 0; i < accumulator->n / 2; ++i) {
      d[i] = accumulator->d[static_cast<std::size_t>(row_of(number, i) * accumulator->n +
                                                     column_of(number, i))];
    }
  }
  thread.pending.clear();
  thread.may_multiply = false;
  std::uint32_t& seen = thread.clock.seen[thread.block->reader_of_products(thread.warp())];
  seen = static_cast<std::uint32_t>(thread.num_committed);
}

}  // namespace seesaw::emulator
