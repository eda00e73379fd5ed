/* The C ABI from C99: what a C program does from plan to result, and that no null pointer, unknown
 * number or struct of another version harms it. Prints each failed check; the exit code is 1 then.
 */
#include <math.h>
#include <stdlib.h>

#include "c_api_checks.h"

/* ---- A small problem: b 2, s_q 2, h_q 4, h_kv 2, d_qk 12, d_v 8, pages of 4, float32 ---- */

enum {
  B = 2,
  S_Q = 2,
  H_Q = 4,
  H_KV = 2,
  D_QK = 12,
  D_V = 8,
  PAGE = 4,
  NUM_PAGES = 6,
  MAX_PAGES = 3
};

static float q[B * S_Q * H_Q * D_QK];
static float cache[NUM_PAGES * PAGE * H_KV * D_QK];
static float out[B * S_Q * H_Q * D_V];
static float lse[B * H_Q * S_Q];
static const int32_t kv_lengths[B] = {9, 3};
static const int32_t block_table[B * MAX_PAGES] = {4, 0, 2, 5, -1, -1};

static unsigned long random_state;
static float random_float(void) { /* in [-1, 1), by a linear congruence */
  random_state = (random_state * 1103515245ul + 12345ul) & 0x7ffffffful;
  return (float)random_state / 1073741824.0f - 1.0f;
}

static void fill_inputs(void) {
  size_t i;
  for (i = 0; i < sizeof q / sizeof *q; ++i) q[i] = random_float();
  for (i = 0; i < sizeof cache / sizeof *cache; ++i) cache[i] = random_float();
}

/* Attention of one row in double, from the definition. */
static void expect_row(int request, int token, int head) {
  const int kv_head = head / (H_Q / H_KV);
  const float* row = q + ((request * S_Q + token) * H_Q + head) * D_QK;
  double weights[16];
  double sum = 0;
  double value;
  int key, d;
  for (key = 0; key < kv_lengths[request]; ++key) {
    const int page = block_table[request * MAX_PAGES + key / PAGE];
    const float* k = cache + ((page * PAGE + key % PAGE) * H_KV + kv_head) * D_QK;
    double dot = 0;
    for (d = 0; d < D_QK; ++d) dot += (double)row[d] * k[d];
    weights[key] = exp(dot / sqrt((double)D_QK));
    sum += weights[key];
  }
  for (d = 0; d < D_V; ++d) {
    value = 0;
    for (key = 0; key < kv_lengths[request]; ++key) {
      const int page = block_table[request * MAX_PAGES + key / PAGE];
      value += weights[key] / sum * cache[((page * PAGE + key % PAGE) * H_KV + kv_head) * D_QK + d];
    }
    CHECK(fabs(out[((request * S_Q + token) * H_Q + head) * D_V + d] - value) < 1e-5);
  }
  CHECK(fabs(lse[(request * H_Q + head) * S_Q + token] - log(sum)) < 1e-5);
}

static void expect_all_rows(void) {
  int request, token, head;
  for (request = 0; request < B; ++request)
    for (token = 0; token < S_Q; ++token)
      for (head = 0; head < H_Q; ++head) expect_row(request, token, head);
}

static void init_problem(seesaw_problem* problem) {
  CHECK_OK(seesaw_problem_init(problem, sizeof *problem));
  problem->batch = B;
  problem->s_q = S_Q;
  problem->h_q = H_Q;
  problem->h_kv = H_KV;
  problem->d_qk = D_QK;
  problem->d_v = D_V;
  problem->page_size = PAGE;
  problem->q_dtype = problem->out_dtype = SEESAW_FLOAT32;
  problem->kv_format = SEESAW_KV_FLOAT32;
}

static seesaw_lengths decode_lengths(void) {
  seesaw_lengths lengths = {sizeof(seesaw_lengths), kv_lengths, B, NULL, 0};
  return lengths;
}

static void init_cache_args(seesaw_cache_args* args) {
  const int64_t cache_shape[4] = {NUM_PAGES, PAGE, H_KV, D_QK};
  const int64_t table_shape[2] = {B, MAX_PAGES};
  CHECK_OK(seesaw_tensor_init(&args->kv_cache, cache, SEESAW_FLOAT32, 4, cache_shape, NULL));
  CHECK_OK(seesaw_tensor_init(&args->block_table, block_table, SEESAW_INT32, 2, table_shape, NULL));
}

