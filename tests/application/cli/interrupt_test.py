"""Ctrl-C and SIGTERM end the program in order."""

import os
import re
import signal

import program


class InterruptTest(program.ProgramTest):
    def start(self, *arguments):
        process = program.start(*arguments)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def test_generation_ends_its_line_and_prints_statistics(self):
        prompts = ["--prompt", "lighthouse (noun): "] * 1000  # minutes of work
        process = self.start("generate", "--model", program.MODEL, *prompts)
        text = b""
        while b"a strong" not in text:  # so it comes while it is made
            block = os.read(process.stdout.fileno(), 4096)
            self.assertTrue(block, "the program ended before it was interrupted")
            text += block
        process.send_signal(signal.SIGINT)
        text += process.stdout.read()
        statistics = process.stderr.read().decode()
        self.assertEqual(program.INTERRUPTED, process.wait(timeout=60))
        self.assertTrue(text.endswith(b"\n"))
        rows = [line for line in statistics.splitlines() if "tok/s" in line]
        self.assertTrue(1 <= len(rows) < 1000, statistics)
        self.assertRegex(rows[-1], "(stopped|max_new_tokens)$")
        self.assertRegex(statistics, r"cache +4,608 bytes a token")
        self.assertIn("\nkernel ", statistics)

    def test_generation_stops_within_a_long_prompt(self):
        process = self.start(
            *("generate", "--model", program.MODEL, "--max-new-tokens", "1"),
            *["--prompt", "x" * 4000] * 20,
        )
        program.wait_until(lambda: program.catches(process, signal.SIGINT))
        process.send_signal(signal.SIGINT)
        text, statistics = process.communicate(timeout=120)
        self.assertEqual(program.INTERRUPTED, process.returncode)
        self.assertIn(text.count(b"\n"), (0, 1))
        self.assertFalse(re.search(r"error", statistics.decode()), statistics)

    def test_logits_leaves_no_file(self):
        ids = self.write_json("ids.json", [256] + [97] * 4095)
        output = self.folder / "out.npy"
        process = self.start(
            *("logits", "--model", program.MODEL, "--input-ids", ids, "--output", output)
        )
        program.wait_until(lambda: len(os.listdir(self.folder)) > 1)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=120)
        self.assertEqual(program.INTERRUPTED, process.returncode)
        self.assertEqual(f"seesaw: interrupted; {output} was not written\n", message.decode())
        self.assertEqual(["ids.json"], os.listdir(self.folder))

    def test_bench_prints_no_result(self):
        for signal_number, exit_code in (
            (signal.SIGINT, program.INTERRUPTED),
            (signal.SIGTERM, program.TERMINATED),
        ):
            with self.subTest(signal=signal_number):
                process = self.start("bench", "decode", "--repetitions", "1000000")
                program.wait_until(lambda: program.catches(process, signal_number))
                process.send_signal(signal_number)
                text, message = process.communicate(timeout=120)
                self.assertEqual(exit_code, process.returncode)
                self.assertEqual((b"", b"seesaw: interrupted\n"), (text, message))

    def test_second_signal_ends_at_once(self):
        process = self.start("bench", "decode", "--repetitions", "1000000")
        program.wait_until(lambda: program.catches(process, signal.SIGINT))
        process.send_signal(signal.SIGSTOP)  # so that both arrive before anything is done
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        program.wait_until(
            lambda: process.poll() is not None or not program.catches(process, signal.SIGINT)
        )
        process.send_signal(signal.SIGINT)
        self.assertIn(process.wait(timeout=60), (-signal.SIGINT, program.INTERRUPTED))

    def test_ignored_signal_stays_ignored(self):
        ids = self.write_json("ids.json", [256, 97])
        process = program.start(
            *("logits", "--model", program.MODEL, "--input-ids", ids),
            *("--output", self.folder / "out.npy"),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )
        with process:
            program.wait_until(
                lambda: process.poll() is not None or program.catches(process, signal.SIGTERM)
            )
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=120)
        self.assertEqual(program.OK, process.returncode)
        self.assertTrue((self.folder / "out.npy").exists())


if __name__ == "__main__":
    program.main()
