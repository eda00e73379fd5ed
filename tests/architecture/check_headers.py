"""Checks that every header compiles alone.

Usage: check_headers.py ROOT COMPILE_COMMANDS_JSON [THAT_OF_ANOTHER_BUILD]
Of another build, where there is one, the compiler calls that are the same are left to its own test.
"""

import os
import sys

import headers


def main():
    other = sys.argv[3] if len(sys.argv) > 3 and os.path.exists(sys.argv[3]) else None
    num_compiled, failures, left_out, num_elsewhere = headers.check(
        sys.argv[1], sys.argv[2], other
    )
    for header in left_out:
        print(f"{header}: left out, this build compiles no source that includes it")
    if num_elsewhere:
        print(f"{num_elsewhere} calls left to the test of {os.path.dirname(other)}: the same there")
    print("\n".join(failures))
    print(
        f"{num_compiled} headers compiled alone, {len(failures)} failed, {len(left_out)} left out"
    )
    sys.exit(1 if failures or num_compiled + num_elsewhere == 0 else 0)


if __name__ == "__main__":
    main()
