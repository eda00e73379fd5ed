"""The rules of docs/architecture.md as data, and the check that a source tree keeps them."""

import dataclasses
import pathlib
import re

SOURCE_SUFFIXES = {".h", ".c", ".cc", ".cu", ".cuh"}


@dataclasses.dataclass(frozen=True)
class Layer:
    """Files under `folder`, and the layers they may include."""

    name: str
    folder: str
    may_include: tuple
    extra_headers: tuple = ()  # single headers of other layers, each with its reason beside it


# The longest folder that fits a file names its layer.
LAYERS = (
    Layer("types", "include/seesaw/types/", ("types",)),
    Layer("public", "include/seesaw/", ("types", "public")),
    Layer("algorithm", "src/algorithm/", ("types", "algorithm")),
    Layer("scheduling", "src/scheduling/", ("types", "algorithm", "scheduling")),
    # The public headers whose verbs belong to the hardware: they are implemented there.
    Layer(
        "hardware",
        "src/hardware/",
        ("types", "algorithm", "hardware"),
        ("seesaw/executor.h", "seesaw/device.h", "seesaw/device_memory.h"),
    ),
    Layer(
        "system",
        "src/system/",
        ("types", "public", "algorithm", "scheduling", "hardware", "system"),
    ),
    Layer("application", "src/application/", ("types", "public", "application")),
    Layer("examples", "examples/", ("types", "public")),
)


@dataclasses.dataclass(frozen=True)
class Confinement:
    """What only some folders may use: a header, or a word in the code."""

    what: str
    folders: tuple
    header: str = r"(?!)"
    word: str = r"(?!)"


LIBRARY = ("include/", "src/algorithm/", "src/scheduling/", "src/hardware/", "src/system/")

CONFINEMENTS = (
    Confinement(
        "CPU intrinsics",
        ("src/hardware/cpu/",),
        header=r"([a-z]mm|x86|x86gpr)intrin\.h|arm_(neon|sve|bf16|fp16)\.h",
        word=r"\b(_mm\w*_\w+|__builtin_ia32_\w+|v\w+q_[fsu](16|32|64))\s*\(",
    ),
    Confinement("cpuid", ("src/hardware/device/", "src/hardware/cpu/"), header=r"cpuid\.h"),
    Confinement(
        "the CUDA runtime",
        ("src/hardware/", "src/system/"),
        header=r"(cuda|cublas|curand|nvrtc|nvtx|nccl).*",
        word=r"\bcuda[A-Z]\w*\s*\(",
    ),
    Confinement(
        "CuTe and CUTLASS",
        ("src/hardware/sm90/", "src/hardware/portable/"),
        header=r"(cute|cutlass)/.*",
    ),
    Confinement("PyTorch", (), header=r"(torch|ATen|c10)/.*"),
    Confinement(
        "BLAS, oneDNN, command-line and JSON libraries",
        ("src/application/",),
        header=r"(openblas/)?cblas\.h|f77blas\.h|dnnl.*|oneapi/.*|CLI/.*|nlohmann/.*|spdlog/.*",
    ),
)

# A library returns a Status; only programs talk to a terminal or end a process.
FORBIDDEN_IN_LIBRARY = re.compile(
    r"\bstd::(cout|cerr|clog|exit|abort|terminate|quick_exit|print(ln)?)\b"
    r"|(?<![\w:.>])(printf|fprintf|puts|abort|exit|_exit)\s*\("
    r"|\bfmt::print(ln)?\b"
)

FORBIDDEN_NAME_PARTS = {"fast", "new", "v2", "helper", "helpers", "util", "utils"}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
STANDARD_HEADER = re.compile(r"[a-z_]+|std(arg|bool|def|int|io|lib)\.h|string\.h|math\.h|limits\.h")


def layer_of(path):
    """The layer of a path such as "src/system/plan.cc"; None outside all of them."""
    fitting = [layer for layer in LAYERS if path.startswith(layer.folder)]
    return max(fitting, key=lambda layer: len(layer.folder), default=None)


