#include "cli/model_loading.h"

#include <string>

#include "report/progress.h"

namespace seesaw::cli {

Result<model::Model> load_model(const std::filesystem::path& folder, std::int64_t num_threads) {
  report::Progress progress("loading " + folder.string());
  model::ModelOptions options;
  options.num_threads = static_cast<int>(num_threads);
  options.on_progress = [&progress](std::int64_t done, std::int64_t total) {
    progress.update(done, total);
  };
  return model::Model::load(folder, options);
}

Status blame_model(const std::filesystem::path& folder, const Status& status) {
  return {status.code(), folder.string() + ": " + std::string(status.message())};
}

}  // namespace seesaw::cli
