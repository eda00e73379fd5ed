"""Checks that a page quotes a program and its output as they are.

Usage: check_walkthrough.py PAGE SOURCE PROGRAM
"""

import pathlib
import re
import subprocess
import sys


def main():
    page, source, program = sys.argv[1:]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", pathlib.Path(page).read_text(), re.M | re.S)
    code = pathlib.Path(source).read_text()
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    origin = {"cpp": (source, code), "text": (program, output)}
    errors = [
        f"{page}: does not stand in {origin[language][0]}:\n{block}"
        for language, block in blocks
        if block not in origin[language][1]
    ]
    if not {language for language, _ in blocks} >= set(origin):
        errors.append(f"{page}: must quote both code and output")
    sys.exit("\n".join(errors) or 0)


if __name__ == "__main__":
    main()
