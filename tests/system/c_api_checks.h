/* Checks for C programs that test the C ABI: a failed one is printed and counted. Each program has
 * its own counters; end main with checks_end(). */
#ifndef SEESAW_TESTS_SYSTEM_C_API_CHECKS_H
#define SEESAW_TESTS_SYSTEM_C_API_CHECKS_H

#include "seesaw/c_api.h"

#include <stdio.h>
#include <string.h>

static int num_checks = 0;
static int num_failed = 0;

static void check_at(int is_true, const char* text, int line) {
  ++num_checks;
  if (is_true) return;
  ++num_failed;
  printf("line %d: %s is false; last error: %s\n", line, text, seesaw_last_error_message());
}
#define CHECK(condition) check_at((condition) != 0, #condition, __LINE__)
#define CHECK_OK(call) check_at((call) == SEESAW_OK, #call, __LINE__)

/* The call fails with this status and a message that contains the fragment. */
static void check_fails_at(seesaw_status actual, seesaw_status expected, const char* fragment,
                           const char* text, int line) {
  ++num_checks;
  if (actual == expected && strstr(seesaw_last_error_message(), fragment) != NULL) return;
  ++num_failed;
  printf("line %d: %s: is %s, must be %s; message is \"%s\", must contain \"%s\"\n", line, text,
         seesaw_status_name(actual), seesaw_status_name(expected), seesaw_last_error_message(),
         fragment);
}
#define CHECK_FAILS(call, status, fragment) \
  check_fails_at((call), (status), (fragment), #call, __LINE__)
#define CHECK_NULL(call, name) \
  check_fails_at((call), SEESAW_INVALID_ARGUMENT, name ": is null", #call, __LINE__)

static int checks_end(void) {
  printf("%d checks, %d failed\n", num_checks, num_failed);
  return num_failed == 0 && num_checks > 0 ? 0 : 1;
}

#endif
