"""Fails if an object file of one instruction set defines a weak symbol.

A weak function (an inline or template function with linkage) may be chosen by the linker for the
whole program. Were it compiled with AVX-512, it would crash on processors without.
Usage: check_isolation.py NM OBJECT...
"""

import subprocess
import sys


def weak_symbols(nm, path):
    listing = subprocess.run([nm, "-C", "--defined-only", path], check=True, capture_output=True,
                             text=True).stdout
    # Address, class, name. W, V: weak; u: unique to the program, as inline variables are.
    rows = [line.split(None, 2) for line in listing.splitlines()]
    return [row[2] for row in rows if len(row) == 3 and row[1] in "WVu"]


def main():
    nm, objects = sys.argv[1], sys.argv[2:]
    kernels = [path for path in objects if "/kernels/avx" in path]
    if len(kernels) < 3:
        print(f"skipped: {len(kernels)} kernels of other instruction sets in this build")
        return 0 if not kernels else 1
    failed = False
    for path in kernels:
        symbols = weak_symbols(nm, path)
        print(f"{path}: {len(symbols)} weak symbols")
        for symbol in symbols:
            failed = True
            print(f"  {symbol}")
    # The check must see what it looks for: ordinary files of the library do define some.
    if not any(weak_symbols(nm, path) for path in objects if path not in kernels):
        print("no other object has a weak symbol: does the check still read nm's output?")
        failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
