// Settings that libraries read when they are loaded, before main has a say.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace seesaw::bench {

/// Gives each variable its value, or removes it where there is none, and, if that changed
/// anything, runs this program again from its start with the same arguments. What a shell happens
/// to hold must not decide how good a baseline is.
void require_environment(
    char** argv, const std::vector<std::pair<std::string, std::optional<std::string>>>& settings);

}  // namespace seesaw::bench
