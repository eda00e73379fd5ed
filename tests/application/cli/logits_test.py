"""seesaw logits: the values, the file, and that it is written whole or not at all."""

import os
import resource

import array_files
import program

MAX_ERROR = 5e-3


class LogitsTest(program.ProgramTest):
    def compute(self, ids, *arguments, output=None, **options):
        return program.run(
            *("logits", "--model", program.MODEL, "--output", output or self.folder / "out.npy"),
            *("--input-ids", self.write_json("ids.json", ids)),
            *arguments,
            **options,
        )

    def assert_only_inputs_left(self):
        self.assertEqual(["ids.json"], sorted(os.listdir(self.folder)))

    def test_golden_logits(self):
        for name in ("short", "medium"):
            with self.subTest(name=name):
                ids = program.GOLDEN[name]["input_ids"]
                self.assert_ok(self.compute(ids, "--kv-dtype", "float32"))
                shape, values = array_files.read_npy(self.folder / "out.npy")
                golden_shape, golden = array_files.read_safetensors_f32(
                    program.GOLDEN_LOGITS, f"{name}.logits"
                )
                self.assertEqual(golden_shape, shape)
                self.assertEqual((len(ids), 258), shape)
                worst = max(abs(a - b) for a, b in zip(values, golden))
                self.assertLess(worst, MAX_ERROR)

    def test_chunks_fit_together(self):
        # More tokens than prefill takes at once: the first rows must not depend on what follows.
        length = program.run_size(700, 540)
        ids = program.GOLDEN["long"]["input_ids"][:length]
        self.assert_ok(self.compute(ids, "--kv-dtype", "float32"))
        shape, values = array_files.read_npy(self.folder / "out.npy")
        self.assertEqual((length, 258), shape)
        _, golden = array_files.read_safetensors_f32(program.GOLDEN_LOGITS, "long.logits")
        worst = max(abs(a - b) for a, b in zip(values, golden[: length * 258]))
        self.assertLess(worst, MAX_ERROR)

    def test_other_cache_types(self):
        ids = program.GOLDEN["short"]["input_ids"]
        files = {}
        for dtype in ("float32", "bfloat16", "float16"):
            self.assert_ok(self.compute(ids, "--kv-dtype", dtype, "--threads", "1"))
            files[dtype] = (self.folder / "out.npy").read_bytes()
        self.assertEqual(3, len(set(files.values())), "the cache type must make a difference")

    def test_replaces_what_stood_there(self):
        output = self.folder / "out.npy"
        output.write_bytes(b"old")
        self.assert_ok(self.compute([256, 97]))
        self.assertEqual((2, 258), array_files.read_npy(output)[0])
        self.assertEqual(["ids.json", "out.npy"], sorted(os.listdir(self.folder)))

    def test_follows_a_link(self):
        target = self.folder / "target.npy"
        target.write_bytes(b"old")
        (self.folder / "out.npy").symlink_to(target)
        self.assert_ok(self.compute([256]))
        self.assertTrue((self.folder / "out.npy").is_symlink())
        self.assertEqual((1, 258), array_files.read_npy(target)[0])

    def test_reads_ids_from_a_pipe(self):
        reader, writer = os.pipe()
        os.write(writer, b"[256, 104, 105]")
        os.close(writer)
        result = program.run(
            *("logits", "--model", program.MODEL, "--input-ids", f"/dev/fd/{reader}"),
            *("--output", self.folder / "out.npy"),
            pass_fds=[reader],
        )
        os.close(reader)
        self.assert_ok(result)
        self.assertEqual((3, 258), array_files.read_npy(self.folder / "out.npy")[0])

    def test_closed_descriptors_do_not_reach_the_file(self):
        ids = program.GOLDEN["short"]["input_ids"]
        self.assert_ok(self.compute(ids))
        expected = (self.folder / "out.npy").read_bytes()
        result = self.compute(ids, preexec_fn=lambda: os.closerange(0, 3))
        self.assertEqual(program.OK, result.returncode)
        self.assertEqual(expected, (self.folder / "out.npy").read_bytes())

    def test_file_mode_obeys_the_umask(self):
        self.assert_ok(self.compute([256], umask=0o027))
        self.assertEqual(0o640, os.stat(self.folder / "out.npy").st_mode & 0o777)

    def test_output_that_cannot_be_written(self):
        for output, fragment in (
            (self.folder / "missing" / "out.npy", "No such file or directory"),
            (self.folder, "is a folder, must be a file"),
            (self.folder / "ids.json" / "out.npy", "Not a directory"),
            ("/dev/null", "is no regular file"),
        ):
            with self.subTest(output=output):
                result = self.compute([256], output=output)
                self.assert_refused(result, f"{output}: ", fragment)
                self.assert_only_inputs_left()

    def test_disk_that_fills_up(self):
        limit = 4096  # bytes a file; the array takes 20 x 258 x 4
        result = self.compute(
            program.GOLDEN["short"]["input_ids"],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
        self.assert_refused(result, "out.npy: cannot be written: File too large")
        self.assert_only_inputs_left()

    def test_error_leaves_the_old_file(self):
        output = self.folder / "out.npy"
        output.write_bytes(b"old")
        self.assert_refused(self.compute([256, 258]), "ids.json: [1]: is 258")
        self.assertEqual(b"old", output.read_bytes())


if __name__ == "__main__":
    program.main()
