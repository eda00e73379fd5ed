/* Decodes one token of one request through the C ABI: float32, the dimensions of DeepSeek-V3. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "seesaw/c_api.h"

static void check(seesaw_status status) {
  if (status == SEESAW_OK) return;
  fprintf(stderr, "%s: %s\n", seesaw_status_name(status), seesaw_last_error_message());
  exit(EXIT_FAILURE);
}

static void fill(float* values, size_t count, float value) {
  for (size_t i = 0; i < count; ++i) values[i] = value;
}

static float q[16 * 576], cache[2 * 64 * 576], out[16 * 512];

int main(void) {
  const int32_t kv_lengths[1] = {100}; /* tokens in the cache, on two pages of 64 */
  const int32_t block_table[1 * 2] = {1, 0};
  fill(q, sizeof q / sizeof q[0], 1.0f);
  fill(cache, sizeof cache / sizeof cache[0], 0.5f);

  seesaw_problem problem;
  check(seesaw_problem_init(&problem, sizeof problem));
  problem.batch = 1;
  problem.h_q = 16;
  problem.q_dtype = problem.out_dtype = SEESAW_FLOAT32;
  problem.kv_format = SEESAW_KV_FLOAT32;

  const seesaw_lengths lengths = {sizeof lengths, kv_lengths, 1, NULL, 0};
  seesaw_plan* plan = NULL;
  check(seesaw_plan_create(&problem, NULL, &lengths, NULL, &plan));
  char explanation[4096];
  check(seesaw_plan_explain(plan, explanation, sizeof explanation, NULL));
  puts(explanation);

  seesaw_decode_args args = {0};
  args.struct_size = sizeof args;
  check(seesaw_tensor_init(&args.q, q, SEESAW_FLOAT32, 4, (int64_t[]){1, 1, 16, 576}, NULL));
  check(seesaw_tensor_init(&args.cache.kv_cache, cache, SEESAW_FLOAT32, 4,
                           (int64_t[]){2, 64, 1, 576}, NULL));
  check(seesaw_tensor_init(&args.cache.block_table, block_table, SEESAW_INT32, 2, (int64_t[]){1, 2},
                           NULL));
  check(seesaw_tensor_init(&args.out, out, SEESAW_FLOAT32, 4, (int64_t[]){1, 1, 16, 512}, NULL));
  check(seesaw_plan_workspace_bytes(plan, &args.workspace_bytes));
  void* memory = malloc(args.workspace_bytes + 63); /* the workspace begins at a multiple of 64 */
  args.workspace = (void*)(((uintptr_t)memory + 63) / 64 * 64);

  seesaw_executor* executor = NULL;
  check(seesaw_executor_create_cpu(0, &executor));
  check(seesaw_decode(plan, &args, executor));
  printf("out[0] = %.2f\n", out[0]);

  check(seesaw_executor_destroy(executor));
  check(seesaw_plan_destroy(plan));
  free(memory);
  return 0;
}
