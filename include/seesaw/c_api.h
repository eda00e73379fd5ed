/* The C ABI of Seesaw, usable from C99 and from anything that calls C.
 *
 * Every function but the three that return a string returns a seesaw_status, throws nothing, and
 * accepts any argument: a null handle or pointer is an error (SEESAW_INVALID_ARGUMENT), never a
 * crash. Outputs are written only on success. What failed, in words, is in
 * seesaw_last_error_message().
 *
 * Structs that carry `struct_size` may grow in later versions. The caller sets it to the sizeof
 * that it was compiled with (the _init functions do): fields that the caller does not know take
 * their defaults. A larger struct than the library knows is accepted if what is unknown is zero.
 *
 * Thread-safety: calls with different handles run side by side. An executor may be shared: its
 * calls run in turn. A plan may be shared for reading (decode, prefill, explain) while nobody
 * replans or destroys it. A page allocator has one owner at a time.
 *
 * Meanings, shapes and errors that are not repeated here are those of the C++ headers.
 */
#ifndef SEESAW_C_API_H
#define SEESAW_C_API_H

#include <stddef.h>
#include <stdint.h>

#include "seesaw/types/export.h"
#include "seesaw/version.h"

#ifdef __cplusplus
#define SEESAW_NOEXCEPT noexcept
extern "C" {
#else
#define SEESAW_NOEXCEPT
#endif

/* ---- Numbers. Types are int32_t in structs and arguments, so that the ABI is fixed. ---- */

typedef int32_t seesaw_status;
enum {
  SEESAW_OK = 0,
  SEESAW_INVALID_ARGUMENT = 1,
  SEESAW_UNSUPPORTED = 2,
  SEESAW_WORKSPACE_TOO_SMALL = 3,
  SEESAW_OUT_OF_PAGES = 4,
  SEESAW_CORRUPT_DATA = 5,
  SEESAW_DEVICE_ERROR = 6,
  SEESAW_IO_ERROR = 7,
  SEESAW_INTERNAL = 8,
  SEESAW_OUT_OF_MEMORY = 9
};

/* dtype */
enum {
  SEESAW_FLOAT32 = 0,
  SEESAW_BFLOAT16 = 1,
  SEESAW_FLOAT16 = 2,
  SEESAW_FLOAT8_E4M3 = 3,
  SEESAW_INT32 = 4,
  SEESAW_INT64 = 5,
  SEESAW_UINT8 = 6
};

/* kv_format */
enum {
  SEESAW_KV_FLOAT32 = 0,
  SEESAW_KV_BFLOAT16 = 1,
  SEESAW_KV_FLOAT16 = 2,
  SEESAW_KV_FP8_PER_TENSOR = 3,
  SEESAW_KV_FP8_V32 = 4,
  SEESAW_KV_FP8_PER_TOKEN = 5,
  SEESAW_KV_FP8_V4 = 6
};

enum { SEESAW_DECODE = 0, SEESAW_PREFILL = 1 };         /* phase */
enum { SEESAW_MASK_NONE = 0, SEESAW_MASK_CAUSAL = 1 };  /* mask */
enum { SEESAW_DENSE = 0, SEESAW_TOP_K = 1 };            /* sparsity */
enum { SEESAW_DEVICE_CPU = 0, SEESAW_DEVICE_CUDA = 1 }; /* device kind */
enum { SEESAW_TRUST = 0, SEESAW_VERIFY = 1 };           /* data check */

/* cpu_isa */
enum {
  SEESAW_ISA_GENERIC = 0,
  SEESAW_ISA_AVX2 = 1,
  SEESAW_ISA_AVX512 = 2,
  SEESAW_ISA_AVX512_BF16 = 3
};

/* schedule mode */
enum { SEESAW_THROUGHPUT = 0, SEESAW_LATENCY = 1, SEESAW_BATCH_INVARIANT = 2 };

/* ---- Errors and version ---- */

/* "0.1.0" */
SEESAW_API const char* seesaw_version(void) SEESAW_NOEXCEPT;

/* "invalid_argument" and the like; "unknown" for a number that is no status. Static. */
SEESAW_API const char* seesaw_status_name(seesaw_status status) SEESAW_NOEXCEPT;

/* What the last failed call of this thread said: names the argument, what it was and what it must
 * be. Kept through successful calls, replaced by the thread's next failure; "" before the first.
 * Never null. At most 2,047 characters; a longer message ends in "...". */
SEESAW_API const char* seesaw_last_error_message(void) SEESAW_NOEXCEPT;

/* ---- Arrays ---- */

#define SEESAW_MAX_RANK 5

/* A strided view of the caller's memory; strides count elements. rank 0: not given (so a zeroed
 * view is one that is not given). */
typedef struct seesaw_tensor {
  void* data; /* read only, but where a struct calls the array an output */
  int32_t dtype;
  int32_t rank;
  int64_t shape[SEESAW_MAX_RANK];
  int64_t stride[SEESAW_MAX_RANK];
} seesaw_tensor;

/* Fills *tensor; strides NULL: row-major without gaps. Memory that is only read may be const. */
SEESAW_API seesaw_status seesaw_tensor_init(seesaw_tensor* tensor, const void* data, int32_t dtype,
                                            int32_t rank, const int64_t* shape,
                                            const int64_t* strides) SEESAW_NOEXCEPT;

/* ---- Devices and kernels ---- */

typedef struct seesaw_device {
  size_t struct_size;
  int32_t kind;
  int32_t num_workers; /* CPU threads or streaming multiprocessors to plan for */
  int32_t cpu_isa;     /* may be lowered to force a kernel */
  int32_t cuda_ordinal;
  int32_t sm_arch;
  int32_t shared_memory_bytes;
  int64_t l1_bytes;
  int64_t l2_bytes;
  int64_t l3_bytes;
  int64_t memory_bytes;
  char name[128]; /* NUL-terminated */
} seesaw_device;

/* Sets struct_size and the defaults: an unnamed CPU with one worker and the generic kernel. */
SEESAW_API seesaw_status seesaw_device_init(seesaw_device* device,
                                            size_t struct_size) SEESAW_NOEXCEPT;
/* This machine's CPU (see probe_cpu). device->struct_size must be set. */
SEESAW_API seesaw_status seesaw_probe_cpu(seesaw_device* device) SEESAW_NOEXCEPT;
/* CUDA devices that the driver shows; *count 0 without a driver, a device or a CUDA build. */
SEESAW_API seesaw_status seesaw_probe_cuda_count(size_t* count) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_probe_cuda(size_t device_idx,
                                           seesaw_device* device) SEESAW_NOEXCEPT;

#define SEESAW_MAX_KERNEL_FORMATS 16

typedef struct seesaw_kernel_info {
  size_t struct_size;
  char name[64]; /* NUL-terminated */
  int32_t device_kind;
  int32_t cpu_isa;
  int32_t sm_arch;       /* CUDA: the architecture that it is made for, */
  int32_t runs_on_newer; /* 1: and every newer one */
  int32_t is_supported;  /* 1: this machine and this build can run it */
  int32_t num_formats;   /* combinations that it serves: */
  int32_t q_dtypes[SEESAW_MAX_KERNEL_FORMATS];
  int32_t kv_formats[SEESAW_MAX_KERNEL_FORMATS];
} seesaw_kernel_info;

SEESAW_API seesaw_status seesaw_kernel_count(size_t* count) SEESAW_NOEXCEPT;
/* Kernels in order of preference. info->struct_size must be set. */
SEESAW_API seesaw_status seesaw_kernel_at(size_t kernel_idx,
                                          seesaw_kernel_info* info) SEESAW_NOEXCEPT;

/* ---- Executor: where a launch runs ---- */

typedef struct seesaw_executor seesaw_executor;

/* num_threads 0: every core that the process may use. */
SEESAW_API seesaw_status seesaw_executor_create_cpu(int32_t num_threads,
                                                    seesaw_executor** executor) SEESAW_NOEXCEPT;
/* A cudaStream_t of the device that CUDA's runtime numbers ordinal; NULL: its default stream. No
 * device is touched before a launch. The stream stays the caller's. */
SEESAW_API seesaw_status seesaw_executor_create_cuda(int32_t ordinal, void* stream,
                                                     seesaw_executor** executor) SEESAW_NOEXCEPT;
/* Destroying NULL is allowed and does nothing, here and below, as with free. */
SEESAW_API seesaw_status seesaw_executor_destroy(seesaw_executor* executor) SEESAW_NOEXCEPT;
/* *num_threads is 0 of a CUDA executor. */
SEESAW_API seesaw_status seesaw_executor_num_threads(const seesaw_executor* executor,
                                                     int32_t* num_threads) SEESAW_NOEXCEPT;

/* ---- Plan ---- */

typedef struct seesaw_problem {
  size_t struct_size;
  int32_t phase;
  int32_t mask;
  int32_t sparsity;
  int32_t q_dtype;
  int32_t out_dtype;
  int32_t kv_format;
  int64_t batch;
  int64_t s_q;
  int64_t h_q;
  int64_t h_kv;
  int64_t d_qk;
  int64_t d_v;
  int64_t page_size;
  int64_t top_k;
  int32_t has_softmax_scale; /* 0: d_qk^-0.5 */
  float softmax_scale;
  int32_t has_attn_sink; /* 0 or 1 */
  int32_t reserved;      /* 0 */
} seesaw_problem;

/* Sets struct_size and the defaults: a dense decode of no request, s_q 1, h_q 128, h_kv 1, d_qk
 * 576, d_v 512, pages of 64, bfloat16 throughout. */
SEESAW_API seesaw_status seesaw_problem_init(seesaw_problem* problem,
                                             size_t struct_size) SEESAW_NOEXCEPT;

typedef struct seesaw_lengths {
  size_t struct_size;
  const int32_t* kv_lengths; /* [num_kv_lengths]: keys of each request; top-k: none */
  size_t num_kv_lengths;
  const int32_t* q_lengths; /* [num_q_lengths]: query tokens of each request; prefill only */
  size_t num_q_lengths;
} seesaw_lengths;

/* All zero but struct_size is the default. */
typedef struct seesaw_plan_options {
  size_t struct_size;
  int32_t mode;
  int32_t num_splits; /* 0: as the schedule decides */
} seesaw_plan_options;

typedef struct seesaw_plan seesaw_plan;

/* device NULL: this machine's CPU, as probed. options NULL: the default. Lengths are copied. */
SEESAW_API seesaw_status seesaw_plan_create(const seesaw_problem* problem,
                                            const seesaw_device* device,
                                            const seesaw_lengths* lengths,
                                            const seesaw_plan_options* options,
                                            seesaw_plan** plan) SEESAW_NOEXCEPT;
/* Of a CUDA device, for lengths that lie on it: see plan_for_device_lengths. */
SEESAW_API seesaw_status seesaw_plan_create_for_device_lengths(const seesaw_problem* problem,
                                                               const seesaw_device* device,
                                                               const seesaw_plan_options* options,
                                                               seesaw_plan** plan) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_plan_destroy(seesaw_plan* plan) SEESAW_NOEXCEPT;
/* New lengths for the same problem; options->mode is ignored. Allocates nothing in the long run.
 * After SEESAW_INVALID_ARGUMENT the plan is as it was, after another failure of no use. */
SEESAW_API seesaw_status seesaw_replan(seesaw_plan* plan, const seesaw_lengths* lengths,
                                       const seesaw_plan_options* options) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_plan_workspace_bytes(const seesaw_plan* plan,
                                                     size_t* num_bytes) SEESAW_NOEXCEPT;
/* The name is valid until the plan is destroyed. */
SEESAW_API seesaw_status seesaw_plan_kernel_name(const seesaw_plan* plan,
                                                 const char** name) SEESAW_NOEXCEPT;
/* Writes up to capacity - 1 characters and a NUL; *length is the whole text's, without the NUL.
 * buffer may be NULL where capacity is 0, length NULL where it is not wanted. */
SEESAW_API seesaw_status seesaw_plan_explain(const seesaw_plan* plan, char* buffer, size_t capacity,
                                             size_t* length) SEESAW_NOEXCEPT;

/* ---- Attention ---- */

/* Arrays that a problem does not use stay zeroed. See CacheArgs in attention.h. */
typedef struct seesaw_cache_args {
  seesaw_tensor kv_cache;      /* [num_pages, page_size, h_kv, d_qk] */
  seesaw_tensor block_table;   /* int32 [b, max_pages]; dense */
  seesaw_tensor indices;       /* int32 [tokens.., top_k]; top-k */
  seesaw_tensor top_k_lengths; /* int32 [b] or not given; top-k */
  seesaw_tensor attn_sink;     /* float32 [h_q]; iff has_attn_sink */
} seesaw_cache_args;

typedef struct seesaw_decode_args {
  size_t struct_size;
  seesaw_tensor q; /* [b, s_q, h_q, d_qk] */
  seesaw_cache_args cache;
  seesaw_tensor out; /* output [b, s_q, h_q, d_v] */
  seesaw_tensor lse; /* output float32 [b, h_q, s_q] or not given; natural log */
  void* workspace;   /* 64-byte aligned */
  size_t workspace_bytes;
  int32_t data_check;
  int32_t reserved; /* 0 */
} seesaw_decode_args;

typedef struct seesaw_prefill_args {
  size_t struct_size;
  seesaw_tensor q; /* [total_q, h_q, d_qk] */
  seesaw_cache_args cache;
  seesaw_tensor out;        /* output [total_q, h_q, d_v] */
  seesaw_tensor lse;        /* output float32 [total_q, h_q] or not given; natural log */
  seesaw_tensor max_logits; /* output float32 [total_q, h_q] or not given */
  void* workspace;
  size_t workspace_bytes;
  int32_t data_check;
  int32_t reserved;
} seesaw_prefill_args;

/* Brings a CUDA plan into the workspace: see prepare in attention.h. kv_lengths: int32 [b] on the
 * device for a plan made for device lengths; else (a CPU plan's too) NULL, or a view that is not
 * given. */
SEESAW_API seesaw_status seesaw_prepare(const seesaw_plan* plan, const seesaw_tensor* kv_lengths,
                                        void* workspace, size_t workspace_bytes,
                                        seesaw_executor* executor) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_decode(const seesaw_plan* plan, const seesaw_decode_args* args,
                                       seesaw_executor* executor) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_prefill(const seesaw_plan* plan, const seesaw_prefill_args* args,
                                        seesaw_executor* executor) SEESAW_NOEXCEPT;

/* ---- Paged cache ---- */

typedef struct seesaw_append_args {
  size_t struct_size;
  seesaw_tensor latent;       /* [num_tokens, h_kv, d_latent] */
  seesaw_tensor rope;         /* [num_tokens, h_kv, d_rope] or not given */
  seesaw_tensor slot_mapping; /* int64 [num_tokens]; -1 skips a token */
  seesaw_tensor kv_cache;     /* output [num_pages, page_size, h_kv, d_latent + d_rope] */
  int32_t kv_format;
  int32_t reserved;
} seesaw_append_args;

typedef struct seesaw_gather_args {
  size_t struct_size;
  seesaw_tensor kv_cache;      /* [num_pages, page_size, h_kv, d_qk] */
  seesaw_tensor block_table;   /* int32 [b, max_pages] */
  seesaw_tensor cache_seqlens; /* int32 [b] */
  seesaw_tensor out;           /* output [sum of cache_seqlens, h_kv, d_qk] */
  int32_t kv_format;
  int32_t reserved;
} seesaw_gather_args;

typedef struct seesaw_convert_args {
  size_t struct_size;
  seesaw_tensor from; /* [num_pages, page_size, h_kv, d_qk] */
  seesaw_tensor to;   /* output, the same shape */
  int32_t from_format;
  int32_t to_format;
} seesaw_convert_args;

/* A page to copy before its copy is written. from_page -1: nothing to copy. */
typedef struct seesaw_page_copy {
  int32_t from_page;
  int32_t to_page;
  int32_t num_tokens; /* leading tokens of the page that are in use */
} seesaw_page_copy;

/* The copies that seesaw_sequence_extend asks for, as if one after the other. Leave out those with
 * from_page -1. */
typedef struct seesaw_copy_pages_args {
  size_t struct_size;
  seesaw_tensor kv_cache; /* output [num_pages, page_size, h_kv, d_qk] */
  const seesaw_page_copy* copies;
  size_t num_copies;
  int32_t kv_format;
  int32_t reserved;
} seesaw_copy_pages_args;

SEESAW_API seesaw_status seesaw_append(const seesaw_append_args* args,
                                       seesaw_executor* executor) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_gather(const seesaw_gather_args* args,
                                       seesaw_executor* executor) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_convert(const seesaw_convert_args* args,
                                        seesaw_executor* executor) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_copy_pages(const seesaw_copy_pages_args* args,
                                           seesaw_executor* executor) SEESAW_NOEXCEPT;

/* ---- Page allocator. See page_allocator.h; every failing call changes nothing. ---- */

typedef struct seesaw_page_allocator seesaw_page_allocator;
typedef int64_t seesaw_sequence;

SEESAW_API seesaw_status seesaw_page_allocator_create(
    int32_t num_pages, int32_t page_size, seesaw_page_allocator** allocator) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_page_allocator_destroy(seesaw_page_allocator* allocator)
    SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_sequence_create(seesaw_page_allocator* allocator,
                                                seesaw_sequence* sequence) SEESAW_NOEXCEPT;
/* One more call's room never needs more than one copy. */
SEESAW_API seesaw_status seesaw_sequence_extend(seesaw_page_allocator* allocator,
                                                seesaw_sequence sequence, int64_t num_tokens,
                                                seesaw_page_copy* copy) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_sequence_fork(seesaw_page_allocator* allocator,
                                              seesaw_sequence sequence,
                                              seesaw_sequence* fork) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_sequence_share_prefix(seesaw_page_allocator* allocator,
                                                      seesaw_sequence sequence, int64_t num_tokens,
                                                      seesaw_sequence* shared) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_sequence_truncate(seesaw_page_allocator* allocator,
                                                  seesaw_sequence sequence,
                                                  int64_t num_tokens) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_sequence_free(seesaw_page_allocator* allocator,
                                              seesaw_sequence sequence) SEESAW_NOEXCEPT;
/* The pages in token order; valid until the sequence changes. */
SEESAW_API seesaw_status seesaw_sequence_pages(const seesaw_page_allocator* allocator,
                                               seesaw_sequence sequence, const int32_t** pages,
                                               size_t* num_pages) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_sequence_num_tokens(const seesaw_page_allocator* allocator,
                                                    seesaw_sequence sequence,
                                                    int64_t* num_tokens) SEESAW_NOEXCEPT;
/* Writes slots[i] = page * page_size + offset of token first_token + i, as slot_mapping wants it.
 */
SEESAW_API seesaw_status seesaw_sequence_slots(const seesaw_page_allocator* allocator,
                                               seesaw_sequence sequence, int64_t first_token,
                                               int64_t* slots, size_t num_slots) SEESAW_NOEXCEPT;
/* Pages that extending by num_tokens would take from the pool. */
SEESAW_API seesaw_status seesaw_sequence_num_pages_to_extend(const seesaw_page_allocator* allocator,
                                                             seesaw_sequence sequence,
                                                             int64_t num_tokens,
                                                             int64_t* num_pages) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_page_allocator_num_free_pages(
    const seesaw_page_allocator* allocator, int32_t* num_free_pages) SEESAW_NOEXCEPT;
SEESAW_API seesaw_status seesaw_page_allocator_ref_count(const seesaw_page_allocator* allocator,
                                                         int32_t page,
                                                         int32_t* ref_count) SEESAW_NOEXCEPT;

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* SEESAW_C_API_H */
