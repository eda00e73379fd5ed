"""seesaw info: facts about the machine, for people and for programs."""

import json
import os

import program

CUDA_KERNELS = {"sm90_decode_dense": 90, "portable_decode_dense": 80}
ISAS = ["generic", "avx2", "avx512", "avx512_bf16"]


class InfoTest(program.ProgramTest):
    def facts(self, **environment):
        result = program.run("info", "--json", environment=environment)
        self.assert_ok(result)
        self.assertEqual(b"", result.stderr)
        return json.loads(result.stdout)

    def test_json(self):
        facts = self.facts()
        self.assertRegex(facts["version"], r"^\d+\.\d+\.\d+$")
        cpu = facts["cpu"]
        self.assertTrue(1 <= cpu["cores"] <= len(os.sched_getaffinity(0)), cpu)
        self.assertIn(cpu["isa"], ISAS)
        self.assertGreater(cpu["l1_bytes"], 0)
        self.assertGreater(cpu["l2_bytes"], 0)
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        self.assertTrue(0 < cpu["memory_bytes"] <= physical, cpu)
        self.assertIsInstance(facts["cuda_devices"], list)
        self.assertEqual(1024, facts["limits"]["max_head_dim"])

    def test_kernels(self):
        facts = self.facts()
        kernels = {kernel["name"]: kernel for kernel in facts["kernels"]}
        self.assertEqual({f"cpu_{isa}" for isa in ISAS} | set(CUDA_KERNELS), set(kernels))
        best = ISAS.index(facts["cpu"]["isa"])
        for isa in ISAS:
            kernel = kernels[f"cpu_{isa}"]
            self.assertEqual(ISAS.index(isa) <= best, kernel["runs_here"])
            self.assertEqual(not kernel["runs_here"], "why_not" in kernel)
            self.assertTrue(kernel["formats"])

    def test_cuda_kernels(self):
        """Each runs where a device that fits it is there, and says why where none is."""
        facts = self.facts()
        if facts["cuda_devices"]:
            self.assertTrue(facts["built_with_cuda"])
        for kernel in facts["kernels"]:
            if kernel["device"] != "cuda":
                continue
            self.assertEqual(CUDA_KERNELS[kernel["name"]], kernel["sm_arch"])
            served = [d for d in facts["cuda_devices"] if kernel["name"] in d["kernels"]]
            for device in served:
                self.assertGreaterEqual(device["sm_arch"], kernel["sm_arch"])
                self.assertGreater(device["shared_memory_bytes"], 48 << 10)
            self.assertEqual(bool(served), kernel["runs_here"])
            if not served:
                why = "no device of sm_" if facts["built_with_cuda"] else "this build has no CUDA"
                self.assertIn(why, kernel["why_not"])

    def test_lowered_instruction_set(self):
        facts = self.facts(SEESAW_CPU_ISA="generic")
        self.assertEqual("generic", facts["cpu"]["isa"])
        for kernel in facts["kernels"]:
            if kernel["device"] == "cuda":
                continue
            self.assertEqual(kernel["name"] == "cpu_generic", kernel["runs_here"])
            if not kernel["runs_here"]:
                self.assertRegex(kernel["why_not"], "this CPU lacks|SEESAW_CPU_ISA allows")

    def test_unknown_instruction_set(self):
        result = program.run("info", environment={"SEESAW_CPU_ISA": "mmx"})
        self.assert_refused(result, 'SEESAW_CPU_ISA: is "mmx", must be one of generic, avx2')

    def test_text_says_the_same(self):
        facts = self.facts()
        result = program.run("info")
        self.assert_ok(result)
        text = result.stdout.decode()
        self.assertTrue(text.startswith(f"seesaw {facts['version']}\n"), text)
        self.assertIn(facts["cpu"]["name"], text)
        for kernel in facts["kernels"]:
            self.assertRegex(
                text, rf"{kernel['name']} +{'yes' if kernel['runs_here'] else 'no: '}"
            )
        self.assertIn("CUDA devices", text)


if __name__ == "__main__":
    program.main()