static void init_decode_args(seesaw_decode_args* args) {
  const int64_t q_shape[4] = {B, S_Q, H_Q, D_QK};
  const int64_t out_shape[4] = {B, S_Q, H_Q, D_V};
  const int64_t lse_shape[3] = {B, H_Q, S_Q};
  memset(args, 0, sizeof *args);
  args->struct_size = sizeof *args;
  CHECK_OK(seesaw_tensor_init(&args->q, q, SEESAW_FLOAT32, 4, q_shape, NULL));
  init_cache_args(&args->cache);
  CHECK_OK(seesaw_tensor_init(&args->out, out, SEESAW_FLOAT32, 4, out_shape, NULL));
  CHECK_OK(seesaw_tensor_init(&args->lse, lse, SEESAW_FLOAT32, 3, lse_shape, NULL));
}

static void* aligned(char* memory) { return memory + (64 - (uintptr_t)memory % 64) % 64; }

/* ---- Tests ---- */

static void test_version_and_names(void) {
  CHECK(strcmp(seesaw_version(), SEESAW_VERSION) == 0);
  CHECK(strcmp(seesaw_status_name(SEESAW_OK), "ok") == 0);
  CHECK(strcmp(seesaw_status_name(SEESAW_OUT_OF_MEMORY), "out_of_memory") == 0);
  CHECK(strcmp(seesaw_status_name(12345), "unknown") == 0);
  CHECK(strcmp(seesaw_last_error_message(), "") == 0);
}

static void test_device_and_kernels(void) {
  seesaw_device device;
  seesaw_kernel_info info;
  size_t count = 0, i;
  CHECK_OK(seesaw_device_init(&device, sizeof device));
  CHECK(device.num_workers == 1 && device.cpu_isa == SEESAW_ISA_GENERIC && device.name[0] == 0);
  CHECK_OK(seesaw_probe_cpu(&device));
  CHECK(device.kind == SEESAW_DEVICE_CPU && device.num_workers >= 1 && strlen(device.name) > 0);
  CHECK_OK(seesaw_kernel_count(&count));
  CHECK(count == 6);
  for (i = 0; i < count; ++i) {
    info.struct_size = sizeof info;
    CHECK_OK(seesaw_kernel_at(i, &info));
    CHECK(info.num_formats >= 1);
    if (info.device_kind == SEESAW_DEVICE_CUDA) continue;
    CHECK(strncmp(info.name, "cpu_", 4) == 0);
    CHECK(info.is_supported == (info.cpu_isa <= device.cpu_isa) || getenv("SEESAW_CPU_ISA"));
  }
  CHECK(info.is_supported == 1 && info.num_formats == 9); /* the generic kernel is the last */
  CHECK_FAILS(seesaw_kernel_at(count, &info), SEESAW_INVALID_ARGUMENT,
              "kernel_idx: is 6, must be in [0, 6)");
  CHECK_OK(seesaw_probe_cuda_count(&count));
  CHECK_FAILS(seesaw_probe_cuda(count, &device), SEESAW_INVALID_ARGUMENT, "device_idx: is ");
}

