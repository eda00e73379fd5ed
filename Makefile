# Every task has one name here; `make help` lists them. Each installs the system packages it needs
# (tools/setup.sh: Debian and Ubuntu), configures by CMake preset, builds and runs.
.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/bash

JOBS ?= $(shell nproc)
MODEL ?= models/tiny-deepseek-v3
FUZZ_SECONDS ?= 60
# Compiled objects are kept by ccache where it is installed, so that the tests and the Python package
# share the library's. Looked for in each recipe: a goal before may have installed it.
CCACHE = $(shell command -v ccache)
export CMAKE_C_COMPILER_LAUNCHER ?= $(CCACHE)
export CMAKE_CXX_COMPILER_LAUNCHER ?= $(CCACHE)
export CMAKE_CUDA_COMPILER_LAUNCHER ?= $(CCACHE)
export CTEST_PARALLEL_LEVEL ?= $(JOBS)

.PHONY: help
help: ## list the goals
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | while IFS=$$'\t' read -r name what; do \
	  printf '  make %-15s %s\n' "$$name" "$$what"; done

# A program alone needs no test framework: a tree that was never configured is configured without
# the tests, one that was keeps them.
build/release/build.ninja:
	@cmake --preset cpu -DSEESAW_BUILD_TESTS=OFF

.PHONY: demo
demo: ## complete prompts with the model in models/, on the CPU
	@tools/setup.sh demo
	@$(MAKE) --no-print-directory build/release/build.ninja
	@cmake --build --preset cpu --parallel $(JOBS) --target seesaw_cli
	@tools/demo.sh build/release/seesaw $(MODEL)

# The system packages of a goal. A target of its own, for what make reads of the environment (ccache)
# is read before a recipe begins.
packages-%:
	@tools/setup.sh $*

.PHONY: build
build: packages-test ## build the library, the command line, the tests and the examples
	@cmake --preset cpu
	@cmake --build --preset cpu --parallel $(JOBS)

.PHONY: test
test: test-library test-python ## run every test that needs no GPU

.PHONY: test-library
test-library: build ## run those of the library and the command line
	@ctest --preset cpu

.PHONY: test-asan
test-asan: packages-test ## run the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@tools/sanitize.sh asan-ubsan $(JOBS)

.PHONY: test-tsan
test-tsan: packages-test ## run the tests that start threads under ThreadSanitizer
	@tools/sanitize.sh tsan $(JOBS)

.PHONY: test-python
test-python: packages-python ## those of the Python package, on a wheel for the CPU, with numpy alone
	@tools/python_test.sh $(TEST_ARGS)

.PHONY: test-torch
test-torch: packages-python ## the same with PyTorch and JAX from PyPI (5 GB)
	@tools/python_test.sh --frameworks $(TEST_ARGS)

.PHONY: coverage
coverage: ## run the tests and report line and branch coverage in build/coverage/report
	@tools/setup.sh coverage
	@cmake --preset coverage
	@cmake --build --preset coverage --parallel $(JOBS)
	@find build/coverage -name '*.gcda' -delete
	@ctest --preset coverage
	@mkdir -p build/coverage/report
	@gcovr --root . --filter src/ --filter include/ --object-directory build/coverage \
	  --exclude-throw-branches --print-summary --txt build/coverage/report/summary.txt \
	  --html-details build/coverage/report/index.html -j $(JOBS)

.PHONY: fuzz
fuzz: ## fuzz each loader for FUZZ_SECONDS (60) and report executions and coverage
	@tools/setup.sh fuzz
	@cmake --preset fuzz
	@cmake --build --preset fuzz --parallel $(JOBS)
	@tools/fuzz.sh build/fuzz/tests/fuzz $(FUZZ_SECONDS)

.PHONY: bench-cpu
bench-cpu: ## measure the CPU backend beside its baselines and the machine's limits
	@tools/setup.sh bench
	@$(MAKE) --no-print-directory build/release/build.ninja
	@cmake -S . -B build/release -DSEESAW_BUILD_BENCHMARKS=ON
	@cmake --build --preset cpu --parallel $(JOBS) --target seesaw_bench_cpu
	@build/release/benchmarks/seesaw_bench_cpu --json benchmarks/results/cpu.json $(BENCH_ARGS)

.PHONY: gpu-build
gpu-build: packages-test packages-python ## build the GPU part and run what of its tests needs no GPU
	@JOBS=$(JOBS) tools/gpu_build.sh

.PHONY: gpu-test
gpu-test: packages-test packages-python ## run the tests that need a CUDA device (TEST_ARGS: the C++ ones by tools/gpu_test.sh)
	@failed=0; JOBS=$(JOBS) tools/gpu_test.sh $(TEST_ARGS) || failed=1; \
	  $(if $(TEST_ARGS),,tools/gpu_python.sh || failed=1;) exit $$failed

.PHONY: gpu-test-python
gpu-test-python: packages-python ## run the Python package's alone (TEST_ARGS: pytest's)
	@tools/gpu_python.sh $(TEST_ARGS)

.PHONY: gpu-bench
gpu-bench: ## measure decode on a CUDA device beside the device's limits (BENCH_ARGS=--quick)
	@tools/setup.sh demo
	@JOBS=$(JOBS) tools/gpu_bench.sh $(BENCH_ARGS)

.PHONY: bench-python
bench-python: ## measure what a call from Python costs the host (BENCH_ARGS: --device cuda)
	@tools/python_bench.sh benchmarks/python/host_cost.py $(BENCH_ARGS)

.PHONY: peer-bench
peer-bench: ## time decode beside flash_mla and FlashInfer, where they are installed (BENCH_ARGS)
	@tools/python_bench.sh -m benchmarks.peers $(or $(BENCH_ARGS),--module flash_mla --flashinfer)

.PHONY: format
format: ## rewrite every C and C++ file in the project's format
	@tools/setup.sh lint
	@tools/sources.sh | xargs -0 clang-format -i

.PHONY: lint
lint: ## check format, scripts and, with clang-tidy, the sources
	@tools/setup.sh lint
	@tools/sources.sh | xargs -0 clang-format --dry-run --Werror
	@shellcheck tools/*.sh .ci/run
	@tools/tidy.sh $(JOBS)

.PHONY: clean
clean: ## remove the build folder
	@rm -rf build
