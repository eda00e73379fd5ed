#include <gmock/gmock.h>

#include <iostream>

#include "support/device_case.h"

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  if (!GTEST_FLAG_GET(list_tests)) {
    if (const auto& device = seesaw::testing::test_device()) {
      std::cout << "device: " << device->name << ", " << device->num_workers
                << " multiprocessors, sm_" << device->sm_arch << std::endl;
    } else {
      std::cout << "device: none; every test that needs one is skipped" << std::endl;
    }
  }
  return RUN_ALL_TESTS();
}