static void test_decode(void) {
  seesaw_problem problem;
  seesaw_lengths lengths = decode_lengths();
  seesaw_plan_options options = {sizeof(seesaw_plan_options), SEESAW_LATENCY, 0};
  seesaw_plan* plan = NULL;
  seesaw_executor* executor = NULL;
  seesaw_tensor given_lengths;
  const int64_t batch = B;
  seesaw_decode_args args;
  const char* kernel = NULL;
  char* memory = NULL;
  char text[2048], short_text[8];
  size_t length = 0;
  int32_t num_threads = 0;

  init_problem(&problem);
  CHECK_OK(seesaw_plan_create(&problem, NULL, &lengths, &options, &plan));
  CHECK_OK(seesaw_plan_kernel_name(plan, &kernel));
  CHECK(kernel != NULL && strncmp(kernel, "cpu_", 4) == 0);
  CHECK_OK(seesaw_plan_explain(plan, text, sizeof text, &length));
  CHECK(strlen(text) == length && strstr(text, kernel) != NULL);
  CHECK_OK(seesaw_plan_explain(plan, NULL, 0, &length));
  CHECK_OK(seesaw_plan_explain(plan, short_text, sizeof short_text, NULL));
  CHECK(strlen(short_text) == 7 && strncmp(text, short_text, 7) == 0);

  CHECK_OK(seesaw_executor_create_cpu(2, &executor));
  CHECK_OK(seesaw_executor_num_threads(executor, &num_threads));
  CHECK(num_threads == 2);
  CHECK_OK(seesaw_prepare(plan, NULL, NULL, 0, executor));
  CHECK_OK(seesaw_tensor_init(&given_lengths, kv_lengths, SEESAW_INT32, 1, &batch, NULL));
  CHECK_FAILS(seesaw_prepare(plan, &given_lengths, NULL, 0, executor), SEESAW_INVALID_ARGUMENT,
              "kv_lengths: is given, must not be given");
  init_decode_args(&args);
  CHECK_OK(seesaw_plan_workspace_bytes(plan, &args.workspace_bytes));
  memory = (char*)malloc(args.workspace_bytes + 64);
  args.workspace = aligned(memory);
  CHECK_OK(seesaw_decode(plan, &args, executor));
  expect_all_rows();

  args.data_check = SEESAW_VERIFY;
  memset(out, 0, sizeof out);
  CHECK_OK(seesaw_replan(plan, &lengths, NULL));
  CHECK_OK(seesaw_decode(plan, &args, executor));
  expect_all_rows();

  /* Errors of the layers below come through with their words. */
  args.q.shape[3] = 64;
  CHECK_FAILS(seesaw_decode(plan, &args, executor), SEESAW_INVALID_ARGUMENT,
              "q.shape[3]: is 64, must be d_qk = 12");
  args.q.shape[3] = D_QK;
  args.workspace_bytes -= 1;
  CHECK_FAILS(seesaw_decode(plan, &args, executor), SEESAW_WORKSPACE_TOO_SMALL, "workspace.size()");
  args.workspace_bytes += 1;
  args.cache.kv_cache.shape[0] = 5;
  CHECK_FAILS(seesaw_decode(plan, &args, executor), SEESAW_CORRUPT_DATA, "block_table[1, 0]: is 5");
  CHECK(strstr(seesaw_last_error_message(), "block_table") != NULL);
  args.cache.kv_cache.shape[0] = NUM_PAGES;
  CHECK_OK(seesaw_decode(plan, &args, executor)); /* the message stays */
  CHECK(strstr(seesaw_last_error_message(), "block_table[1, 0]") != NULL);

  /* Numbers that are no enum, and views that are none. */
  args.data_check = 2;
  CHECK_FAILS(seesaw_decode(plan, &args, executor), SEESAW_INVALID_ARGUMENT,
              "args.data_check: is 2, must be in [0, 1]");
  args.data_check = 0;
  args.q.rank = 6;
  CHECK_FAILS(seesaw_decode(plan, &args, executor), SEESAW_INVALID_ARGUMENT,
              "q.rank: is 6, must be in [0, 5]");
  args.q.rank = 4;
  args.lse.dtype = -1;
  CHECK_FAILS(seesaw_decode(plan, &args, executor), SEESAW_INVALID_ARGUMENT, "lse.dtype: is -1");
  args.lse.dtype = SEESAW_FLOAT32;
  args.reserved = 1;
  CHECK_FAILS(seesaw_decode(plan, &args, executor), SEESAW_INVALID_ARGUMENT,
              "args.reserved: is 1, must be 0");
  args.reserved = 0;
  CHECK_NULL(seesaw_decode(NULL, &args, executor), "plan");
  CHECK_NULL(seesaw_decode(plan, NULL, executor), "args");
  CHECK_NULL(seesaw_decode(plan, &args, NULL), "executor");

  free(memory);
  CHECK_OK(seesaw_plan_destroy(plan));
  CHECK_OK(seesaw_executor_destroy(executor));
}

