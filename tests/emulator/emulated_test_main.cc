// As gpu_test_main.cc; whatever the emulator finds wrong fails the test that runs.
#include <gmock/gmock.h>

#include <iostream>
#include <string>

#include "emulator/machine.h"

namespace {

class FailsOnReports : public ::testing::EmptyTestEventListener {
  void OnTestEnd(const ::testing::TestInfo&) override {
    for (const std::string& report : seesaw::emulator::take_reports()) ADD_FAILURE() << report;
  }
};

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleMock(&argc, argv);
  // Before the printer, which ends the test.
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  ::testing::TestEventListener* const printer =
      listeners.Release(listeners.default_result_printer());
  listeners.Append(printer);
  listeners.Append(new FailsOnReports);
  return RUN_ALL_TESTS();
}
