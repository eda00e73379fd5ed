"""--help, --version and usage errors; that the examples of --help and docs/cli.md work."""

import re
import shlex
import subprocess
import unittest

import program

COMMANDS = (
    (),
    ("generate",),
    ("logits",),
    ("bench",),
    ("bench", "decode"),
    ("info",),
)
DOCUMENT = program.SOURCES / "docs" / "cli.md"


def help_of(command):
    result = program.run(*command, "--help")
    return result.returncode, result.stdout.decode(), result.stderr


def options_in(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def example_lines(text):
    """The commands that a text shows, each on one line."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if re.match(r" +(seesaw|echo) ", line)]


class UsageTest(program.ProgramTest):
    def test_help_teaches(self):
        for command in COMMANDS:
            with self.subTest(command=command):
                exit_code, text, error = help_of(command)
                self.assertEqual((program.OK, b""), (exit_code, error))
                self.assertIn("Usage: seesaw", text)
                self.assertRegex(text, r"Examples?:\n  (echo|seesaw)")
                self.assertLessEqual(max(map(len, text.splitlines())), 100)

    def test_top_help_lists_exit_codes(self):
        text = help_of(())[1]
        self.assertRegex(text, r"Exit codes: 0 .*1 .*2 .*\n.*130 .*143 ")

    def test_short_help(self):
        self.assertEqual(help_of(("info",))[1], program.run("info", "-h").stdout.decode())

    def test_version(self):
        result = program.run("--version")
        self.assert_ok(result)
        header = (program.SOURCES / "include" / "seesaw" / "version.h").read_text()
        version = re.search(r'SEESAW_VERSION "([\d.]+)"', header).group(1)
        self.assertEqual(f"seesaw {version}\n".encode(), result.stdout)

    def test_document_names_every_option_and_no_other(self):
        offered = set().union(*(options_in(help_of(command)[1]) for command in COMMANDS))
        text = re.sub(r"`cmake [^`]*`", "", DOCUMENT.read_text())
        self.assertEqual(offered, options_in(text))

    @unittest.skipIf(
        program.IS_SANITIZED,
        "under a sanitizer the other tests run the commands, at sizes for it",
    )
    def test_examples_work(self):
        (self.folder / "models").symlink_to(program.SOURCES / "models")
        texts = [help_of(command)[1] for command in COMMANDS] + [DOCUMENT.read_text()]
        lines = list(dict.fromkeys(line for text in texts for line in example_lines(text)))
        self.assertGreater(len(lines), 10)
        for line in lines:
            with self.subTest(line=line):
                script = f"seesaw() {{ {shlex.quote(program.PROGRAM)} \"$@\"; }}\n{line}"
                result = subprocess.run(
                    ["bash", "-c", script], cwd=self.folder, capture_output=True, check=False
                )
                self.assertEqual(program.OK, result.returncode, result.stderr.decode())

    def test_usage_errors(self):
        for arguments, fragments in (
            ((), ['"seesaw" needs a command', "see seesaw --help"]),
            (("bench",), ['"seesaw bench" needs a command', "see seesaw bench --help"]),
            (("fly",), ['fly: is no command of "seesaw"']),
            (("bench", "prefill"), ['prefill: is no command of "seesaw bench"']),
            (("--fly",), ['--fly: is no option of "seesaw"']),
            (("info", "--fly"), ['--fly: is no option of "seesaw info"', "see seesaw info --help"]),
            (("info", "-x"), ['-x: is no option of "seesaw info"']),
            (("info", "more"), ["more: is one argument too many"]),
            (("info", "--json=true"), ["true: is one argument too many"]),
            (("generate",), ["--model", "required"]),
            (("generate", "--modle", "x"), ['--modle: is no option of "seesaw generate"']),
            (("generate", "--model", "x"), ["--prompt", "required"]),
            (("generate", "--model"), ["--model"]),
            (("logits", "--model", "x", "--input-ids", "y"), ["--output", "required"]),
            (("bench", "decode", "--threads", "1", "--threads=2"), ["--threads: is given 2 times"]),
            (("generate", "--model", "x", "--model", "y"), ["--model: is given 2 times"]),
            (("generate", "--prompt=", "--threads=-1"), ['--threads: is "-1"']),
            (("generate", "--model="), ["--model: is empty"]),
            (("bench", "decode", "--new\nline"), ["--new\\nline"]),
        ):
            with self.subTest(arguments=arguments):
                self.assert_refused(program.run(*arguments), *fragments)


if __name__ == "__main__":
    program.main()