/* A prefill of the same tokens gives the same rows. */
static void test_prefill(void) {
  const int32_t q_lengths[B] = {S_Q, S_Q};
  const int64_t q_shape[3] = {B * S_Q, H_Q, D_QK};
  const int64_t out_shape[3] = {B * S_Q, H_Q, D_V};
  const int64_t lse_shape[2] = {B * S_Q, H_Q};
  float decode_out[sizeof out / sizeof *out];
  float prefill_lse[B * S_Q * H_Q], max_logits[B * S_Q * H_Q];
  seesaw_problem problem;
  seesaw_lengths lengths = decode_lengths();
  seesaw_plan* plan = NULL;
  seesaw_executor* executor = NULL;
  seesaw_prefill_args args;
  char* memory = NULL;
  size_t i;

  memcpy(decode_out, out, sizeof out);
  init_problem(&problem);
  problem.phase = SEESAW_PREFILL;
  CHECK_FAILS(seesaw_plan_create(&problem, NULL, &lengths, NULL, &plan), SEESAW_INVALID_ARGUMENT,
              "q_lengths.size(): is 0, must be b = 2");
  CHECK(plan == NULL);
  lengths.q_lengths = q_lengths;
  lengths.num_q_lengths = B;
  CHECK_OK(seesaw_plan_create(&problem, NULL, &lengths, NULL, &plan));
  CHECK_OK(seesaw_executor_create_cpu(0, &executor));
  memset(&args, 0, sizeof args);
  args.struct_size = sizeof args;
  CHECK_OK(seesaw_tensor_init(&args.q, q, SEESAW_FLOAT32, 3, q_shape, NULL));
  init_cache_args(&args.cache);
  CHECK_OK(seesaw_tensor_init(&args.out, out, SEESAW_FLOAT32, 3, out_shape, NULL));
  CHECK_OK(seesaw_tensor_init(&args.lse, prefill_lse, SEESAW_FLOAT32, 2, lse_shape, NULL));
  CHECK_OK(seesaw_tensor_init(&args.max_logits, max_logits, SEESAW_FLOAT32, 2, lse_shape, NULL));
  CHECK_OK(seesaw_plan_workspace_bytes(plan, &args.workspace_bytes));
  memory = (char*)malloc(args.workspace_bytes + 64);
  args.workspace = aligned(memory);
  memset(out, 0, sizeof out);
  CHECK_OK(seesaw_prefill(plan, &args, executor));
  for (i = 0; i < sizeof out / sizeof *out; ++i) CHECK(fabsf(out[i] - decode_out[i]) < 1e-6f);
  for (i = 0; i < B * S_Q * H_Q; ++i) {
    const double spread = (double)prefill_lse[i] - max_logits[i]; /* log of 1 .. number of keys */
    CHECK(spread >= -1e-6 && spread <= log(9.0) + 1e-6);
  }
  CHECK_NULL(seesaw_prefill(NULL, &args, executor), "plan");
  CHECK_NULL(seesaw_prefill(plan, NULL, executor), "args");
  CHECK_NULL(seesaw_prefill(plan, &args, NULL), "executor");
  free(memory);
  CHECK_OK(seesaw_plan_destroy(plan));
  CHECK_OK(seesaw_executor_destroy(executor));
}

static void test_problem_numbers(void) {
  seesaw_problem problem;
  seesaw_lengths lengths = decode_lengths();
  seesaw_plan_options options = {sizeof(seesaw_plan_options), 0, 0};
  seesaw_device device;
  seesaw_plan* plan = NULL;
  const struct {
    size_t offset;
    int32_t value;
    const char* message;
  } rows[] = {
      {offsetof(seesaw_problem, phase), 2, "problem.phase: is 2"},
      {offsetof(seesaw_problem, mask), -1, "problem.mask: is -1"},
      {offsetof(seesaw_problem, sparsity), 256, "problem.sparsity: is 256"},
      {offsetof(seesaw_problem, q_dtype), 7, "problem.q_dtype: is 7"},
      {offsetof(seesaw_problem, out_dtype), SEESAW_INT32, "problem.out_dtype: is int32"},
      {offsetof(seesaw_problem, kv_format), 1 << 30, "problem.kv_format: is 1073741824"},
      {offsetof(seesaw_problem, has_softmax_scale), 2, "problem.has_softmax_scale: is 2"},
      {offsetof(seesaw_problem, has_attn_sink), -1, "problem.has_attn_sink: is -1"},
      {offsetof(seesaw_problem, reserved), 3, "problem.reserved: is 3, must be 0"},
  };
  size_t i;
  for (i = 0; i < sizeof rows / sizeof *rows; ++i) {
    init_problem(&problem);
    memcpy((char*)&problem + rows[i].offset, &rows[i].value, sizeof(int32_t));
    CHECK_FAILS(seesaw_plan_create(&problem, NULL, &lengths, NULL, &plan), SEESAW_INVALID_ARGUMENT,
                rows[i].message);
  }
  init_problem(&problem);
  problem.kv_format = SEESAW_KV_FP8_V32;
  CHECK_FAILS(seesaw_plan_create(&problem, NULL, &lengths, NULL, &plan), SEESAW_UNSUPPORTED,
              "problem.kv_format: is fp8_v32");
  init_problem(&problem);
  problem.has_softmax_scale = 1;
  problem.softmax_scale = (float)NAN;
  CHECK_FAILS(seesaw_plan_create(&problem, NULL, &lengths, NULL, &plan), SEESAW_INVALID_ARGUMENT,
              "problem.softmax_scale");
  init_problem(&problem);
  options.mode = 3;
  CHECK_FAILS(seesaw_plan_create(&problem, NULL, &lengths, &options, &plan),
              SEESAW_INVALID_ARGUMENT, "options.mode: is 3, must be in [0, 2]");
  options.mode = 0;
  options.num_splits = -1;
  CHECK_FAILS(seesaw_plan_create(&problem, NULL, &lengths, &options, &plan),
              SEESAW_INVALID_ARGUMENT, "options.num_splits: is -1");
  CHECK_OK(seesaw_device_init(&device, sizeof device));
  device.cpu_isa = 99;
  CHECK_FAILS(seesaw_plan_create(&problem, &device, &lengths, NULL, &plan), SEESAW_INVALID_ARGUMENT,
              "device.cpu_isa: is 99");
  device.cpu_isa = SEESAW_ISA_GENERIC;
  memset(device.name, 'x', sizeof device.name); /* no NUL */
  CHECK_OK(seesaw_plan_create(&problem, &device, &lengths, NULL, &plan));
  CHECK_OK(seesaw_plan_destroy(plan));
  plan = NULL;
  lengths.kv_lengths = NULL;
  CHECK_NULL(seesaw_plan_create(&problem, NULL, &lengths, NULL, &plan), "lengths.kv_lengths");
  lengths = decode_lengths();
  lengths.num_q_lengths = 1;
  CHECK_NULL(seesaw_plan_create(&problem, NULL, &lengths, NULL, &plan), "lengths.q_lengths");
  CHECK(plan == NULL);
}

