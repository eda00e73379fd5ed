// Loading a model for a command.
#pragma once

#include <cstdint>
#include <filesystem>

#include "model/model.h"
#include "seesaw/types/status.h"

namespace seesaw::cli {

/// Shows a progress bar meanwhile. Errors: those of Model::load.
Result<model::Model> load_model(const std::filesystem::path& folder, std::int64_t num_threads);

}  // namespace seesaw::cli
