"""What became of the CUDA kernels: ptxas's reports, which the build keeps, and the machine code."""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile

KERNEL_FOLDER = "src/CMakeFiles/seesaw.dir"
# Folders of kernels, and what each of their kernels must hold as machine code.
REQUIRED = {
    "hardware/sm90/": {"HGMMA": "a product of a warpgroup", "UTMALDG": "a copy by a tensor map"},
    "hardware/portable/": {"HMMA": "a tensor-core product", "LDGSTS": "an asynchronous copy"},
}
# The same as PTX, where there is no disassembler.
REQUIRED_PTX = {"wgmma.mma_async": "a product of a warpgroup", "cp.async.bulk.tensor": "a copy"}
LOCAL_MEMORY = ("LDL", "STL")  # loads and stores of a thread's own memory: spills
# C7519 says that warpgroup.arrive was injected, which does no harm.
HARMLESS = {"C7519"}


@dataclasses.dataclass
class Kernel:
    name: str
    stack_bytes: int = 0
    spill_bytes: int = 0
    registers: int = 0


def parse_report(text):
    """Kernels of a ptxas report, and its warnings about serialized products."""
    kernels = {}
    current = None
    for line in text.splitlines():
        if entry := re.search(r"Compiling entry function '(\S+)' for", line):
            current = kernels.setdefault(entry[1], Kernel(entry[1]))
        elif function := re.search(r"Function properties for (\S+)", line):
            current = kernels.setdefault(function[1], Kernel(function[1]))
        elif sizes := re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line
        ):
            if current is None:
                raise ValueError(f"sizes of no function: {line}")
            current.stack_bytes = max(current.stack_bytes, int(sizes[1]))
            current.spill_bytes = max(current.spill_bytes, int(sizes[2]) + int(sizes[3]))
        elif (used := re.search(r"Used (\d+) registers", line)) and current is not None:
            current.registers = max(current.registers, int(used[1]))
    warnings = [
        line
        for line in text.splitlines()
        if (code := re.search(r"\((C75[12]\d)\)", line)) and code[1] not in HARMLESS
    ]
    warnings += [
        line for line in text.splitlines() if "serialized" in line and line not in warnings
    ]
    return list(kernels.values()), warnings


def check_report(name, text):
    """Failures of one report."""
    kernels, warnings = parse_report(text)
    failures = [f"{name}: {warning.strip()}" for warning in warnings]
    for kernel in kernels:
        if kernel.spill_bytes > 0:
            failures.append(f"{name}: {kernel.name} spills {kernel.spill_bytes} bytes")
    return kernels, failures


def parse_machine_code(text):
    """Instructions (opcode without its suffixes: count) of each function of `cuobjdump -sass`."""
    functions = {}
    current = None
    for line in text.splitlines():
        if begin := re.search(r"Function : (\S+)", line):
            current = functions.setdefault(begin[1], {})
        elif current is not None and (
            found := re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)", line)
        ):
            current[found[1]] = current.get(found[1], 0) + 1
    return functions


def check_machine_code(name, text, required):
    """Failures of one object's machine code, of which every kernel must hold what is required."""
    functions = parse_machine_code(text)
    failures = [] if functions else [f"{name}: no machine code in it"]
    for function, instructions in functions.items():
        for opcode, what in required.items():
            if opcode not in instructions:
                failures.append(f"{name}: {function} has no {opcode}, {what}")
        for opcode in LOCAL_MEMORY:
            if opcode in instructions:
                failures.append(f"{name}: {function} has {instructions[opcode]} {opcode}: it spills")
    return functions, failures


def find_disassembler(root):
    """cuobjdump beside nvdisasm: of the PATH, the toolkit, or tools/fetch_disassembler.sh."""
    nvcc = shutil.which("nvcc")
    folders = os.environ.get("PATH", "").split(os.pathsep)
    folders += [str(pathlib.Path(nvcc).resolve().parent)] if nvcc else []
    folders += sorted(str(path) for path in pathlib.Path(root).glob("build/_deps/disassembler-*"))
    for folder in folders:
        if all(shutil.which(tool, path=folder) for tool in ("cuobjdump", "nvdisasm")):
            return pathlib.Path(folder)
    return None


def disassemble(folder, built):
    environment = dict(os.environ, PATH=f"{folder}{os.pathsep}{os.environ.get('PATH', '')}")
    return subprocess.run(
        [str(folder / "cuobjdump"), "-sass", str(built)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout


def compile_to_ptx(build, source_end):
    """PTX of the one source whose name ends so, compiled as the build compiles it."""
    commands = json.loads((build / "compile_commands.json").read_text())
    command = next(c for c in commands if c["file"].endswith(source_end))
    words = shlex.split(command["command"])
    words = words[next(i for i, word in enumerate(words) if re.search(r"(^|/)nvcc$", word)) :]
    words = [w for w in words if not re.match(r"-gencode|--generate-code|-Xptxas", w)]
    with tempfile.TemporaryDirectory() as folder:
        ptx = pathlib.Path(folder) / "kernel.ptx"
        words[words.index("-o") + 1] = str(ptx)
        if "-c" in words:
            words.remove("-c")
        subprocess.run(
            words + ["-ptx", "-arch=compute_90a"],
            check=True,
            capture_output=True,
            cwd=command["directory"],
        )
        return ptx.read_text()
