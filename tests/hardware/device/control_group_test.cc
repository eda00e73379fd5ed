#include "hardware/device/control_group.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "hardware/device/available_cores.h"

namespace seesaw {
namespace {

namespace fs = std::filesystem;

// A folder that stands for the root of a file system.
class ControlGroup : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "seesaw_root_XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    const fs::path file = root_ + path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }

  std::string root_;
};

TEST_F(ControlGroup, NoFilesMeanNoLimit) {
  EXPECT_EQ(cgroup_core_limit(root_), 0);
  EXPECT_EQ(cgroup_memory_limit(root_), 0);
}

TEST_F(ControlGroup, Version2QuotaIsRoundedUp) {
  write("/proc/self/cgroup", "0::/\n");
  write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  write("/sys/fs/cgroup/memory.max", "2147483648\n");
  EXPECT_EQ(cgroup_core_limit(root_), 2);
  EXPECT_EQ(cgroup_memory_limit(root_), std::int64_t{2} << 30);
  write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(cgroup_core_limit(root_), 2);
  write("/sys/fs/cgroup/cpu.max", "1000 100000\n");
  EXPECT_EQ(cgroup_core_limit(root_), 1);
}

TEST_F(ControlGroup, Version2MaxMeansNoLimit) {
  write("/proc/self/cgroup", "0::/user.slice/session.scope\n");
  write("/sys/fs/cgroup/user.slice/session.scope/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/user.slice/session.scope/memory.max", "max\n");
  EXPECT_EQ(cgroup_core_limit(root_), 0);
  EXPECT_EQ(cgroup_memory_limit(root_), 0);
}

TEST_F(ControlGroup, TheSmallestOfAllParentsCounts) {
  write("/proc/self/cgroup", "0::/a/b/c\n");
  write("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
  write("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n");
  write("/sys/fs/cgroup/a/memory.max", "max\n");
  write("/sys/fs/cgroup/a/b/memory.max", "1000\n");
  write("/sys/fs/cgroup/a/b/c/memory.max", "4000\n");
  EXPECT_EQ(cgroup_core_limit(root_), 3);
  EXPECT_EQ(cgroup_memory_limit(root_), 1000);
}

TEST_F(ControlGroup, Version1ReadsTheControllersFolders) {
  write("/proc/self/cgroup",
        "4:memory:/job\n3:cpuset:/job\n2:cpu,cpuacct:/job\n1:name=systemd:/\n");
  write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "250000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "50000\n");
  write("/sys/fs/cgroup/cpuset/job/cpu.cfs_quota_us", "1\n");  // not this controller's
  write("/sys/fs/cgroup/cpuset/job/cpu.cfs_period_us", "1\n");
  write("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "123456\n");
  EXPECT_EQ(cgroup_core_limit(root_), 5);
  EXPECT_EQ(cgroup_memory_limit(root_), 123456);
}

TEST_F(ControlGroup, Version1MinusOneMeansNoLimit) {
  write("/proc/self/cgroup", "2:cpu:/\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_core_limit(root_), 0);
}

// A container is shown its host's path, but finds its own group at the mount's top.
TEST_F(ControlGroup, APathThatDoesNotExistHereFallsBackToTheTop) {
  write("/proc/self/cgroup", "2:cpu:/docker/0123abc\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000\n");
  write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_core_limit(root_), 4);
}

TEST_F(ControlGroup, GarbageIsIgnored) {
  write("/proc/self/cgroup", "garbage\n:\n0:\n\n0::/\n");
  write("/sys/fs/cgroup/cpu.max", "100000\n");  // the period is missing
  write("/sys/fs/cgroup/memory.max", "\n");
  EXPECT_EQ(cgroup_core_limit(root_), 0);
  EXPECT_EQ(cgroup_memory_limit(root_), 0);
}

TEST(AvailableCores, IsAtLeastOneAndWithinTheLimit) {
  EXPECT_GE(available_cores(), 1);
  if (const int limit = cgroup_core_limit(""); limit > 0) {
    EXPECT_LE(available_cores(), limit);
  }
}

#if defined(__linux__)
TEST(AvailableCores, FollowsTheAffinityMask) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  const int with_one = available_cores();
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
  EXPECT_EQ(with_one, 1);
}
#endif

}  // namespace
}  // namespace seesaw
