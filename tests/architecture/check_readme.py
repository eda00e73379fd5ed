"""Checks that README shows examples/decode.cc as it is, and that its links lead to files.

Usage: check_readme.py ROOT
"""

import pathlib
import re
import sys


def find_errors(root):
    text = (root / "README.md").read_text(encoding="utf-8")
    example = (root / "examples/decode.cc").read_text(encoding="utf-8")
    errors = []
    if re.findall(r"```cpp\n(.*?)```", text, re.S) != [example]:
        errors.append("README.md: its C++ block is not examples/decode.cc as it is")
    for page in ("README.md", "CONTRIBUTING.md", "docs/architecture.md"):
        folder = (root / page).parent
        for link in re.findall(r"\]\(([^)#]+)", (root / page).read_text(encoding="utf-8")):
            if not link.startswith("https://") and not (folder / link).exists():
                errors.append(f"{page}: links to {link}, which is not there")
    return errors


if __name__ == "__main__":
    found = find_errors(pathlib.Path(sys.argv[1]))
    print("\n".join(found) or "README.md: as it should be")
    sys.exit(1 if found else 0)