static void test_struct_sizes(void) {
  struct {
    seesaw_problem problem;
    int64_t later[2];
  } grown;
  seesaw_lengths lengths = decode_lengths();
  seesaw_plan* plan = NULL;
  memset(&grown, 0xee, sizeof grown);
  CHECK_OK(seesaw_problem_init(&grown.problem, sizeof grown));
  CHECK(grown.problem.struct_size == sizeof grown && grown.later[0] == 0 && grown.later[1] == 0);
  init_problem(&grown.problem);
  grown.problem.struct_size = sizeof grown;
  CHECK_OK(seesaw_plan_create(&grown.problem, NULL, &lengths, NULL, &plan));
  CHECK_OK(seesaw_plan_destroy(plan));
  grown.later[1] = 1;
  CHECK_FAILS(seesaw_plan_create(&grown.problem, NULL, &lengths, NULL, &plan), SEESAW_UNSUPPORTED,
              "this version does not know the field");
  grown.problem.struct_size = sizeof(seesaw_problem) - 1;
  CHECK_FAILS(seesaw_plan_create(&grown.problem, NULL, &lengths, NULL, &plan),
              SEESAW_INVALID_ARGUMENT, "problem.struct_size: is ");
  CHECK_FAILS(seesaw_problem_init(&grown.problem, 8), SEESAW_INVALID_ARGUMENT, "struct_size: is 8");
  /* Sizes are the ABI: a change is a new version of the struct. */
  CHECK(sizeof(seesaw_tensor) == 96 && sizeof(seesaw_problem) == 112);
  CHECK(sizeof(seesaw_device) == 192 && sizeof(seesaw_kernel_info) == 224);
  CHECK(sizeof(seesaw_lengths) == 40 && sizeof(seesaw_plan_options) == 16);
  CHECK(sizeof(seesaw_decode_args) == 800 && sizeof(seesaw_prefill_args) == 896);
  CHECK(sizeof(seesaw_append_args) == 400 && sizeof(seesaw_gather_args) == 400);
  CHECK(sizeof(seesaw_convert_args) == 208 && sizeof(seesaw_page_copy) == 12);
  CHECK(sizeof(seesaw_copy_pages_args) == 128);
}

