"""Shows that the checks can fail: each rule broken once in a small tree of its own."""

import json
import pathlib
import shutil
import sys
import tempfile
import unittest

import check_readme
import headers
from layers import Tree

GOOD_TREE = {
    "include/seesaw/types/shape.h": "#pragma once\n#include <cstdint>\n",
    "include/seesaw/types/export.h": "#pragma once\n",
    "include/seesaw/plan.h": '#pragma once\n#include "seesaw/types/shape.h"\n',
    "include/seesaw/executor.h": "#pragma once\n",
    "src/algorithm/merge.h": '#pragma once\n#include "seesaw/types/shape.h"\n',
    "src/scheduling/split.cc": '#include "algorithm/merge.h"\n#include "scheduling/split.h"\n',
    "src/hardware/cpu/kernel.cc": '#include <immintrin.h>\n#include "seesaw/executor.h"\n'
    "__m256 zero() { return _mm256_setzero_ps(); }\n",
    "src/hardware/cpu/kernel.h": "#pragma once\n",
    "src/hardware/cuda/launch.cc": "#include <cuda_runtime_api.h>\n",
    "src/hardware/sm90/kernel.cuh": "#include <cute/tensor.hpp>\n",
    "src/system/plan.cc": '#include "seesaw/plan.h"\n#include "scheduling/split.h"\n'
    '// abort() and printf("x") in a comment or a string are no calls\n'
    'const char* text = "std::cout << abort()";\n',
    "src/scheduling/split.h": "#pragma once\n",
    "src/application/cli/main.cc": '#include <cstdio>\n#include "seesaw/plan.h"\n'
    '#include "cli/run.h"\n'
    'int main() { printf("text"); }\n',
    "src/application/cli/run.h": "#pragma once\n",
    "examples/decode.cc": '#include "seesaw/plan.h"\n',
}

