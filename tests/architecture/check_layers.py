"""Checks the include rules of a tree. Usage: check_layers.py ROOT"""

import sys

from layers import Tree


def main():
    tree = Tree(sys.argv[1])
    if not tree.files:
        sys.exit(f"{sys.argv[1]}: no sources found")
    errors = tree.check()
    print("\n".join(errors))
    num_includes = sum(map(len, tree.includes.values()))
    print(f"{len(tree.files)} files, {num_includes} includes, {len(errors)} errors")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
