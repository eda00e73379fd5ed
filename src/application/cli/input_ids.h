// Token ids from a JSON file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "model/config.h"
#include "seesaw/types/status.h"

namespace seesaw::cli {

/// A JSON list of integers, at least one and at most config.max_positions, each within the
/// vocabulary. Errors, naming the file and the first bad entry: kIoError, kCorruptData.
Result<std::vector<std::int32_t>> read_input_ids(const std::filesystem::path& path,
                                                 const model::Config& config);

}  // namespace seesaw::cli
