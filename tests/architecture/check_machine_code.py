"""Checks the compiler's reports and the machine code of all kernels: no spills, no serialized
products, and the instructions there that they are written for. Usage: check_machine_code.py ROOT BUILD"""

import pathlib
import sys

import machine_code


def check_reports(kernel_folder):
    failures = []
    num_kernels = 0
    for report in sorted(kernel_folder.rglob("*.cu.o.ptxas")):
        name = str(report.relative_to(kernel_folder)).removesuffix(".o.ptxas")
        kernels, found = machine_code.check_report(name, report.read_text())
        failures += found
        num_kernels += len(kernels)
        for kernel in kernels:
            print(f"{name}: {kernel.registers} registers, {kernel.spill_bytes} bytes spilled")
    if num_kernels == 0:
        failures.append(f"{kernel_folder}: no report of ptxas there")
    for folder in machine_code.REQUIRED:
        if not list((kernel_folder / folder).rglob("*.cu.o.ptxas")):
            failures.append(f"{folder}: no report of ptxas there")
    return failures


def check_objects(kernel_folder, disassembler):
    failures = []
    for folder, required in machine_code.REQUIRED.items():
        num_functions = 0
        for built in sorted((kernel_folder / folder).rglob("*.cu.o")):
            report = pathlib.Path(f"{built}.ptxas")
            if not report.exists() or not machine_code.parse_report(report.read_text())[0]:
                continue  # host code only
            name = str(built.relative_to(kernel_folder))
            functions, found = machine_code.check_machine_code(
                name, machine_code.disassemble(disassembler, built), required
            )
            failures += found
            num_functions += len(functions)
            for instructions in functions.values():
                counts = ", ".join(f"{instructions.get(op, 0)} {op}" for op in required)
                print(f"{name}: {counts}")
        if num_functions == 0:
            failures.append(f"{folder}: no machine code there")
    return failures


def check_ptx(build):
    source = "bfloat16_576_512.cu"
    ptx = machine_code.compile_to_ptx(build, source)
    return [
        f"{source}: its PTX has no {text}, {what}"
        for text, what in machine_code.REQUIRED_PTX.items()
        if text not in ptx
    ]


def main():
    root, build = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    kernel_folder = build / machine_code.KERNEL_FOLDER
    failures = check_reports(kernel_folder)
    disassembler = machine_code.find_disassembler(root)
    if disassembler:
        failures += check_objects(kernel_folder, disassembler)
        print(f"read: ptxas's reports and the machine code (cuobjdump in {disassembler})")
    else:
        failures += check_ptx(build)
        print(
            "read: ptxas's reports, and the PTX of one kernel in place of the machine code: there "
            "is no cuobjdump here (tools/fetch_disassembler.sh brings one)"
        )
    print("\n".join(failures))
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