def without_comments_and_strings(text):
    """The code alone, line by line as it was."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.S)

    def blank(match):
        token = match.group(0)
        return token if token[0] in "\"'" and len(token) == 2 else re.sub(r"[^\n]", " ", token)

    return pattern.sub(blank, text)


class Tree:
    """The sources of one tree, the errors found in them, and who includes whom."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.files = sorted(
            file.relative_to(self.root).as_posix()
            for top in ("include", "src", "examples")
            for file in (self.root / top).rglob("*")
            if file.suffix in SOURCE_SUFFIXES
        )
        self.errors = []
        self.includes = {}  # file -> the project's own headers it includes

    def check(self):
        """All violations as "file:line: what"; empty where every rule is kept."""
        for path in self.files:
            self.includes[path] = []
            self._check_name(path)
            text = (self.root / path).read_text(encoding="utf-8")
            code = without_comments_and_strings(text).splitlines()
            for number, line in enumerate(text.splitlines(), start=1):
                found = INCLUDE.match(line)
                if found:
                    self._check_include(path, number, found.group(1) == '"', found.group(2))
                else:
                    self._check_code(path, number, code[number - 1])
        self._check_cycles()
        return self.errors

    def _error(self, path, number, what):
        self.errors.append(f"{path}:{number}: {what}")

    def _check_name(self, path):
        parts = set(re.split(r"[/_.\-]", path))
        for part in sorted(parts & FORBIDDEN_NAME_PARTS):
            self._error(path, 0, f'"{part}" in a name says nothing about what the file holds')

    def _check_include(self, path, number, quoted, header):
        for rule in CONFINEMENTS:
            if re.fullmatch(rule.header, header) and not path.startswith(rule.folders or ("\0",)):
                self._error(path, number, f"includes <{header}>: {rule.what} {allowed_in(rule)}")
        layer = layer_of(path)
        if not quoted:
            if header.startswith("seesaw/"):
                self._error(path, number, f"includes <{header}>: the project's own take quotes")
            is_public = layer and layer.name in ("types", "public")
            if is_public and not STANDARD_HEADER.fullmatch(header):
                self._error(
                    path, number, f"includes <{header}>: public headers take only standard ones"
                )
            return
        target = self._resolve(path, number, header)
        if target is None or layer is None:
            return
        self.includes[path].append(target)
        target_layer = layer_of(target)
        if header in layer.extra_headers:
            return
        if target_layer is None or target_layer.name not in layer.may_include:
            self._error(
                path,
                number,
                f'includes "{header}": {layer.name} may include {", ".join(layer.may_include)}',
            )

    def _resolve(self, path, number, header):
        if ".." in header.split("/"):
            self._error(path, number, f'includes "{header}": name it from include/ or src/')
            return None
        # The application is compiled with a root of its own, so that it cannot reach a layer.
        is_application = path.startswith("src/application/")
        tops = ("include", "src/application") if is_application else ("include", "src")
        for top in tops:
            if (self.root / top / header).is_file():
                return f"{top}/{header}"
        self._error(path, number, f'includes "{header}": no such file under {" or ".join(tops)}')
        return None

    def _check_code(self, path, number, code):
        for rule in CONFINEMENTS:
            found = re.search(rule.word, code)
            if found and not path.startswith(rule.folders or ("\0",)):
                name = found.group(0).strip(" (")
                self._error(path, number, f"uses {name}: {rule.what} {allowed_in(rule)}")
        if path.startswith(LIBRARY):
            found = FORBIDDEN_IN_LIBRARY.search(code)
            if found:
                name = found.group(0).strip(" (")
                self._error(
                    path, number, f"uses {name}: the library never prints or ends the process"
                )

    def _check_cycles(self):
        done = set()

        def visit(path, trail):
            if path in trail:
                cycle = trail[trail.index(path) :] + [path]
                self._error(path, 0, "includes itself: " + " -> ".join(cycle))
            elif path not in done:
                for target in self.includes.get(path, ()):
                    visit(target, trail + [path])
                done.add(path)

        for path in self.files:
            visit(path, [])


def allowed_in(rule):
    return f"belongs in {' and '.join(rule.folders)} only" if rule.folders else "is not used here"
