/* The CUDA part of the C ABI from C99: plans for a device that need not be there, and what is
 * refused before one is touched. Nothing is launched. */
#include <stdlib.h>

#include "c_api_checks.h"

enum { B = 3, H_Q = 16, NO_DEVICE = 1000 };

static const int32_t kv_lengths[B] = {100, 0, 64};

static void init_problem(seesaw_problem* problem) {
  CHECK_OK(seesaw_problem_init(problem, sizeof *problem));
  problem->batch = B;
  problem->h_q = H_Q;
}

static void init_h100(seesaw_device* device) {
  CHECK_OK(seesaw_device_init(device, sizeof *device));
  device->kind = SEESAW_DEVICE_CUDA;
  device->num_workers = 132;
  device->cuda_ordinal = 0;
  device->sm_arch = 90;
  device->shared_memory_bytes = 227 * 1024;
}

static void test_kernels(void) {
  seesaw_kernel_info info;
  memset(&info, 0, sizeof info);
  info.struct_size = sizeof info;
  CHECK_OK(seesaw_kernel_at(0, &info));
  CHECK(strcmp(info.name, "sm90_decode_dense") == 0);
  CHECK(info.device_kind == SEESAW_DEVICE_CUDA);
  CHECK(info.sm_arch == 90 && info.runs_on_newer == 0);
  CHECK_OK(seesaw_kernel_at(1, &info));
  CHECK(strcmp(info.name, "portable_decode_dense") == 0);
  CHECK(info.sm_arch == 80 && info.runs_on_newer == 1);
  CHECK(info.num_formats == 2);
}

static void test_executor(void) {
  seesaw_executor* executor = NULL;
  int32_t num_threads = -1;
  CHECK_NULL(seesaw_executor_create_cuda(0, NULL, NULL), "executor");
  CHECK_FAILS(seesaw_executor_create_cuda(-2, NULL, &executor), SEESAW_INVALID_ARGUMENT,
              "ordinal: is -2, must be 0 or more");
  CHECK(executor == NULL);
  CHECK_OK(seesaw_executor_create_cuda(0, NULL, &executor));
  CHECK_OK(seesaw_executor_num_threads(executor, &num_threads));
  CHECK(num_threads == 0);
  CHECK_OK(seesaw_executor_destroy(executor));
}

/* What plans of both kinds say of themselves. */
static void test_plans(void) {
  seesaw_problem problem;
  seesaw_device device;
  seesaw_lengths lengths;
  seesaw_plan* host_plan = NULL;
  seesaw_plan* device_plan = NULL;
  const char* name = NULL;
  size_t host_bytes = 0;
  size_t device_bytes = 0;
  static char text[8192];
  memset(&lengths, 0, sizeof lengths);
  lengths.struct_size = sizeof lengths;
  lengths.kv_lengths = kv_lengths;
  lengths.num_kv_lengths = B;
  init_problem(&problem);
  init_h100(&device);
  CHECK_OK(seesaw_plan_create(&problem, &device, &lengths, NULL, &host_plan));
  CHECK_OK(seesaw_plan_create_for_device_lengths(&problem, &device, NULL, &device_plan));
  CHECK_OK(seesaw_plan_kernel_name(device_plan, &name));
  CHECK(strcmp(name, "sm90_decode_dense") == 0);
  CHECK_OK(seesaw_plan_workspace_bytes(host_plan, &host_bytes));
  CHECK_OK(seesaw_plan_workspace_bytes(device_plan, &device_bytes));
  CHECK(host_bytes > 0 && host_bytes == device_bytes);
  CHECK_OK(seesaw_plan_explain(device_plan, text, sizeof text, NULL));
  CHECK(strstr(text, "lengths are on the device") != NULL);
  CHECK_FAILS(seesaw_replan(device_plan, &lengths, NULL), SEESAW_INVALID_ARGUMENT,
              "plan: was made for lengths on the device");
  CHECK_OK(seesaw_replan(host_plan, &lengths, NULL));
  CHECK_OK(seesaw_plan_destroy(host_plan));
  CHECK_OK(seesaw_plan_destroy(device_plan));
}

static void test_plan_refusals(void) {
  seesaw_problem problem;
  seesaw_device device;
  seesaw_plan* plan = NULL;
  init_problem(&problem);
  init_h100(&device);
  CHECK_NULL(seesaw_plan_create_for_device_lengths(NULL, &device, NULL, &plan), "problem");
  CHECK_NULL(seesaw_plan_create_for_device_lengths(&problem, NULL, NULL, &plan), "device");
  CHECK_NULL(seesaw_plan_create_for_device_lengths(&problem, &device, NULL, NULL), "plan");
  problem.phase = SEESAW_PREFILL;
  CHECK_FAILS(seesaw_plan_create_for_device_lengths(&problem, &device, NULL, &plan),
              SEESAW_UNSUPPORTED, "portable_decode_dense: passed over");
  problem.phase = SEESAW_DECODE;
  device.kind = SEESAW_DEVICE_CPU;
  CHECK_FAILS(seesaw_plan_create_for_device_lengths(&problem, &device, NULL, &plan),
              SEESAW_UNSUPPORTED, "device.kind: is cpu, must be cuda");
  CHECK(plan == NULL);
}

static void test_prepare(void) {
  const int64_t shape[1] = {B};
  seesaw_problem problem;
  seesaw_device device;
  seesaw_tensor lengths;
  seesaw_plan* plan = NULL;
  seesaw_executor* executor = NULL;
  size_t num_bytes = 0;
  char* memory;
  char* workspace;
  init_problem(&problem);
  init_h100(&device);
  CHECK_OK(seesaw_tensor_init(&lengths, kv_lengths, SEESAW_INT32, 1, shape, NULL));
  CHECK_OK(seesaw_plan_create_for_device_lengths(&problem, &device, NULL, &plan));
  CHECK_OK(seesaw_plan_workspace_bytes(plan, &num_bytes));
  CHECK_OK(seesaw_executor_create_cuda(NO_DEVICE, NULL, &executor));
  memory = malloc(num_bytes + 64);
  if (memory == NULL) abort();
  workspace = memory + (64 - (uintptr_t)memory % 64);

  CHECK_NULL(seesaw_prepare(NULL, &lengths, workspace, num_bytes, executor), "plan");
  CHECK_NULL(seesaw_prepare(plan, &lengths, workspace, num_bytes, NULL), "executor");
  CHECK_FAILS(seesaw_prepare(plan, NULL, workspace, num_bytes, executor), SEESAW_INVALID_ARGUMENT,
              "kv_lengths: is not given, must be int32 [b]");
  CHECK_FAILS(seesaw_prepare(plan, &lengths, NULL, num_bytes, executor), SEESAW_INVALID_ARGUMENT,
              "workspace.data(): is null");
  CHECK_FAILS(seesaw_prepare(plan, &lengths, workspace, num_bytes - 1, executor),
              SEESAW_WORKSPACE_TOO_SMALL, "must be >= plan.workspace_bytes");
  /* All is well but for the device, or for a build without CUDA. */
  CHECK(seesaw_prepare(plan, &lengths, workspace, num_bytes, executor) != SEESAW_OK);
  CHECK(strstr(seesaw_last_error_message(), "executor") != NULL);
  CHECK_OK(seesaw_executor_destroy(executor));
  CHECK_OK(seesaw_plan_destroy(plan));
  free(memory);
}

int main(void) {
  test_kernels();
  test_executor();
  test_plans();
  test_plan_refusals();
  test_prepare();
  return checks_end();
}
