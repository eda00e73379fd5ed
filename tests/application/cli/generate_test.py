"""seesaw generate: the text, the statistics, and how they arrive."""

import os
import pathlib
import re
import shlex
import subprocess

import program

SHORT = program.GOLDEN["short"]
PROMPT = bytes(SHORT["input_ids"][1:])  # without the begin token, which the program adds
COMPLETION = bytes(SHORT["greedy_64"])


def generate(*arguments, prompt=PROMPT, **options):
    return program.run("generate", "--model", program.MODEL, "--prompt", prompt, *arguments, **options)


class GenerateTest(program.ProgramTest):
    def test_greedy_text_is_the_golden_one(self):
        self.assertEqual(PROMPT, b"lighthouse (noun): ")
        result = generate("--kv-dtype", "float32")
        self.assert_ok(result)
        self.assertEqual(COMPLETION + b"\n", result.stdout)

    def test_every_cache_type_and_thread_count_completes(self):
        for arguments in (["--kv-dtype", "bfloat16"], ["--kv-dtype", "float16"], ["--threads", "1"]):
            with self.subTest(arguments=arguments):
                result = generate("--max-new-tokens", "16", *arguments)
                self.assert_ok(result)
                self.assertEqual(COMPLETION[:16] + b"\n", result.stdout)

    def test_statistics_say_what_was_asked(self):
        result = generate("--max-new-tokens", "8", "--threads", "1", "--kv-dtype", "bfloat16")
        self.assert_ok(result)
        statistics = result.stderr.decode()
        headings, row = statistics.strip().splitlines()[:2]
        self.assertRegex(headings, r"prompt tokens +time to first token +prefill +new tokens +decode")
        self.assertRegex(row, r"^ *20 +[\d.,]+ (us|ms|s) +[\d.,]+ tok/s +8 +[\d.,]+ tok/s +max_new")
        # 4 layers x 576 against 4 layers x 8 heads x (192 + 128), two bytes each
        self.assertIn("4,608 bytes a token (bfloat16)", statistics)
        self.assertIn("plain multi-head attention would need 20,480, 4.44 times", statistics)
        self.assertRegex(statistics, r"kernel +cpu_\w+ on .+, 1 thread\n")

    def test_ends_at_the_end_token(self):
        result = generate("--max-new-tokens", "1000", "--kv-dtype", "float32")
        self.assert_ok(result)
        self.assertTrue(result.stdout.startswith(COMPLETION))
        self.assertIn("eos", result.stderr.decode())

    def test_no_new_tokens(self):
        result = generate("--max-new-tokens", "0")
        self.assert_ok(result)
        self.assertEqual(b"\n", result.stdout)
        self.assertRegex(result.stderr.decode(), r"\n *20 +- +[\d.,]+ tok/s +0 +- +max_new_tokens")

    def test_seed_decides_the_text(self):
        def sample(seed):
            result = generate(
                *("--temperature", "1.2", "--top-p", "0.95", "--seed", seed),
                *("--max-new-tokens", "40"),
            )
            self.assert_ok(result)
            return result.stdout

        texts = [sample(seed) for seed in ("1", "1", "2", "3")]
        self.assertEqual(texts[0], texts[1])
        self.assertGreater(len(set(texts)), 1)

    def test_tiny_top_p_is_greedy(self):
        result = generate(
            *("--temperature", "2", "--top-p", "1e-9", "--max-new-tokens", "24"),
            *("--kv-dtype", "float32"),
        )
        self.assert_ok(result)
        self.assertEqual(COMPLETION[:24] + b"\n", result.stdout)

    def test_several_prompts_stand_before_their_completions(self):
        other = b"[a, b] --top-p {} "  # what option parsers like to take apart
        result = generate("--prompt", other, "--max-new-tokens", "12", "--kv-dtype", "float32")
        self.assert_ok(result)
        first_line = PROMPT + COMPLETION[:12] + b"\n"
        self.assertTrue(result.stdout.startswith(first_line + other), result.stdout)
        self.assertTrue(result.stdout.endswith(b"\n"))
        self.assertEqual(2, len(re.findall(r"tok/s.*max_new_tokens", result.stderr.decode())))

    def test_value_after_an_equals_sign(self):
        arguments = ("generate", f"--model={program.MODEL}", "--kv-dtype=float32")
        for prompt in ("", "a=b", "--x=", "--prompt="):
            with self.subTest(prompt=prompt):
                whole = program.run(*arguments, f"--prompt={prompt}", "--max-new-tokens=3")
                split = program.run(*arguments, "--prompt", prompt, "--max-new-tokens", "3")
                self.assert_ok(whole)
                self.assertEqual(split.stdout, whole.stdout)
                self.assertEqual(split.returncode, whole.returncode)

    def test_prompts_do_not_change_each_other(self):
        prompts = [PROMPT, b"slowly (adverb): ", b"owl (noun): "]
        arguments = ("--max-new-tokens", "20", "--temperature", "0.9", "--seed", "5")
        alone = [generate(*arguments, prompt=prompt).stdout for prompt in prompts]
        more = [text for prompt in prompts[1:] for text in ("--prompt", prompt)]
        together = generate(*more, *arguments)
        self.assert_ok(together)
        expected = b"".join(prompt + text for prompt, text in zip(prompts, alone))
        self.assertEqual(expected, together.stdout)

    def test_any_bytes_are_a_prompt(self):
        for prompt in (b"", b"\xff\xfe\x80", b"caf\xc3", "日本".encode(), b"-- dashes", b"\n\t"):
            with self.subTest(prompt=prompt):
                result = generate("--max-new-tokens", "4", prompt=prompt)
                self.assert_ok(result)
                result.stdout.decode("utf-8", errors="strict")

    def test_no_character_is_split(self):
        # Uniformly random bytes: most are no UTF-8, and some begin characters that others end.
        process = program.start(
            *("generate", "--model", program.MODEL, "--prompt", b"\xc3", "--prompt", b"x\xe2\x82"),
            *("--temperature", "1000", "--seed", "3"),
            *("--max-new-tokens", str(program.run_size(1500, 400))),
        )
        with process:
            text = ""
            while chunk := os.read(process.stdout.fileno(), 1 << 16):
                text += chunk.decode("utf-8", errors="strict")
            process.stderr.read()
        self.assertEqual(program.OK, process.returncode)
        self.assertIn("\ufffd", text)

    def test_full_output_is_an_error(self):
        if not pathlib.Path("/dev/full").exists():
            self.skipTest("this system has no /dev/full")
        with open("/dev/full", "wb") as full:
            for arguments in (
                ("generate", "--model", program.MODEL, "--prompt", "x"),
                ("info",),
                ("--help",),
                ("--version",),
            ):
                with self.subTest(arguments=arguments):
                    result = program.run(*arguments, stdout=full)
                    self.assert_refused(result, "standard output: No space left on device")

    def test_standard_output_that_is_closed(self):
        result = program.run("info", preexec_fn=lambda: os.close(1))
        self.assert_refused(result, "standard output: Bad file descriptor")

    def test_messages_that_cannot_be_written_change_nothing(self):
        command = f"exec {shlex.quote(program.PROGRAM)} \"$@\" "
        for redirection in ("2>&-", "2>/dev/full"):
            for arguments, exit_code in (
                (("generate", "--model", program.MODEL, "--prompt", PROMPT), program.OK),
                (("generate", "--model", "missing", "--prompt", PROMPT), program.BAD_INPUT),
                (("info", "--fly"), program.BAD_INPUT),
            ):
                with self.subTest(redirection=redirection, arguments=arguments):
                    script = ["bash", "-c", command + redirection, "seesaw", *arguments]
                    result = subprocess.run(script, capture_output=True, check=False)
                    self.assertEqual(exit_code, result.returncode)
                    self.assertEqual(COMPLETION + b"\n" if exit_code == program.OK else b"", result.stdout)

    def test_closed_output_ends_the_program(self):
        process = program.start(
            *("generate", "--model", program.MODEL, "--max-new-tokens", "200"),
            *["--prompt", "word (noun): "] * 300,
        )
        with process:
            process.stdout.read(1)
            process.stdout.close()
            process.stderr.read()
            self.assertNotEqual(program.OK, process.wait(timeout=120))


if __name__ == "__main__":
    program.main()
