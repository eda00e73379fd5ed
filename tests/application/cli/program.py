"""The program under test and the files it is tested with."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.environ["SEESAW_PROGRAM"]
SOURCES = pathlib.Path(os.environ["SEESAW_SOURCES"])
MODEL = SOURCES / "models" / "tiny-deepseek-v3"
GOLDEN = json.loads((SOURCES / "tests" / "golden" / "logits_public.json").read_text())
GOLDEN_LOGITS = SOURCES / "tests" / "golden" / "logits_public.safetensors"

IS_SANITIZED = bool({"ASAN_OPTIONS", "TSAN_OPTIONS"} & os.environ.keys())


def run_size(full, reduced):
    """How much a test does: under a sanitizer, which slows every instruction, the smaller."""
    return reduced if IS_SANITIZED else full


OK, BAD_INPUT, INTERRUPTED, TERMINATED = 0, 2, 130, 143


def run(*arguments, environment=None, **options):
    """Runs the program to its end; stdout and stderr are bytes."""
    return subprocess.run(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        timeout=500,
        check=False,
        **options,
    )


def start(*arguments, **options):
    """Starts the program with pipes that hand out bytes as they come."""
    return subprocess.Popen(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=options.pop("stderr", subprocess.PIPE),
        bufsize=0,
        **options,
    )


def wait_until(condition, seconds=120.0):
    """Waits for condition() to hold; fails where it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing happened within {seconds} s")
        time.sleep(0.002)


def catches(process, signal_number):
    """Whether the process has put its own handler in place."""
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "SigCgt":
            return bool(int(value, 16) >> (signal_number - 1) & 1)
    return False


class ProgramTest(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write_json(self, name, value):
        path = self.folder / name
        path.write_text(json.dumps(value))
        return path

    def assert_ok(self, result):
        self.assertEqual(OK, result.returncode, result.stderr.decode(errors="replace"))

    def assert_refused(self, result, *fragments):
        """Exit code 2, nothing on stdout, one line on stderr that holds every fragment."""
        error = result.stderr.decode(errors="replace")
        self.assertEqual(BAD_INPUT, result.returncode, error)
        self.assertIn(result.stdout, (b"", None))
        self.assertTrue(error.startswith("seesaw: error: "), error)
        self.assertEqual(1, error.count("\n"), error)
        for fragment in fragments:
            self.assertIn(fragment, error)


def main():
    # Ctrl-C is part of what is tested: children must not inherit that it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
