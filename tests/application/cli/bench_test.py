"""seesaw bench decode: what it measures is what was asked, and its sums are right."""

import json

import program

SMALL = ("--heads", "4", "--kv-len", "200", "--repetitions", "5", "--threads", "1")


class BenchTest(program.ProgramTest):
    def bench(self, *arguments, **options):
        return program.run("bench", "decode", *arguments, **options)

    def measure(self, *arguments, **options):
        result = self.bench("--json", *arguments, **options)
        self.assert_ok(result)
        self.assertEqual(b"", result.stderr)
        return json.loads(result.stdout)

    def test_json_holds_the_problem_and_consistent_figures(self):
        found = self.measure(
            *("--batch", "3", "--q-len", "2", "--heads", "8", "--kv-heads", "2"),
            *("--kv-len", "150", "--d-qk", "96", "--d-v", "64", "--page-size", "16"),
            *("--kv-dtype", "float16", "--threads", "2", "--repetitions", "7", "--seed", "4"),
        )
        self.assertEqual(
            {
                "batch": 3,
                "q_len": 2,
                "heads": 8,
                "kv_heads": 2,
                "kv_len": 150,
                "d_qk": 96,
                "d_v": 64,
                "page_size": 16,
                "kv_dtype": "float16",
            },
            found["problem"],
        )
        self.assertEqual(2, found["device"]["threads"])
        self.assertEqual(7, found["repetitions"])
        self.assertLessEqual(found["least_us"], found["median_us"])
        self.assertLessEqual(found["median_us"], found["most_us"])
        seconds = found["median_us"] * 1e-6
        operations = 2 * 3 * 2 * 8 * 150 * (96 + 64)
        self.assertAlmostEqual(1.0, found["gflops"] * seconds * 1e9 / operations, places=9)
        num_bytes = 2 * (3 * 150 * 2 * 96 + 3 * 2 * 8 * (96 + 64))
        self.assertAlmostEqual(
            1.0, found["gbytes_per_second"] * seconds * 1e9 / num_bytes, places=9
        )

    def test_pool_is_larger_than_the_caches(self):
        info = json.loads(program.run("info", "--json").stdout)["cpu"]
        found = self.measure(*SMALL)
        self.assertGreater(found["pool_bytes"], 2 * info["l3_bytes"])

    def test_modes(self):
        for mode in ("throughput", "latency", "batch_invariant"):
            with self.subTest(mode=mode):
                found = self.measure("--mode", mode, *SMALL)
                self.assertEqual(mode, found["mode"])
                self.assertIn(f"schedule   {mode}", found["plan"])

    def test_instruction_set_is_the_one_allowed(self):
        found = self.measure("--isa", "generic", *SMALL)
        self.assertEqual("cpu_generic", found["kernel"])
        found = self.measure("--kv-dtype", "float32", *SMALL)
        self.assertEqual("float32", found["problem"]["kv_dtype"])
        self.assertNotEqual("cpu_avx512_bf16", found["kernel"])

    def test_instruction_set_beyond_the_allowed_one(self):
        result = self.bench("--isa", "avx2", environment={"SEESAW_CPU_ISA": "generic"})
        self.assert_refused(result, "--isa: is avx2, must be at most generic")

    def test_text(self):
        result = self.bench(*SMALL)
        self.assert_ok(result)
        text = result.stdout.decode()
        self.assertRegex(text, r"time +[\d.,]+ us: median of 5 calls, least [\d.,]+, most [\d.,]+\n")
        self.assertRegex(text, r"\n +[\d.,e-]+ GFLOP/s, [\d.,e-]+ GB/s\n")
        self.assertIn("kernel     cpu_", text)

    def test_repeats_for_long_enough_by_itself(self):
        found = self.measure("--heads", "1", "--kv-len", "1", "--d-qk", "8", "--d-v", "8")
        self.assertTrue(5 <= found["repetitions"] <= 1000, found["repetitions"])

    def test_cuda(self):
        if not json.loads(program.run("info", "--json").stdout)["cuda_devices"]:
            self.skipTest("no CUDA device here")
        shape = ("--batch", "4", "--kv-len", "1000", "--repetitions", "20")
        for mode in ("throughput", "latency", "batch_invariant"):
            found = self.measure("--device", "cuda", "--mode", mode, *shape)
            self.assertEqual("cuda", found["device"]["kind"])
            self.assertIn("decode_dense", found["kernel"])
            self.assertEqual(20, found["repetitions"])
            seconds = found["median_us"] * 1e-6
            self.assertTrue(1e-6 < seconds < 1e-2, seconds)
            operations = 2 * 4 * 128 * 1000 * (576 + 512)
            self.assertAlmostEqual(1.0, found["gflops"] * seconds * 1e9 / operations, places=9)

    def test_empty_cache(self):
        found = self.measure("--kv-len", "0", "--heads", "2", "--repetitions", "3")
        self.assertEqual(0.0, found["gflops"])


if __name__ == "__main__":
    program.main()
