"""Takes each barrier, fence and wait out of the kernels in turn: the emulated tests must notice.

    python3 tests/emulator/remove_synchronization.py BUILD_FOLDER [NUMBER...]

BUILD_FOLDER is one in which seesaw_emulated_gpu_tests has been built (build/cuda). Prints a line for
each place, and at the end those whose absence no test noticed: either a test is missing, or the
kernel can do without.
"""

import argparse
import dataclasses
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = (
    "MergeOrder.PiecesAtBothEndsOfARange:MergeOrder.TwoBlocksAGroup:Kernels/Small.WholeSequences/*:"
    "Kernels/Small.SequencesCutByRanges/*:Kernels/Small.ManyTilesABlock/*:"
    "Kernels/Small.CausalRowTiles/*:Kernels/Small.PageSizes/*:Kernels/Small.PiecesByLengthAlone/*:"
    "Kernels/Small.ManyPieces/*:Combine.MorePiecesThanThreads:"
    "Combine.FewWorkers*:SmallDevicePlanner.PlansAsTheHost"
)
SYNCHRONIZES = re.compile(
    r"(?:ptx::)?(?:sync_\w+|arrive\w*|wait\w*|fence_\w+|begin_products|commit_copies|barrier)"
    r"(?:<[^<>]*>)?\(|__sync(?:warp|threads)\(|cuda::wait_for_previous_kernel\("
)
TIMEOUT_S = 400


@dataclasses.dataclass(frozen=True)
class Kernel:
    """Device code, and the source that is compiled again without a statement of it."""

    files: str
    source: str


KERNELS = (
    Kernel(
        "hardware/sm90/decode_dense/*.cuh",
        "hardware/sm90/decode_dense/instances/bfloat16_576_512.cu",
    ),
    Kernel(
        "hardware/portable/decode_dense/*.cuh", "hardware/portable/decode_dense/bfloat16.cu"
    ),
    Kernel("hardware/cuda/combine.cu", "hardware/cuda/combine.cu"),
    Kernel("system/device_planner.cu", "system/device_planner.cu"),
)


@dataclasses.dataclass(frozen=True)
class Place:
    """A statement that is one call."""

    kernel: Kernel
    file: str  # from src/
    begin: int
    end: int
    line: int
    text: str


def places_in(kernel):
    """Every call that synchronizes and whose value is not used."""
    for path in sorted((ROOT / "src").glob(kernel.files)):
        code = path.read_text()
        for match in SYNCHRONIZES.finditer(code):
            before = code[code.rfind("\n", 0, match.start()) + 1 : match.start()]
            if not re.fullmatch(r"\s*(if \(.*\) |\} else )?", before):
                continue
            end = match.end()
            depth = 1
            while depth:
                depth += {"(": 1, ")": -1}.get(code[end], 0)
                end += 1
            if code[end] != ";":
                continue
            text = re.sub(r"\s+", " ", code[match.start() : end])
            line = code.count("\n", 0, match.start()) + 1
            yield Place(
                kernel,
                path.relative_to(ROOT / "src").as_posix(),
                match.start(),
                end,
                line,
                text,
            )


class Build:
    """The commands that made the test program."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        listing = ["ninja", "-C", self.folder, "-t", "commands", "seesaw_emulated_gpu_tests"]
        self.commands = subprocess.run(
            listing, check=True, capture_output=True, text=True
        ).stdout.splitlines()
        self.link = next(c for c in self.commands if "-o tests/emulator/seesaw_emulated" in c)

    def without(self, place, scratch):
        """The test program without the statement, in the folder `scratch`."""
        changed = scratch / place.file
        changed.parent.mkdir(parents=True)
        code = (ROOT / "src" / place.file).read_text()
        changed.write_text(code[: place.begin] + "((void)0)" + code[place.end :])
        compile_it = next(
            c
            for c in self.commands
            if f"{place.kernel.source}.o " in c and "-fsanitize=thread" in c
        )
        made = re.search(r"-o (\S+)", compile_it).group(1)
        shadow = f"-I{ROOT}/tests/emulator/shadow"
        assert shadow in compile_it, compile_it
        command = compile_it.replace(made, f"{scratch}/kernel.o").replace(
            shadow, f"-I{scratch} {shadow}", 1
        )
        if place.file == place.kernel.source:
            command = command.replace(f"{ROOT}/src/{place.file}", str(changed))
        subprocess.run(command, shell=True, check=True, cwd=self.folder, capture_output=True)
        # First, so that what several objects have is taken from this one.
        link = self.link.replace(f" {made}", "", 1)
        link = link.replace(
            " tests/emulator/CMakeFiles/", f" {scratch}/kernel.o tests/emulator/CMakeFiles/", 1
        )
        link = link.replace("-o tests/emulator/seesaw_emulated_gpu_tests", f"-o {scratch}/tests")
        subprocess.run(link, shell=True, check=True, cwd=self.folder, capture_output=True)
        return scratch / "tests"


def why_it_fails(program):
    """What the tests say first; nothing if they pass."""
    command = [program, f"--gtest_filter={TESTS}", "--gtest_fail_fast"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return "runs forever"
    if run.returncode == 0:
        return ""
    said = [line for line in run.stdout.splitlines() if re.match(r"\w+, block|\w+: block", line)]
    wrong = [line.strip() for line in run.stdout.splitlines() if "Actual: false" in line]
    return (said or wrong or [f"ends with {run.returncode}"])[0]


def main():
    """Returns how many places no test noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="folder in which seesaw_emulated_gpu_tests has been built")
    parser.add_argument("numbers", nargs="*", type=int, help="of the places to try; all by default")
    args = parser.parse_args()
    build = Build(args.build)
    places = [place for kernel in KERNELS for place in places_in(kernel)]
    unnoticed = []
    for number in args.numbers or range(len(places)):
        place = places[number]
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            why = why_it_fails(build.without(place, pathlib.Path(scratch)))
        seconds = time.monotonic() - started
        where = f"{place.file}:{place.line}: {place.text}"
        print(f"{number} {where}: {why or 'NOT NOTICED'} ({seconds:.0f} s)", flush=True)
        if not why:
            unnoticed.append(where)
    print(f"{len(unnoticed)} of {len(args.numbers or places)} were not noticed:")
    print("\n".join(unnoticed))
    return len(unnoticed)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
