# Writes build_facts.h: what the program was built from and how. Runs at every build; the file
# changes only when a fact does. Variables: SOURCE_DIR, OUTPUT, COMPILER, BUILD_TYPE, FLAGS.
execute_process(COMMAND git -C ${SOURCE_DIR} describe --always --dirty --abbrev=12 --exclude=*
  OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT [[#pragma once

#define SEESAW_BENCH_GIT_COMMIT "@commit@"
#define SEESAW_BENCH_COMPILER "@COMPILER@"
#define SEESAW_BENCH_BUILD_TYPE "@BUILD_TYPE@"
#define SEESAW_BENCH_COMPILER_FLAGS "@FLAGS@"
]] @ONLY)
