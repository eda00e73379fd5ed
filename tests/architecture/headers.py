"""Compiles every header by itself, with the flags of a source that includes it."""

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shlex
import subprocess
import tempfile

from layers import Tree

# Headers that C programs include, and the language they are held to.
C_HEADERS = ("include/seesaw/c_api.h", "include/seesaw/types/export.h", "include/seesaw/version.h")
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
C_FLAGS = ("-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Werror")


@dataclasses.dataclass(frozen=True)
class Compilation:
    """One header, the compiler call that must accept it, and what that call says."""

    header: str
    command: tuple
    source: str


def relevant_flags(command, macros):
    """Of a compiler call, what decides how a header is read: language, paths, defines, target. Of
    our own macros those that some header names, `macros`: what others see is the same without."""
    words = [
        word
        for word in shlex.split(command)
        if not word.startswith("-DSEESAW_") or word[2:].partition("=")[0] in macros
    ]
    flags = []
    for word, following in zip(words, words[1:] + [""]):
        if word in ("-isystem", "-include", "-I", "-D"):
            flags += [word, following]
        elif word.startswith(("-I", "-D", "-U", "-std=", "-m", "-f")) and not word.startswith(
            "-fsanitize"
        ):
            flags.append(word)
    return tuple(flags)


def macros_in_headers(root):
    """The words SEESAW_... that stand in the headers of `root`."""
    headers = [*pathlib.Path(root).glob("**/*.h"), *pathlib.Path(root).glob("**/*.cuh")]
    texts = (path.read_text(encoding="utf-8") for path in headers)
    return {macro for text in texts for macro in re.findall(r"\bSEESAW_\w+", text)}


class CompileDatabase:
    """compile_commands.json of a build of `root`."""

    def __init__(self, root, database):
        self.entries = []  # (source, compiler, flags)
        macros = macros_in_headers(root)
        for entry in json.loads(pathlib.Path(database).read_text(encoding="utf-8")):
            source = os.path.relpath(os.path.join(entry["directory"], entry["file"]), root)
            words = [
                w for w in shlex.split(entry["command"]) if "ccache" not in os.path.basename(w)
            ]
            self.entries.append((source, words[0], relevant_flags(entry["command"], macros)))

    def user_of(self, header, includes):
        """(compiler, flags) of a source that includes a header, directly or not; where no source
        does, of the one in the nearest folder. None where sources include it, but this build
        compiles none of them as C++: their instruction set is not this machine's, or they are CUDA
        sources."""
        users = {header}
        while more := {path for path, targets in includes.items() if users & set(targets)} - users:
            users |= more

        def likeness(entry):
            source = pathlib.PurePosixPath(entry[0])
            same_stem = source.stem == pathlib.PurePosixPath(header).stem
            shared = os.path.commonprefix([header.split("/"), entry[0].split("/")])
            return (entry[0] in users, len(shared), same_stem)

        best = max((e for e in self.entries if e[0].endswith(".cc")), key=likeness)
        has_users = any(user.endswith((".cc", ".cu")) for user in users)
        return None if has_users and best[0] not in users else best[1:]


def plan_compilations(root, database):
    """(calls, headers left out): a call for each header, a second one as C99 for those of C."""
    root = pathlib.Path(root).resolve()
    compile_database = CompileDatabase(root, database)
    tree = Tree(root)
    tree.check()
    planned, left_out = [], []
    for header in (file for file in tree.files if file.endswith(".h")):
        user = compile_database.user_of(header, tree.includes)
        if user is None and not header.startswith("include/"):
            left_out.append(header)
            continue
        compiler, flags = user or compile_database.entries[0][1:]
        if header.startswith("include/"):  # a stranger has no more than the include folder
            flags = ("-std=c++20", f"-I{root / 'include'}")
        # Included twice: a header without a guard fails.
        text = f'#include "{root / header}"\n' * 2 + "extern int not_an_empty_file;\n"
        planned.append(Compilation(header, (compiler, *flags, *WARNINGS, "-x", "c++"), text))
        if header in C_HEADERS:
            command = (c_compiler(compiler), *C_FLAGS, f"-I{root / 'include'}", "-x", "c")
            planned.append(Compilation(f"{header} (C99)", command, text))
    return planned, left_out


def c_compiler(cxx_compiler):
    folder, name = os.path.split(cxx_compiler)
    c_name = name.replace("clang++", "clang").replace("g++", "gcc").replace("c++", "cc")
    return os.path.join(folder, c_name)


def without_system_folders(compilation):
    """What tells two calls of two builds apart. Where a library's folder comes after all others, it
    takes nothing from a header that compiled without it."""
    words, following = [], False
    for word in compilation.command:
        if not following and word != "-isystem":
            words.append(word)
        following = word == "-isystem"
    return dataclasses.replace(compilation, command=tuple(words))


def run(compilation):
    """What the compiler says of one header; empty where it accepts it."""
    with tempfile.NamedTemporaryFile("w", suffix=".cc") as file:
        file.write(compilation.source)
        file.flush()
        call = [*compilation.command, "-fsyntax-only", file.name]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return ""
        return f"{compilation.header}: {shlex.join(call)}\n{done.stderr}"


def check(root, database, checked_database=None):
    """(number of compilations, what the failing ones said, headers left out, number of compilations
    that are the same in another build, whose own test makes them)."""
    planned, left_out = plan_compilations(root, database)
    elsewhere = plan_compilations(root, checked_database)[0] if checked_database else []
    made_elsewhere = {without_system_folders(compilation) for compilation in elsewhere}
    num_planned = len(planned)
    planned = [c for c in planned if without_system_folders(c) not in made_elsewhere]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = list(pool.map(run, planned))
    failures = [result for result in results if result]
    return len(planned), failures, left_out, num_planned - len(planned)
