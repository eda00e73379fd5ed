// The parts of --help that teach: what a command is for, and examples that work as they stand.
#pragma once

namespace seesaw::cli {

inline constexpr const char* kSummary =
    "Multi-head Latent Attention over a paged latent cache: run a DeepSeek-architecture\n"
    "model, measure the attention kernels, and see what this machine offers.";

inline constexpr const char* kFooter =
    "Examples:\n"
    "  seesaw generate --model models/tiny-deepseek-v3 --prompt 'lighthouse (noun): '\n"
    "  seesaw bench decode --heads 128 --kv-len 16384\n"
    "  seesaw info\n"
    "\n"
    "Each command has its own --help with examples.\n"
    "\n"
    "Exit codes: 0 success; 1 internal error; 2 bad input or usage, told in one line on\n"
    "stderr; 130 interrupted by Ctrl-C, 143 by SIGTERM, both after ending in order.\n"
    "\n"
    "Environment: SEESAW_CPU_ISA=generic|avx2|avx512|avx512_bf16 lowers the instruction set\n"
    "that kernels may use.";

inline constexpr const char* kGenerateFooter =
    "Text goes to stdout as it comes; statistics follow on stderr. With several prompts each\n"
    "one stands before its completion. Works with models whose tokens are bytes. Generation\n"
    "ends at --max-new-tokens, at the model's end-of-sequence token, or when the model's\n"
    "max_position_embeddings are used up; Ctrl-C ends it after the token being computed.\n"
    "\n"
    "Examples:\n"
    "  seesaw generate --model models/tiny-deepseek-v3 --prompt 'lighthouse (noun): '\n"
    "  seesaw generate --model models/tiny-deepseek-v3 --prompt 'to wander (verb): ' \\\n"
    "      --temperature 0.8 --top-p 0.95 --seed 7 --max-new-tokens 200\n"
    "  seesaw generate --model models/tiny-deepseek-v3 --prompt 'owl (noun): ' \\\n"
    "      --prompt 'slowly (adverb): ' --kv-dtype float16 2>statistics.txt";

inline constexpr const char* kLogitsFooter =
    "Works with every supported model, whatever its tokenizer. Row i holds the logits after\n"
    "the tokens 0 .. i.\n"
    "\n"
    "Examples:\n"
    "  echo '[256, 111, 119, 108]' >ids.json\n"
    "  seesaw logits --model models/tiny-deepseek-v3 --input-ids ids.json --output logits.npy\n"
    "  python3 -c 'import numpy; print(numpy.load(\"logits.npy\").argmax(1))'";

inline constexpr const char* kBenchFooter =
    "Example:\n"
    "  seesaw bench decode --heads 128 --kv-len 16384 --threads 1";

inline constexpr const char* kBenchDecodeFooter =
    "Every timed call reads other pages, in shuffled order, out of a pool at least twice as\n"
    "large as the device's caches. Prints the median time, GFLOP/s (2 x batch x q-len x heads x\n"
    "kv-len x (d-qk + d-v) operations), GB/s (cache, query and output, each once) and how the\n"
    "work was planned.\n"
    "\n"
    "Examples:\n"
    "  seesaw bench decode --heads 128 --kv-len 16384\n"
    "  seesaw bench decode --batch 32 --heads 16 --kv-len 4096 --threads 2 --json\n"
    "  seesaw bench decode --heads 16 --kv-len 65536 --mode latency --isa avx2";

inline constexpr const char* kInfoFooter =
    "Examples:\n"
    "  seesaw info\n"
    "  seesaw info --json";

}  // namespace seesaw::cli
