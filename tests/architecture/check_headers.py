"""Checks that every header compiles alone. Usage: check_headers.py ROOT COMPILE_COMMANDS_JSON"""

import sys

import headers


def main():
    num_compiled, failures, left_out = headers.check(sys.argv[1], sys.argv[2])
    for header in left_out:
        print(f"{header}: left out, this build compiles no source that includes it")
    print("\n".join(failures))
    print(
        f"{num_compiled} headers compiled alone, {len(failures)} failed, {len(left_out)} left out"
    )
    sys.exit(1 if failures or num_compiled == 0 else 0)


if __name__ == "__main__":
    main()