# What is broken: (file, its content, part of the message that must come of it).
BROKEN = {
    "types include the public verbs": (
        "include/seesaw/types/shape.h",
        '#include "seesaw/plan.h"',
        "types may include types",
    ),
    "public header includes a layer": (
        "include/seesaw/plan.h",
        '#include "algorithm/merge.h"',
        "public may include types, public",
    ),
    "public header includes CUDA": (
        "include/seesaw/plan.h",
        "#include <cuda_runtime.h>",
        "the CUDA runtime belongs in",
    ),
    "public header includes a library": (
        "include/seesaw/plan.h",
        "#include <fmt/format.h>",
        "only standard ones",
    ),
    "algorithm includes scheduling": (
        "src/algorithm/merge.cc",
        '#include "scheduling/split.h"',
        "algorithm may include",
    ),
    "algorithm includes a verb": (
        "src/algorithm/merge.cc",
        '#include "seesaw/plan.h"',
        "algorithm may include",
    ),
    "algorithm includes CUDA": (
        "src/algorithm/merge.cc",
        "#include <cuda_fp16.h>",
        "the CUDA runtime belongs in",
    ),
    "algorithm calls CUDA": ("src/algorithm/merge.cc", "int e = cudaMalloc(p, n);", "cudaMalloc"),
    "scheduling includes hardware": (
        "src/scheduling/split.cc",
        '#include "hardware/cpu/kernel.h"',
        "scheduling may include",
    ),
    "hardware includes scheduling": (
        "src/hardware/cpu/kernel.cc",
        '#include "scheduling/split.h"',
        "hardware may include",
    ),
    "hardware includes a verb that is not its own": (
        "src/hardware/cpu/kernel.cc",
        '#include "seesaw/plan.h"',
        "hardware may include",
    ),
    "system includes the application": (
        "src/system/plan.cc",
        '#include "application/cli/run.h"',
        "system may include",
    ),
    "application includes a layer": (
        "src/application/cli/main.cc",
        '#include "algorithm/merge.h"',
        "no such file under include",
    ),
    "example includes a layer": (
        "examples/decode.cc",
        '#include "algorithm/merge.h"',
        "examples may include",
    ),
    "intrinsics header outside hardware/cpu": (
        "src/algorithm/merge.cc",
        "#include <immintrin.h>",
        "CPU intrinsics belongs in",
    ),
    "Arm intrinsics header outside hardware/cpu": (
        "src/hardware/device/probe.cc",
        "#include <arm_neon.h>",
        "CPU intrinsics belongs in",
    ),
    "intrinsic outside hardware/cpu": (
        "src/system/plan.cc",
        "auto x = _mm512_setzero_ps();",
        "uses _mm512_setzero_ps",
    ),
    "builtin outside hardware/cpu": (
        "src/algorithm/merge.cc",
        "__builtin_ia32_pause ();",
        "uses __builtin_ia32_pause",
    ),
    "CuTe outside its folders": (
        "src/hardware/cuda/launch.cc",
        "#include <cute/tensor.hpp>",
        "CuTe and CUTLASS belongs in",
    ),
    "CUTLASS in a CPU kernel": (
        "src/hardware/cpu/kernel.cc",
        "#include <cutlass/cutlass.h>",
        "CuTe and CUTLASS belongs in",
    ),
    "PyTorch": (
        "src/application/cli/main.cc",
        "#include <torch/extension.h>",
        "PyTorch is not used",
    ),
    "BLAS in the library": (
        "src/system/plan.cc",
        "#include <cblas.h>",
        "belongs in src/application/",
    ),
    "print in the library": ("src/system/plan.cc", 'printf("x");', "never prints"),
    "exit in the library": ("src/hardware/cpu/kernel.cc", "std::exit(1);", "never prints or ends"),
    "abort in the library": ("src/algorithm/merge.cc", "if (x) abort();", "never prints or ends"),
    "climbing path": ("src/system/plan.cc", '#include "../algorithm/merge.h"', "name it from"),
    "missing file": ("src/system/plan.cc", '#include "system/gone.h"', "no such file"),
    "angle brackets for an own header": (
        "src/system/plan.cc",
        "#include <seesaw/plan.h>",
        "take quotes",
    ),
    "a name that says nothing": ("src/system/plan_util.cc", "", '"util" in a name'),
    "a cycle": (
        "src/algorithm/merge.h",
        '#pragma once\n#include "algorithm/merge.h"',
        "includes itself",
    ),
}


class TemporaryTree(unittest.TestCase):
    """A tree on disk for each test."""

    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)
        self.write(GOOD_TREE)

    def write(self, files):
        for path, content in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(content, encoding="utf-8")


class LayerRules(TemporaryTree):
    def test_good_tree_has_no_errors(self):
        self.assertEqual(Tree(self.root).check(), [])

    def test_each_broken_rule_is_found_in_its_file(self):
        for name, (path, line, message) in BROKEN.items():
            with self.subTest(name):
                self.write(GOOD_TREE)
                before = GOOD_TREE.get(path, "")
                self.write({path: before + line + "\n"})
                errors = Tree(self.root).check()
                named = [
                    error for error in errors if error.startswith(f"{path}:") and message in error
                ]
                self.assertTrue(named, errors)
                if path not in GOOD_TREE:
                    (self.root / path).unlink()


