"""Progress bars: there where a terminal is, and nowhere else."""

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading

import program

FRAME_START = "\r\x1b[K"


class Terminal:
    """A terminal of a given width whose screen output is collected."""

    def __init__(self, columns):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.output = b""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        while True:
            try:
                block = os.read(self.master, 1 << 16)
            except OSError as error:
                if error.errno != errno.EIO:  # Linux's way to say that the last user is gone
                    raise
                return
            if not block:
                return
            self.output += block

    def finish(self):
        os.close(self.slave)
        self._reader.join()
        os.close(self.master)
        return self.output.decode()


class ProgressTest(program.ProgramTest):
    def run_in_terminal(self, *arguments, columns=100, term="xterm"):
        """(stdout, what stderr showed on the terminal)."""
        terminal = Terminal(columns)
        try:
            result = subprocess.run(
                [program.PROGRAM, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=terminal.slave,
                env={**os.environ, "TERM": term},
                timeout=300,
                check=False,
            )
        finally:
            screen = terminal.finish()
        self.assertEqual(program.OK, result.returncode, screen)
        return result.stdout, screen

    def logits_arguments(self):
        ids = self.write_json("ids.json", [256] + [97] * 599)
        return (
            *("logits", "--model", program.MODEL, "--input-ids", ids),
            *("--output", self.folder / "out.npy"),
        )

    def frames(self, screen):
        """What each redraw showed; after the last one the line must have been wiped."""
        pieces = screen.split(FRAME_START)
        self.assertGreater(len(pieces), 2, screen)
        return pieces[1:-1], pieces[-1]

    def test_bars_on_a_terminal(self):
        _, screen = self.run_in_terminal(*self.logits_arguments())
        frames, rest = self.frames(screen)
        self.assertIn("loading ", frames[0])
        bars = [frame for frame in frames if frame.startswith("computing logits")]
        self.assertTrue(bars, frames)
        for bar in bars:
            self.assertRegex(bar, r"^computing logits \[#*\.*\] +\d+ %  [\d.]+ (ns|us|ms|s)$")
        shares = [int(re.search(r"(\d+) %", bar).group(1)) for bar in bars]
        self.assertEqual(sorted(shares), shares)
        self.assertIn("float32 [600, 258]", rest)
        self.assertNotIn("%", rest)

    def test_bars_fit_a_narrow_terminal(self):
        for columns in (5, 30, 45):
            with self.subTest(columns=columns):
                arguments = ("bench", "decode", "--heads", "2", "--repetitions", "9")
                _, screen = self.run_in_terminal(*arguments, columns=columns)
                frames, _ = self.frames(screen)
                self.assertLess(max(map(len, frames)), columns)

    def test_generation_wipes_its_bar_before_the_text(self):
        text, screen = self.run_in_terminal(
            *("generate", "--model", program.MODEL, "--prompt", "x" * 520),
            *("--max-new-tokens", "3"),
        )
        frames, rest = self.frames(screen)
        self.assertTrue(any(frame.startswith("reading the prompt [") for frame in frames), frames)
        self.assertIn("tok/s", rest)
        self.assertNotIn(b"\x1b", text)

    def test_bench(self):
        text, screen = self.run_in_terminal(
            *("bench", "decode", "--heads", "8", "--repetitions", "20", "--json")
        )
        frames, rest = self.frames(screen)
        self.assertTrue(any(frame.startswith("measuring [") for frame in frames), frames)
        self.assertEqual("", rest)
        self.assertTrue(text.startswith(b"{"))

    def test_no_bars_without_a_terminal(self):
        for arguments in (
            self.logits_arguments(),
            ("bench", "decode", "--heads", "2", "--repetitions", "5"),
            ("generate", "--model", program.MODEL, "--prompt", "x", "--max-new-tokens", "2"),
        ):
            result = program.run(*arguments)
            self.assert_ok(result)
            for output in (result.stdout, result.stderr):
                self.assertNotIn(b"\r", output)
                self.assertNotIn(b"\x1b", output)

    def test_no_bars_on_a_dumb_terminal(self):
        arguments = ("bench", "decode", "--heads", "2", "--repetitions", "9")
        _, screen = self.run_in_terminal(*arguments, term="dumb")
        self.assertNotIn("\x1b", screen)
        self.assertNotIn("%", screen)


if __name__ == "__main__":
    program.main()
