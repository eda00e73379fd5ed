/* The C ABI of the paged cache from C99: its operations and its page allocator. */
#include "c_api_checks.h"

/* Tokens are appended, gathered again, and the pages converted to bfloat16. */
static void test_cache_operations(void) {
  enum { TOKENS = 5, LATENT = 8, ROPE = 4 };
  const int64_t slots[TOKENS] = {4, 5, -1, 7, 1}; /* page 1: 0, 1, 3; page 0: 1 */
  const int64_t latent_shape[3] = {TOKENS, 1, LATENT}, rope_shape[3] = {TOKENS, 1, ROPE};
  const int64_t pool_shape[4] = {2, 4, 1, LATENT + ROPE}, slot_shape[1] = {TOKENS};
  const int64_t table_shape[2] = {1, 2}, one[1] = {1}, out_shape[3] = {6, 1, LATENT + ROPE};
  const int32_t table[2] = {1, 0}, seqlens[1] = {6};
  float latent[TOKENS * LATENT], rope[TOKENS * ROPE];
  float pool[2 * 4 * (LATENT + ROPE)], gathered[6 * (LATENT + ROPE)];
  uint16_t halves[2 * 4 * (LATENT + ROPE)];
  seesaw_append_args append;
  seesaw_gather_args gather;
  seesaw_convert_args convert;
  seesaw_copy_pages_args copy;
  const seesaw_page_copy copies[2] = {{1, 0, 2}, {-1, -1, 0}};
  seesaw_executor* executor = NULL;
  size_t i;
  for (i = 0; i < TOKENS * LATENT; ++i) latent[i] = (float)i;
  for (i = 0; i < TOKENS * ROPE; ++i) rope[i] = 100.0f + (float)i;
  memset(pool, 0, sizeof pool);
  CHECK_OK(seesaw_executor_create_cpu(1, &executor));

  memset(&append, 0, sizeof append);
  append.struct_size = sizeof append;
  append.kv_format = SEESAW_KV_FLOAT32;
  CHECK_OK(seesaw_tensor_init(&append.latent, latent, SEESAW_FLOAT32, 3, latent_shape, NULL));
  CHECK_OK(seesaw_tensor_init(&append.rope, rope, SEESAW_FLOAT32, 3, rope_shape, NULL));
  CHECK_OK(seesaw_tensor_init(&append.slot_mapping, slots, SEESAW_INT64, 1, slot_shape, NULL));
  CHECK_OK(seesaw_tensor_init(&append.kv_cache, pool, SEESAW_FLOAT32, 4, pool_shape, NULL));
  CHECK_OK(seesaw_append(&append, executor));
  CHECK(pool[4 * 12] == 0.0f && pool[4 * 12 + 1] == 1.0f && pool[4 * 12 + 8] == 100.0f);
  CHECK(pool[7 * 12] == 24.0f && pool[7 * 12 + 11] == 115.0f && pool[6 * 12] == 0.0f);

  memset(&gather, 0, sizeof gather);
  gather.struct_size = sizeof gather;
  gather.kv_format = SEESAW_KV_FLOAT32;
  gather.kv_cache = append.kv_cache;
  CHECK_OK(seesaw_tensor_init(&gather.block_table, table, SEESAW_INT32, 2, table_shape, NULL));
  CHECK_OK(seesaw_tensor_init(&gather.cache_seqlens, seqlens, SEESAW_INT32, 1, one, NULL));
  CHECK_OK(seesaw_tensor_init(&gather.out, gathered, SEESAW_FLOAT32, 3, out_shape, NULL));
  CHECK_OK(seesaw_gather(&gather, executor));
  CHECK(memcmp(gathered, pool + 4 * 12, 4 * 12 * sizeof(float)) == 0);
  CHECK(memcmp(gathered + 4 * 12, pool, 2 * 12 * sizeof(float)) == 0);

  memset(&convert, 0, sizeof convert);
  convert.struct_size = sizeof convert;
  convert.from = append.kv_cache;
  convert.from_format = SEESAW_KV_FLOAT32;
  convert.to_format = SEESAW_KV_BFLOAT16;
  CHECK_OK(seesaw_tensor_init(&convert.to, halves, SEESAW_BFLOAT16, 4, pool_shape, NULL));
  CHECK_OK(seesaw_convert(&convert, executor));
  CHECK(halves[4 * 12 + 1] == 0x3f80); /* 1.0 */

  memset(&copy, 0, sizeof copy);
  copy.struct_size = sizeof copy;
  copy.kv_format = SEESAW_KV_FLOAT32;
  copy.kv_cache = append.kv_cache;
  copy.copies = copies;
  copy.num_copies = 1;
  CHECK_OK(seesaw_copy_pages(&copy, executor));
  CHECK(memcmp(pool, pool + 4 * 12, 2 * 12 * sizeof(float)) == 0);
  copy.num_copies = 2;
  CHECK_FAILS(seesaw_copy_pages(&copy, executor), SEESAW_CORRUPT_DATA, "copies[1]");
  copy.kv_cache.shape[0] = 1;
  CHECK_FAILS(seesaw_copy_pages(&copy, executor), SEESAW_CORRUPT_DATA, "copies[0]");
  copy.copies = NULL;
  CHECK_NULL(seesaw_copy_pages(&copy, executor), "args.copies");
  CHECK_NULL(seesaw_copy_pages(NULL, executor), "args");
  CHECK_NULL(seesaw_copy_pages(&copy, NULL), "executor");

  append.kv_format = 7;
  CHECK_FAILS(seesaw_append(&append, executor), SEESAW_INVALID_ARGUMENT, "args.kv_format: is 7");
  append.kv_format = SEESAW_KV_FLOAT32;
  append.kv_cache.shape[0] = 1; /* slots 4, 5 and 7 lie outside now */
  CHECK_FAILS(seesaw_append(&append, executor), SEESAW_CORRUPT_DATA, "slot_mapping[0]");
  gather.kv_cache.shape[0] = 1;
  CHECK_FAILS(seesaw_gather(&gather, executor), SEESAW_CORRUPT_DATA, "block_table[0, 0]");
  convert.to_format = -1;
  CHECK_FAILS(seesaw_convert(&convert, executor), SEESAW_INVALID_ARGUMENT, "args.to_format: is -1");
  CHECK_NULL(seesaw_append(NULL, executor), "args");
  CHECK_NULL(seesaw_append(&append, NULL), "executor");
  CHECK_NULL(seesaw_gather(NULL, executor), "args");
  CHECK_NULL(seesaw_gather(&gather, NULL), "executor");
  CHECK_NULL(seesaw_convert(NULL, executor), "args");
  CHECK_NULL(seesaw_convert(&convert, NULL), "executor");
  CHECK_OK(seesaw_executor_destroy(executor));
}

