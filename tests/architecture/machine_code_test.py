"""Shows that the machine-code check can fail."""

import unittest

import machine_code

REPORT = """\
ptxas info    : (C7519) warpgroup.arrive is injected in around line 3 by compiler in function 'f'
ptxas info    : 9 bytes gmem
ptxas info    : Compiling entry function '_Z6kernelv' for 'sm_90a'
ptxas info    : Function properties for _Z6kernelv
    {stack} bytes stack frame, {stores} bytes spill stores, {loads} bytes spill loads
ptxas info    : Used 168 registers, used 16 barriers
"""
CODE = """\
\t\tFunction : _Z6kernelv
        /*0000*/                   LDC R1, c[0x0][0x28] ;          /* 0x00000a00ff017b82 */
        /*0010*/              @!P0 HGMMA.64x64x16.F32.BF16 R24, gdesc[UR4], R24 ; /* 0x1 */
        /*0020*/                   UTMALDG.5D [UR8], [UR4] ;       /* 0x2 */
        /*0030*/              @UP1 EXIT ;                          /* 0x3 */
"""
REQUIRED = machine_code.REQUIRED["hardware/sm90/"]


class ReportTest(unittest.TestCase):
    def failures(self, text):
        return machine_code.check_report("file.cu", text)[1]

    def test_a_clean_report(self):
        text = REPORT.format(stack=0, stores=0, loads=0)
        kernels, failures = machine_code.check_report("file.cu", text)
        self.assertEqual([], failures)
        self.assertEqual([machine_code.Kernel("_Z6kernelv", registers=168)], kernels)

    def test_spills(self):
        for stores, loads in ((4, 0), (0, 8)):
            found = self.failures(REPORT.format(stack=8, stores=stores, loads=loads))
            self.assertEqual([f"file.cu: _Z6kernelv spills {stores + loads} bytes"], found)

    def test_serialized_products(self):
        clean = REPORT.format(stack=0, stores=0, loads=0)
        for line in (
            "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are "
            "serialized due to non wgmma instructions defining accumulator registers",
            "ptxas info    : (C7520) something of its kind",
            "ptxas warning : products are serialized",
        ):
            self.assertEqual([f"file.cu: {line}"], self.failures(clean + line + "\n"))


class MachineCodeTest(unittest.TestCase):
    def failures(self, text):
        return machine_code.check_machine_code("file.o", text, REQUIRED)[1]

    def test_all_is_there(self):
        functions, failures = machine_code.check_machine_code("file.o", CODE, REQUIRED)
        self.assertEqual([], failures)
        self.assertEqual(
            {"_Z6kernelv": {"LDC": 1, "HGMMA": 1, "UTMALDG": 1, "EXIT": 1}}, functions
        )

    def test_missing_instructions(self):
        for opcode in REQUIRED:
            found = self.failures(CODE.replace(opcode, "NOP"))
            self.assertEqual(1, len(found))
            self.assertIn(f"has no {opcode}", found[0])

    def test_every_kernel_of_a_file_counts(self):
        second = CODE.replace("_Z6kernelv", "_Z5otherv").replace("HGMMA", "HMMA")
        self.assertIn("_Z5otherv has no HGMMA", self.failures(CODE + second)[0])

    def test_local_memory(self):
        for opcode in ("LDL.128", "STL"):
            found = self.failures(CODE + f"        /*0040*/         {opcode} R4, [R1] ; /* 0x4 */\n")
            self.assertIn("it spills", found[0])

    def test_no_machine_code(self):
        self.assertEqual(["file.o: no machine code in it"], self.failures("\n"))


if __name__ == "__main__":
    unittest.main()
