// Loading a model for a command.
#pragma once

#include <cstdint>
#include <filesystem>

#include "model/model.h"
#include "seesaw/types/status.h"

namespace seesaw::cli {

/// Shows a progress bar meanwhile. Errors: those of Model::load.
Result<model::Model> load_model(const std::filesystem::path& folder, std::int64_t num_threads);

/// An error of what the model computed, as one of its folder: its weights can give nothing else.
Status blame_model(const std::filesystem::path& folder, const Status& status);

}  // namespace seesaw::cli