static void test_tensor_init(void) {
  const int64_t shape[3] = {2, 3, 4};
  const int64_t strides[3] = {100, 10, 1};
  const int64_t huge[3] = {2, INT64_MAX / 2, 4};
  seesaw_tensor tensor;
  CHECK_OK(seesaw_tensor_init(&tensor, q, SEESAW_FLOAT16, 3, shape, NULL));
  CHECK(tensor.stride[0] == 12 && tensor.stride[1] == 4 && tensor.stride[2] == 1);
  CHECK_OK(seesaw_tensor_init(&tensor, q, SEESAW_FLOAT16, 3, shape, strides));
  CHECK(tensor.stride[0] == 100 && tensor.rank == 3 && tensor.data == (void*)q);
  CHECK_OK(seesaw_tensor_init(&tensor, NULL, SEESAW_FLOAT32, 0, NULL, NULL));
  CHECK_NULL(seesaw_tensor_init(NULL, q, SEESAW_FLOAT32, 3, shape, NULL), "tensor");
  CHECK_NULL(seesaw_tensor_init(&tensor, q, SEESAW_FLOAT32, 3, NULL, NULL), "shape");
  CHECK_FAILS(seesaw_tensor_init(&tensor, q, 42, 3, shape, NULL), SEESAW_INVALID_ARGUMENT,
              "tensor.dtype: is 42");
  CHECK_FAILS(seesaw_tensor_init(&tensor, q, 0, 6, shape, NULL), SEESAW_INVALID_ARGUMENT,
              "tensor.rank: is 6");
  CHECK_FAILS(seesaw_tensor_init(&tensor, q, 0, 3, huge, NULL), SEESAW_INVALID_ARGUMENT,
              "shape[1]: is 4611686018427387903, must keep the number of elements within int64");
}

static void test_null_pointers(void) {
  seesaw_problem problem;
  seesaw_lengths lengths = decode_lengths();
  seesaw_device device;
  seesaw_plan* plan = NULL;
  seesaw_executor* executor = NULL;
  char text[4];
  init_problem(&problem);
  CHECK_NULL(seesaw_problem_init(NULL, sizeof problem), "problem");
  CHECK_NULL(seesaw_device_init(NULL, sizeof device), "device");
  CHECK_NULL(seesaw_probe_cpu(NULL), "device");
  CHECK_NULL(seesaw_probe_cuda_count(NULL), "count");
  CHECK_NULL(seesaw_probe_cuda(0, NULL), "device");
  CHECK_NULL(seesaw_kernel_count(NULL), "count");
  CHECK_NULL(seesaw_kernel_at(0, NULL), "info");
  CHECK_NULL(seesaw_executor_create_cpu(1, NULL), "executor");
  CHECK_NULL(seesaw_executor_num_threads(NULL, &problem.phase), "executor");
  CHECK_FAILS(seesaw_executor_create_cpu(-1, &executor), SEESAW_INVALID_ARGUMENT,
              "num_threads: is -1");
  CHECK_NULL(seesaw_plan_create(NULL, NULL, &lengths, NULL, &plan), "problem");
  CHECK_NULL(seesaw_plan_create(&problem, NULL, NULL, NULL, &plan), "lengths");
  CHECK_NULL(seesaw_plan_create(&problem, NULL, &lengths, NULL, NULL), "plan");
  CHECK_NULL(seesaw_replan(NULL, &lengths, NULL), "plan");
  CHECK_NULL(seesaw_plan_workspace_bytes(NULL, &problem.struct_size), "plan");
  CHECK_NULL(seesaw_plan_kernel_name(NULL, NULL), "plan");
  CHECK_NULL(seesaw_plan_explain(NULL, text, sizeof text, NULL), "plan");
  CHECK_OK(seesaw_plan_create(&problem, NULL, &lengths, NULL, &plan));
  CHECK_NULL(seesaw_replan(plan, NULL, NULL), "lengths");
  CHECK_NULL(seesaw_plan_workspace_bytes(plan, NULL), "num_bytes");
  CHECK_NULL(seesaw_plan_kernel_name(plan, NULL), "name");
  CHECK_NULL(seesaw_plan_explain(plan, NULL, 4, NULL), "buffer");
  CHECK_OK(seesaw_executor_create_cpu(1, &executor));
  CHECK_NULL(seesaw_executor_num_threads(executor, NULL), "num_threads");
  CHECK_OK(seesaw_plan_destroy(plan));
  CHECK_OK(seesaw_executor_destroy(executor));
  CHECK_OK(seesaw_plan_destroy(NULL));
  CHECK_OK(seesaw_executor_destroy(NULL));
}

int main(void) {
  const char* seed = getenv("SEESAW_TEST_SEED");
  random_state = seed != NULL ? strtoul(seed, NULL, 0) : (unsigned long)(uintptr_t)&seed / 16;
  printf("SEESAW_TEST_SEED=%lu\n", random_state);
  test_version_and_names();
  fill_inputs();
  test_device_and_kernels();
  test_decode();
  test_prefill();
  test_problem_numbers();
  test_struct_sizes();
  test_tensor_init();
  test_null_pointers();
  return checks_end();
}
