// The commands. Each prints its results to stdout and what goes wrong to stderr.
#pragma once

#include "cli/exit_code.h"
#include "cli/options.h"

namespace seesaw::cli {

ExitCode run(const GenerateArgs& args);
ExitCode run(const LogitsArgs& args);
ExitCode run(const BenchDecodeArgs& args);
ExitCode run(const InfoArgs& args);

}  // namespace seesaw::cli