class HeaderRules(TemporaryTree):
    def compile_alone(self):
        """The failing headers of the tree, by name, and those left out."""
        entries = [
            {
                "directory": str(self.root),
                "file": str(self.root / path),
                "command": f"{COMPILER} -std=c++20 -I{self.root}/include -I{self.root}/src "
                f"-DFROM={pathlib.Path(path).stem} -c {path}",
            }
            for path in ("src/algorithm/merge.cc", "src/scheduling/split.cc")
        ]
        database = self.root / "compile_commands.json"
        database.write_text(json.dumps(entries), encoding="utf-8")
        num_compiled, failures, left_out, _ = headers.check(self.root, database)
        self.assertGreater(num_compiled, 0)
        return [failure.split(": ")[0] for failure in failures], left_out

    def setUp(self):
        super().setUp()
        shutil.rmtree(self.root / "src/application")
        self.write({"src/algorithm/merge.cc": '#include "algorithm/merge.h"\n'})

    def test_good_headers_compile(self):
        self.assertEqual(self.compile_alone(), ([], []))

    def test_what_another_build_compiles_alike_is_left_to_it(self):
        self.compile_alone()
        database = self.root / "compile_commands.json"
        other = self.root / "other.json"
        shutil.copy(database, other)
        self.assertEqual(headers.check(self.root, database, other)[0], 0)
        entries = json.loads(other.read_text(encoding="utf-8"))
        for entry in entries:  # a macro that no header names, another that one does
            entry["command"] += " -DSEESAW_UNKNOWN=1 -DSEESAW_KNOWN=1"
        other.write_text(json.dumps(entries), encoding="utf-8")
        self.assertEqual(headers.check(self.root, database, other)[0], 0)
        self.write({"src/algorithm/merge.h": "#pragma once\nextern int SEESAW_KNOWN_;\n"})
        self.assertEqual(headers.check(self.root, database, other)[0], 0)
        self.write({"src/algorithm/merge.h": "#pragma once\n#ifdef SEESAW_KNOWN\n#endif\n"})
        self.assertGreater(headers.check(self.root, database, other)[0], 0)

    def test_a_header_that_leans_on_its_includer_fails(self):
        self.write({"include/seesaw/plan.h": "#pragma once\nstd::int64_t lengths();\n"})
        self.assertEqual(self.compile_alone()[0], ["include/seesaw/plan.h"])

    def test_a_header_without_a_guard_fails(self):
        self.write({"src/algorithm/merge.h": "struct Merge {};\n"})
        self.assertEqual(self.compile_alone()[0], ["src/algorithm/merge.h"])

    def test_a_header_for_c_that_is_not_c99_fails(self):
        self.write({"include/seesaw/types/export.h": "#pragma once\nenum class Kind : char;\n"})
        self.assertEqual(self.compile_alone()[0], ["include/seesaw/types/export.h (C99)"])

    def test_a_header_gets_the_flags_of_its_includer(self):
        self.write(
            {
                "src/scheduling/split.h": "#pragma once\nstatic_assert(sizeof(FROM));\n",
                "src/scheduling/split.cc": 'struct split {};\n#include "scheduling/split.h"\n',
            }
        )
        self.assertEqual(self.compile_alone()[0], ["src/scheduling/split.h"])
        self.write({"src/scheduling/split.h": "#pragma once\nstruct FROM {};\nsplit* made();\n"})
        self.assertEqual(self.compile_alone()[0], [])

    def test_a_header_for_another_instruction_set_is_left_out(self):
        self.write(
            {
                "src/hardware/cpu/vector.h": "#pragma once\n#error another processor\n",
                "src/hardware/cpu/kernel.cc": '#include "hardware/cpu/vector.h"\n',
            }
        )
        self.assertEqual(self.compile_alone(), ([], ["src/hardware/cpu/vector.h"]))


class ReadmeRules(TemporaryTree):
    def setUp(self):
        super().setUp()
        self.readme = (
            "[x](examples/decode.cc)\n```cpp\n" + GOOD_TREE["examples/decode.cc"] + "```\n"
        )
        self.write({"README.md": self.readme, "CONTRIBUTING.md": "", "docs/architecture.md": ""})

    def test_good_readme_has_no_errors(self):
        self.assertEqual(check_readme.find_errors(self.root), [])

    def test_an_example_that_differs_is_found(self):
        self.write({"README.md": self.readme.replace("plan.h", "device.h")})
        self.assertEqual(len(check_readme.find_errors(self.root)), 1)

    def test_a_dead_link_is_found(self):
        self.write({"docs/architecture.md": "[x](../gone.md)"})
        self.assertEqual(len(check_readme.find_errors(self.root)), 1)


if __name__ == "__main__":
    COMPILER = sys.argv.pop(1)
    unittest.main(verbosity=2)
