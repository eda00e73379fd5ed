"""Values and files that make no sense: exit code 2, one line that names the culprit."""

import json

import edited_model
import program

BIG = str(10**30)


class BadInputTest(program.ProgramTest):
    def refuse(self, arguments, *fragments, **options):
        with self.subTest(arguments=arguments):
            before = sorted(self.folder.iterdir())
            self.assert_refused(program.run(*arguments, **options), *fragments)
            self.assertEqual(before, sorted(self.folder.iterdir()), "something was left behind")

    def test_generate_values(self):
        for option, value, expected in (
            ("--temperature", "nan", "a number >= 0"),
            ("--temperature", "-0.5", "a number >= 0"),
            ("--temperature", "inf", "a number >= 0"),
            ("--temperature", "warm", "a number >= 0"),
            ("--temperature", "", "a number >= 0"),
            ("--temperature", "1e400", "a number >= 0"),
            ("--top-p", "0", "a number > 0 and <= 1"),
            ("--top-p", "1.0001", "a number > 0 and <= 1"),
            ("--top-p", "-1", "a number > 0 and <= 1"),
            ("--top-p", "nan", "a number > 0 and <= 1"),
            ("--max-new-tokens", "-1", "an integer from 0"),
            ("--max-new-tokens", "1.5", "an integer from 0"),
            ("--max-new-tokens", "0x10", "an integer from 0"),
            ("--max-new-tokens", " 5", "an integer from 0"),
            ("--max-new-tokens", BIG, "an integer from 0"),
            ("--max-new-tokens", "1000000000000", "an integer from 0"),
            ("--seed", "-1", "an integer from 0"),
            ("--seed", BIG, "an integer from 0"),
            ("--threads", "-1", "an integer from 0 to 1024"),
            ("--threads", "1025", "an integer from 0 to 1024"),
            ("--threads", "two", "an integer from 0 to 1024"),
            ("--kv-dtype", "int8", "one of float32, bfloat16, float16"),
            ("--kv-dtype", "fp8_v32", "one of float32, bfloat16, float16"),
        ):
            arguments = ("generate", "--model", program.MODEL, "--prompt", "x", option, value)
            self.refuse(arguments, f'{option}: is "{value}", must be {expected}')

    def test_prompt_longer_than_the_cache(self):
        model = ("generate", "--model", program.MODEL)
        self.refuse(
            (*model, "--prompt", "x" * 4096),
            "--prompt: has 4097 tokens, must have at most 4096",
            "config.json",
        )
        self.refuse((*model, "--prompt", "x", "--prompt", "y" * 5000), "--prompt 2: has 5001")

    def test_prompt_that_fills_the_cache(self):
        model = edited_model.EditedModel(self.folder / "model")
        model.edit_json("config.json", max_position_embeddings=70)  # more than a page
        arguments = ("generate", "--model", model.folder, "--prompt")
        result = program.run(*arguments, "x" * 69)
        self.assert_ok(result)
        self.assertRegex(result.stderr.decode(), r" 70 .* 1 +- +cache_full\n")
        self.refuse((*arguments, "x" * 70), "--prompt: has 71 tokens, must have at most 70")

    def test_model_folder(self):
        missing = self.folder / "missing"
        empty = self.folder / "empty"
        empty.mkdir()
        file = self.folder / "file"
        file.write_text("{}")
        for folder in (missing, empty, file):
            self.refuse(
                ("generate", "--model", folder, "--prompt", "x"), f"{folder}/config.json"
            )
        self.refuse(("generate", "--model", "", "--prompt", "x"), "--model: is empty")

    def test_input_ids(self):
        too_many = "[" + "1," * 4096 + "1]"
        for content, *fragments in (
            ("", "is not JSON"),
            ("[1, 2", "is not JSON"),
            ("[1, 2] 3", "is not JSON"),
            ("[NaN]", "is not JSON"),
            ("\xff", "is not JSON"),
            ('{"ids": [1]}', "is an object, must be a list of token ids"),
            ("7", "is 7, must be a list of token ids"),
            ("null", "is null, must be a list of token ids"),
            ("[]", "has 0 ids, must have from 1 to 4096"),
            (too_many, "has 4097 ids, must have from 1 to 4096"),
            ("[1, 258]", "[1]: is 258, must be an integer from 0 to 257"),
            ("[1, 2, -1]", "[2]: is -1, must be an integer from 0 to 257"),
            ("[1.5]", "[0]: is 1.5"),
            ("[1e2]", "[0]: is 100.0"),
            ('["1"]', '[0]: is "1"'),
            ("[true]", "[0]: is true"),
            ("[null]", "[0]: is null"),
            ("[[1]]", "[0]: is a list"),
            (f"[{BIG}]", "[0]: is 1e+30"),
            ("[18446744073709551615]", "[0]: is 18446744073709551615"),
            ("[" * 100 + "]" * 100, "nests deeper than"),
        ):
            file = self.folder / "ids.json"
            file.write_text(content, encoding="latin1")
            self.refuse(
                ("logits", "--model", program.MODEL, "--input-ids", file)
                + ("--output", self.folder / "out.npy"),
                f"{file}: ",
                *fragments,
            )

    def test_input_ids_that_cannot_be_read(self):
        for file, fragment in (
            (self.folder / "missing.json", "No such file or directory"),
            (self.folder, "Is a directory"),
        ):
            self.refuse(
                ("logits", "--model", program.MODEL, "--input-ids", file)
                + ("--output", self.folder / "out.npy"),
                f"{file}: cannot be read: {fragment}",
            )

    def test_bench_values(self):
        for option, value in (
            ("--batch", "0"),
            ("--batch", "-3"),
            ("--batch", BIG),
            ("--q-len", "0"),
            ("--heads", "0"),
            ("--kv-heads", "0"),
            ("--kv-len", "-1"),
            ("--kv-len", "99999999999"),
            ("--page-size", "0"),
            ("--d-qk", "1025"),
            ("--d-v", "0"),
            ("--repetitions", "-1"),
        ):
            self.refuse(("bench", "decode", option, value), f'{option}: is "{value}", must be')
        for option, value in (
            ("--mode", "quick"),
            ("--isa", "sse"),
            ("--device", "tpu"),
            ("--kv-dtype", "fp8"),
        ):
            self.refuse(("bench", "decode", option, value), f'{option}: is "{value}", must be one of')

    def test_bench_values_that_do_not_fit_together(self):
        bench = ("bench", "decode")
        self.refuse((*bench, "--heads", "10", "--kv-heads", "4"), "--kv-heads: is 4", "--heads = 10")
        self.refuse((*bench, "--d-qk", "64", "--d-v", "65"), "--d-v: is 65", "--d-qk = 64")
        cuda = (*bench, "--device", "cuda")
        self.refuse((*cuda, "--isa", "generic"), "--isa: chooses a CPU kernel")
        self.refuse((*cuda, "--threads", "2"), "--threads: are the CPU's")
        facts = json.loads(program.run("info", "--json").stdout)
        if not facts["built_with_cuda"]:
            self.refuse(cuda, "--device: is cuda", "no CUDA kernels")
        elif not facts["cuda_devices"]:
            self.refuse(cuda, "--device: is cuda", "the driver shows no CUDA device")

    def test_bench_larger_than_the_memory(self):
        self.refuse(
            ("bench", "decode", "--batch", "1048576", "--kv-len", "1073741824")
            + ("--heads", "65536", "--kv-heads", "65536"),
            "the arrays of this size take",
            "must fit 80 % of this machine's",
        )
        self.refuse(("bench", "decode", "--page-size", "1048576", "--batch", "10000"), "must fit")


if __name__ == "__main__":
    program.main()
