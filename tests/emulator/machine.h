// A Hopper multiprocessor in slow motion: runs a kernel's blocks, its threads as fibers of one
// thread of the host, in an order that a seed decides, and watches what they do to memory.
//
// The functions below are what instructions come to; shadow/ and device_builtins.h call them. They
// act for the thread that runs now. Addresses of shared memory are 32-bit, as the instructions take
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace seesaw::emulator {

struct Launch {
  const char* name = "";
  unsigned grid[3] = {1, 1, 1};
  unsigned block[3] = {1, 1, 1};
  std::size_t shared_bytes = 0;  // dynamic
};

/// Runs `body` in every thread of every block; returns when all are done.
void run(const Launch& launch, const std::function<void()>& body);

/// Does the work of a stream at once or, while one is captured into a graph, keeps it for the
/// graph.
void enqueue(const std::function<void()>& work);

/// What was found wrong since the last time, each once, with its place in the source.
std::vector<std::string> take_reports();

// ------------------------------------------------------------------------------------------ memory

/// Device memory for num_bytes, which ends where the next page cannot be reached; nullptr: none.
void* allocate(std::size_t num_bytes);
/// False where it is none that allocate gave.
bool release(void* data);
bool is_device_memory(const void* data);

/// The address of a byte of the block's dynamic shared memory.
std::uint32_t shared_address(const void* pointer);

/// An ordinary access by compiled code; see instrumentation.cc.
void note_read(const void* at, std::size_t num_bytes, const void* where);
void note_write(const void* at, std::size_t num_bytes, const void* where);

// Of shared memory, for the instructions that take addresses.
void read_shared(std::uint32_t from, void* to, std::size_t num_bytes);
void write_shared(std::uint32_t to, const void* from, std::size_t num_bytes);

// ------------------------------------------------------------------------------------------- warps

/// The 32 values of the warp's lanes, of which each gives one; all lanes come here. What it is
/// called must be the same in all of them.
const std::uint64_t* exchange(const char* what, std::uint64_t value);
/// The same as a barrier for memory.
void sync_warp();
unsigned lane_id();

// ---------------------------------------------------------------------------------------- barriers

void sync_named(int barrier, int num_threads);
void arrive_named(int barrier, int num_threads);
/// __syncthreads; returns how many threads said true.
int sync_threads(bool predicate);

void init_barrier(std::uint32_t barrier, int arrivals);
void fence_barrier_init();
void arrive(std::uint32_t barrier);
void arrive_and_expect(std::uint32_t barrier, int num_bytes);
void wait(std::uint32_t barrier, int parity);
void fence_async_proxy();

/// Counts one up at a word of global memory, or from `last` back to 0; for all threads of the
/// device, with acquire and release.
std::int32_t count_around(std::int32_t* at, std::int32_t last);
std::int32_t load_acquire(const std::int32_t* at);

void wait_for_previous_kernel();
/// Reported before the wait.
void let_next_kernel_start();
/// A load that is right if the kernel before, which may be running, does not write what it reads.
void load_before_wait(const void* from, void* to, std::size_t num_bytes);
/// The host, or a copy in the stream, comes between two kernels: none is running.
void end_kernels();

// -------------------------------------------------------------------------------- copies, products

/// Copies num_bytes of num_valid and zeros, by the thread, done after wait_for_copies.
void copy_bytes(std::uint32_t to, const void* from, std::size_t num_bytes, std::size_t num_valid);
void commit_copies();
/// Waits for all of the thread's groups but the last num_pending, or (-1) for all copies.
void wait_for_copies(int num_pending);

/// A box of a tensor map (tensor_map.h), swizzled by 128 bytes; counts towards `barrier`.
void copy_box(const void* map, std::uint32_t to, const std::int32_t (&origin)[5],
              std::uint32_t barrier);

/// An operand of a product in shared memory, as the descriptor's words tell it.
struct Matrix {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
};

/// Asynchronous d[64, n] (+)= a[64, 16] b[16, n] of a warpgroup, of 16-bit elements that
/// `to_float` reads; d is the thread's part of it, n / 2 floats.
struct Product {
  float (*to_float)(std::uint16_t bits) = nullptr;
  const std::uint32_t* a_registers = nullptr;  // or nullptr: a_shared
  Matrix a_shared;
  Matrix b;
  bool b_along_n = false;  // else along k
  float* d = nullptr;
  int n = 0;
  bool adds = false;
};
void multiply(const Product& product);
void begin_products();
void commit_products();
/// All committed products of the thread are done, and stand where they were told to.
void finish_products();

/// A warp's c[16, 8] += a[16, 16] b[16, 8], in the lanes' registers (mma.sync).
struct Pair {
  std::uint32_t x[2];
};
void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], Pair b,
                  float (*to_float)(std::uint16_t bits));

/// ldmatrix .x4, the same with .trans, and stmatrix .x4.
void load_matrices(std::uint32_t (&x)[4], std::uint32_t row_address);
void load_transposed(std::uint32_t (&x)[4], std::uint32_t row_address);
void store_matrices(std::uint32_t row_address, const std::uint32_t* x);

}  // namespace seesaw::emulator
