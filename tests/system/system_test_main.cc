#include <gmock/gmock.h>

#include <iostream>

#include "support/run_size.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  std::cout << "sizes: " << (seesaw::testing::kIsSanitized ? "reduced, for a sanitizer" : "full")
            << std::endl;
  return RUN_ALL_TESTS();
}