static void test_page_allocator(void) {
  seesaw_page_allocator* pages = NULL;
  seesaw_sequence first = -1, second = -1, third = -1;
  seesaw_page_copy copy;
  const int32_t* list = NULL;
  size_t count = 0;
  int64_t num_tokens = 0, slots[2], needed = 0;
  int32_t num_free = 0, refs = 0;
  CHECK_OK(seesaw_page_allocator_create(4, 4, &pages));
  CHECK_OK(seesaw_sequence_create(pages, &first));
  CHECK_OK(seesaw_sequence_num_pages_to_extend(pages, first, 6, &needed));
  CHECK(needed == 2);
  CHECK_OK(seesaw_sequence_extend(pages, first, 6, &copy));
  CHECK(copy.from_page == -1);
  CHECK_OK(seesaw_sequence_fork(pages, first, &second));
  CHECK_OK(seesaw_sequence_share_prefix(pages, first, 4, &third));
  CHECK_OK(seesaw_sequence_pages(pages, first, &list, &count));
  CHECK(count == 2);
  CHECK_OK(seesaw_page_allocator_ref_count(pages, list[0], &refs));
  CHECK(refs == 3);
  CHECK_OK(seesaw_sequence_extend(pages, second, 1, &copy)); /* writes a shared page */
  CHECK(copy.from_page == list[1] && copy.to_page != list[1] && copy.num_tokens == 2);
  CHECK_OK(seesaw_sequence_num_tokens(pages, second, &num_tokens));
  CHECK(num_tokens == 7);
  CHECK_OK(seesaw_sequence_slots(pages, second, 5, slots, 2));
  CHECK(slots[0] == copy.to_page * 4 + 1 && slots[1] == copy.to_page * 4 + 2);
  CHECK_FAILS(seesaw_sequence_extend(pages, third, 100, &copy), SEESAW_OUT_OF_PAGES, "num_tokens");
  CHECK_OK(seesaw_sequence_truncate(pages, second, 0));
  CHECK_OK(seesaw_sequence_free(pages, first));
  CHECK_OK(seesaw_sequence_free(pages, second));
  CHECK_OK(seesaw_page_allocator_num_free_pages(pages, &num_free));
  CHECK(num_free == 3);
  CHECK_FAILS(seesaw_sequence_free(pages, first), SEESAW_INVALID_ARGUMENT, "sequence: is 0");
  CHECK_FAILS(seesaw_sequence_num_tokens(pages, 77, &num_tokens), SEESAW_INVALID_ARGUMENT,
              "sequence: is 77");
  CHECK_FAILS(seesaw_sequence_pages(pages, -1, &list, &count), SEESAW_INVALID_ARGUMENT,
              "sequence: is -1");
  CHECK_FAILS(seesaw_page_allocator_ref_count(pages, 4, &refs), SEESAW_INVALID_ARGUMENT,
              "page: is 4, must be in [0, 4)");
  CHECK_FAILS(seesaw_page_allocator_create(-1, 4, &pages), SEESAW_INVALID_ARGUMENT, "num_pages");

  CHECK_NULL(seesaw_sequence_create(NULL, &first), "allocator");
  CHECK_NULL(seesaw_sequence_create(pages, NULL), "sequence");
  CHECK_NULL(seesaw_sequence_extend(NULL, third, 1, &copy), "allocator");
  CHECK_NULL(seesaw_sequence_extend(pages, third, 1, NULL), "copy");
  CHECK_NULL(seesaw_sequence_fork(NULL, third, &first), "allocator");
  CHECK_NULL(seesaw_sequence_fork(pages, third, NULL), "fork");
  CHECK_NULL(seesaw_sequence_share_prefix(NULL, third, 1, &first), "allocator");
  CHECK_NULL(seesaw_sequence_share_prefix(pages, third, 1, NULL), "shared");
  CHECK_NULL(seesaw_sequence_truncate(NULL, third, 0), "allocator");
  CHECK_NULL(seesaw_sequence_free(NULL, third), "allocator");
  CHECK_NULL(seesaw_sequence_pages(NULL, third, &list, &count), "allocator");
  CHECK_NULL(seesaw_sequence_pages(pages, third, NULL, &count), "pages");
  CHECK_NULL(seesaw_sequence_pages(pages, third, &list, NULL), "num_pages");
  CHECK_NULL(seesaw_sequence_num_tokens(NULL, third, &num_tokens), "allocator");
  CHECK_NULL(seesaw_sequence_num_tokens(pages, third, NULL), "num_tokens");
  CHECK_NULL(seesaw_sequence_slots(NULL, third, 0, slots, 1), "allocator");
  CHECK_NULL(seesaw_sequence_slots(pages, third, 0, NULL, 1), "slots");
  CHECK_FAILS(seesaw_sequence_slots(pages, third, 0, slots, (size_t)-1), SEESAW_INVALID_ARGUMENT,
              "num_slots: is 18446744073709551615");
  CHECK_NULL(seesaw_sequence_num_pages_to_extend(NULL, third, 1, &needed), "allocator");
  CHECK_NULL(seesaw_sequence_num_pages_to_extend(pages, third, 1, NULL), "num_pages");
  CHECK_NULL(seesaw_page_allocator_num_free_pages(NULL, &num_free), "allocator");
  CHECK_NULL(seesaw_page_allocator_num_free_pages(pages, NULL), "num_free_pages");
  CHECK_NULL(seesaw_page_allocator_ref_count(NULL, 0, &refs), "allocator");
  CHECK_NULL(seesaw_page_allocator_ref_count(pages, 0, NULL), "ref_count");
  CHECK_NULL(seesaw_page_allocator_create(1, 1, NULL), "allocator");
  CHECK_OK(seesaw_page_allocator_destroy(pages));
  CHECK_OK(seesaw_page_allocator_destroy(NULL));
}

int main(void) {
  test_cache_operations();
  test_page_allocator();
  return checks_end();
}
