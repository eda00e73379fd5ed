#include "model/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace seesaw::model {
namespace {

using ::testing::HasSubstr;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::map<std::int32_t, int> count(const SamplingOptions& options, const std::vector<float>& logits,
                                  int num_draws) {
  Sampler sampler = Sampler::create(options).value();
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < num_draws; ++i) ++counts[sampler.next(logits).value()];
  return counts;
}

TEST(Sampler, GreedyTakesTheLargestAndTheLowerOfEquals) {
  Sampler sampler = Sampler::create({}).value();
  EXPECT_EQ(sampler.next(std::vector{-3.0f, 2.0f, 2.0f, -kInfinity}).value(), 1);
  EXPECT_EQ(sampler.next(std::vector{-kInfinity, -5.0f}).value(), 1);
}

TEST(Sampler, DrawsInProportion) {
  const std::vector<float> logits{std::log(1.0f), std::log(2.0f), std::log(5.0f), -kInfinity};
  constexpr int kDraws = 80'000;
  const auto counts = count({.temperature = 1.0, .top_p = 1.0, .seed = 7}, logits, kDraws);
  EXPECT_EQ(counts.contains(3), false);
  // Standard deviation of a share is at most 0.0018 here; the seed is fixed.
  EXPECT_NEAR(counts.at(0) / double{kDraws}, 1.0 / 8, 0.007);
  EXPECT_NEAR(counts.at(1) / double{kDraws}, 2.0 / 8, 0.007);
  EXPECT_NEAR(counts.at(2) / double{kDraws}, 5.0 / 8, 0.007);
}

TEST(Sampler, TemperatureSharpens) {
  const std::vector<float> logits{0.0f, std::log(4.0f)};
  constexpr int kDraws = 40'000;
  const auto counts = count({.temperature = 0.5, .top_p = 1.0, .seed = 3}, logits, kDraws);
  EXPECT_NEAR(counts.at(1) / double{kDraws}, 16.0 / 17, 0.006);  // 4^2 against 1
}

TEST(Sampler, TopPKeepsTheLikeliest) {
  const std::vector<float> logits{std::log(1.0f), std::log(2.0f), std::log(5.0f)};
  const auto one = count({.temperature = 1.0, .top_p = 0.6, .seed = 1}, logits, 1'000);
  EXPECT_EQ(one.size(), 1u);
  const auto two = count({.temperature = 1.0, .top_p = 0.7, .seed = 1}, logits, 1'000);
  EXPECT_FALSE(two.contains(0));
  EXPECT_EQ(two.size(), 2u);
}

TEST(Sampler, SameSeedSameTokens) {
  const std::vector<float> logits(50, 0.0f);
  const auto draw = [&](std::uint64_t seed) {
    Sampler sampler = Sampler::create({.temperature = 1.0, .top_p = 0.9, .seed = seed}).value();
    std::vector<std::int32_t> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(sampler.next(logits).value());
    return ids;
  };
  EXPECT_EQ(draw(5), draw(5));
  EXPECT_NE(draw(5), draw(6));
}

TEST(Sampler, RefusesOptionsOutOfRange) {
  for (const double temperature : {-0.1, std::nan(""), HUGE_VAL}) {
    EXPECT_THAT(Sampler::create({.temperature = temperature}).status().message(),
                HasSubstr("temperature: is "));
  }
  for (const double top_p : {0.0, -1.0, 1.1, std::nan("")}) {
    EXPECT_THAT(Sampler::create({.top_p = top_p}).status().message(), HasSubstr("top_p: is "));
  }
}

TEST(Sampler, RefusesLogitsWithoutAnOrder) {
  for (const double temperature : {0.0, 1.0}) {
    Sampler sampler = Sampler::create({.temperature = temperature}).value();
    EXPECT_THAT(sampler.next(std::vector{1.0f, std::nanf("")}).status().message(),
                HasSubstr("logits[1]: is nan"));
    EXPECT_THAT(sampler.next(std::vector{kInfinity}).status().message(),
                HasSubstr("logits[0]: is inf"));
    EXPECT_FALSE(sampler.next(std::vector{-kInfinity, -kInfinity}).is_ok());
    EXPECT_FALSE(sampler.next({}).is_ok());
  }
}

}  // namespace
}  // namespace seesaw::model
