"""Checkpoints that are broken or not supported: exit code 2, file and field named."""

import json
import struct

import array_files
import edited_model
import program

SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"


class BadModelTest(program.ProgramTest):
    def setUp(self):
        super().setUp()
        self.model = edited_model.EditedModel(self.folder / "model")

    def refuse(self, *fragments):
        """Both commands refuse the model, and logits writes nothing."""
        self.assert_refused(
            program.run("generate", "--model", self.model.folder, "--prompt", "x"), *fragments
        )
        ids = self.write_json("ids.json", [256])
        output = self.folder / "out.npy"
        before = sorted(self.folder.iterdir())
        self.assert_refused(
            program.run(
                *("logits", "--model", self.model.folder, "--input-ids", ids, "--output", output)
            ),
            *fragments,
        )
        self.assertEqual(before, sorted(self.folder.iterdir()), "something was left behind")

    def test_the_untouched_model_runs(self):
        self.assert_ok(
            program.run(
                *("generate", "--model", self.model.folder, "--prompt", "x", "--max-new-tokens", "1")
            )
        )

    def test_missing_shard(self):
        self.model.remove(SHARDS[1])
        self.refuse(SHARDS[1], "No such file")

    def test_missing_index(self):
        self.model.remove(INDEX)
        self.refuse("model.safetensors")

    def test_index_that_leaves_the_folder(self):
        index = json.loads((program.MODEL / INDEX).read_text())
        name = next(iter(index["weight_map"]))
        index["weight_map"][name] = "../elsewhere.safetensors"
        self.model.replace(INDEX, json.dumps(index).encode())
        self.refuse(INDEX, name)

    def test_truncated_shard(self):
        self.model.replace(SHARDS[0], (program.MODEL / SHARDS[0]).read_bytes()[:-100])
        self.refuse(SHARDS[0])

    def test_empty_shard(self):
        self.model.replace(SHARDS[0], b"")
        self.refuse(SHARDS[0])

    def test_header_longer_than_the_file(self):
        data = (program.MODEL / SHARDS[0]).read_bytes()
        for length in (len(data) - 7, 2**31, 2**63, 2**64 - 1):
            with self.subTest(length=length):
                self.model.replace(SHARDS[0], struct.pack("<Q", length) + data[8:])
                self.refuse(SHARDS[0], "header")

    def test_header_that_is_no_json(self):
        text = b"{" * 64
        self.model.replace(SHARDS[0], struct.pack("<Q", len(text)) + text)
        self.refuse(SHARDS[0])

    def test_tensors_that_overlap(self):
        def edit(header):
            names = [name for name in header if name != "__metadata__"]
            by_begin = sorted(names, key=lambda name: header[name]["data_offsets"][0])
            first, second = by_begin[:2]
            begin, end = header[first]["data_offsets"]
            size = header[second]["data_offsets"][1] - header[second]["data_offsets"][0]
            header[second]["data_offsets"] = [end - 2, end - 2 + size]

        self.model.edit_header(SHARDS[0], edit)
        self.refuse(SHARDS[0])

    def test_tensor_outside_the_file(self):
        def edit(header):
            names = [name for name in header if name != "__metadata__"]
            last = max(names, key=lambda name: header[name]["data_offsets"][1])
            begin, end = header[last]["data_offsets"]
            header[last]["data_offsets"] = [begin + 4096, end + 4096]

        self.model.edit_header(SHARDS[0], edit)
        self.refuse(SHARDS[0])

    def test_wrong_shape(self):
        def edit(header):
            rows, cols = header["model.embed_tokens.weight"]["shape"]
            header["model.embed_tokens.weight"]["shape"] = [rows * 2, cols // 2]

        self.model.edit_header(SHARDS[0], edit)
        self.refuse(SHARDS[0], "model.embed_tokens.weight", "[516, 160]", "[258, 320]")

    def test_wrong_dtype(self):
        def edit(header):
            header["model.embed_tokens.weight"]["dtype"] = "I16"

        self.model.edit_header(SHARDS[0], edit)
        self.refuse(SHARDS[0], "model.embed_tokens.weight", "I16")

    def test_missing_tensor(self):
        def edit(header):
            header["model.another.weight"] = header.pop("model.embed_tokens.weight")

        self.model.edit_header(SHARDS[0], edit)
        self.refuse("model.embed_tokens.weight")

    def test_weights_that_are_no_numbers(self):
        for shard in SHARDS:
            header, body = array_files.split_safetensors((program.MODEL / shard).read_bytes())
            nan = b"\xff" * len(body)
            self.model.replace(shard, array_files.join_safetensors(header, nan))
        self.refuse(f"{self.model.folder}: ", "logits[0]: is nan, must be finite")

    def test_config(self):
        for field, value in (
            ("model_type", "llama"),
            ("hidden_act", "gelu"),
            ("kv_lora_rank", "512"),
            ("num_experts_per_tok", 9),
            ("hidden_size", -1),
            ("vocab_size", ...),
            ("num_attention_heads", 0),
            ("n_group", 3),
        ):
            with self.subTest(field=field, value=value):
                self.model.edit_json("config.json", **{field: value})
                self.refuse("config.json: ", f"{field}: ")

    def test_config_that_contradicts_the_tensors(self):
        self.model.edit_json("config.json", intermediate_size=448)
        self.refuse("mlp", "[896, 320]", "[448, 320]")

    def test_config_that_is_no_json(self):
        self.model.replace("config.json", b'{"model_type": "deepseek_v3",')
        self.refuse("config.json: is not JSON")

    def test_text_needs_tokens_that_are_bytes(self):
        (self.model.folder / "tokenizer.json").write_text("{}")
        result = program.run("generate", "--model", self.model.folder, "--prompt", "x")
        self.assert_refused(result, "tokenizer.json: tokenizer files are not supported")


if __name__ == "__main__":
    program.main()
