// Linked into the test programs that ThreadSanitizer's build leaves out because they start no
// thread (seesaw_test(... STARTS_NO_THREAD)): in every other build it holds them to that. The
// linker takes this definition before the C library's, for shared libraries too.
#include <pthread.h>

#include <cstdio>
#include <cstdlib>

extern "C" int pthread_create(pthread_t* /*thread*/, const pthread_attr_t* /*attributes*/,
                              void* (* /*start*/)(void*), void* /*argument*/) noexcept {
  std::fputs(
      "a thread is started in a test program that says STARTS_NO_THREAD in its CMakeLists.txt: "
      "take that away, so that ThreadSanitizer sees the program\n",
      stderr);
  std::abort();
}
