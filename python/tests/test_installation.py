"""seesaw_mla.install: what programs get that import flash_mla, or carry one of their own."""

import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="flash_mla's arguments are torch tensors")

# torch takes seconds to import: once, for programs that then each run in a process of their own.
RUNNER = """
import os, sys, traceback
import seesaw_mla.flash_mla.sgl_kernel
sys.path.insert(0, sys.argv[1])
failed = 0
for program in sys.argv[2:]:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            exec(program, {"sys": sys})
            sys.stdout.flush()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            print(program, file=sys.stderr, flush=True)
            os._exit(1)
    failed |= os.waitpid(child, 0)[1]
sys.exit(failed != 0)
"""
THEIRS = "def get_mla_metadata(*arguments):\n    return 'theirs'\n"
NAMES = {
    "flash_mla": "flash_mla.flash_mla_interface",
    "sglang": "sgl_kernel.flash_mla",
    "vllm": "vllm.third_party.flashmla.flash_mla_interface",
}
IMPORTS = ["import {0} as got", "import {0}; got = {0}", "from {1} import {2} as got"]


@pytest.fixture
def run_python(tmp_path):
    """Runs programs where packages with a flash_mla of their own can be imported."""
    for name in NAMES.values():
        folder = tmp_path
        *packages, module = name.split(".")
        for package in packages:
            folder = folder / package
            folder.mkdir()
            (folder / "__init__.py").write_text("")
        (folder / f"{module}.py").write_text(THEIRS)

    def run(*programs):
        command = [sys.executable, "-c", RUNNER, str(tmp_path), *programs]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


def check_is_ours(target):
    metadata = f"{'seesaw_mla.flash_mla'!r} in got.get_mla_metadata.__module__"
    return f"assert {metadata}, got\nassert sys.modules.get({NAMES[target]!r}, got) is got\n"


def statement(form, target):
    return form.format(NAMES[target], *NAMES[target].rsplit(".", 1)) + "\n"


@pytest.mark.parametrize("target", NAMES)
def test_import_after_install(run_python, target):
    # flash_mla has no package around it that could be imported before.
    parents = ["", f"import {NAMES[target].split('.')[0]}\n"][: 1 if target == "flash_mla" else 2]
    run = run_python(
        *(
            "import seesaw_mla\n"
            + parent
            + f"seesaw_mla.install({target!r}); seesaw_mla.install({target!r})\n"
            + statement(form, target)
            + check_is_ours(target)
            + "assert got.__spec__.name.startswith('seesaw_mla.flash_mla')\n"
            + f"seesaw_mla.install({target!r})\n"
            for parent in parents
            for form in IMPORTS
        )
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("target", NAMES)
def test_force_replaces(run_python, target):
    run = run_python(
        *(
            "import seesaw_mla\n"
            + statement(before, target)
            + "old = got\nassert old.get_mla_metadata() == 'theirs'\n"
            + f"try:\n    seesaw_mla.install({target!r})\nexcept RuntimeError as error:\n"
            + "    print(error)\n"
            + f"assert sys.modules[{NAMES[target]!r}] is old\n"
            + statement(after, target)
            + "assert got is old\n"
            + f"seesaw_mla.install({target!r}, force=True)\n"
            + statement(after, target)
            + check_is_ours(target)
            for before in IMPORTS
            for after in IMPORTS
        )
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("is imported already, from ") == 9


def test_modules_have_what_programs_import(run_python):
    run = run_python(
        "import seesaw_mla, seesaw_mla.flash_mla as ours\n"
        "for target in ('flash_mla', 'vllm', 'sglang'):\n    seesaw_mla.install(target)\n"
        "import flash_mla\n"
        "from flash_mla import flash_mla_with_kvcache, get_mla_metadata\n"
        "assert flash_mla is ours\n"
        "from vllm.third_party.flashmla.flash_mla_interface import (\n"
        "    FlashMLASchedMeta, flash_attn_varlen_func, flash_attn_varlen_kvpacked_func,\n"
        "    flash_attn_varlen_qkvpacked_func, flash_mla_sparse_fwd, flash_mla_with_kvcache,\n"
        "    get_mla_metadata)\n"
        "from sgl_kernel.flash_mla import get_mla_metadata as raw\n"
        "assert FlashMLASchedMeta is ours.FlashMLASchedMeta and raw is not get_mla_metadata\n"
    )
    assert run.returncode == 0, run.stderr


def test_nothing_else_is_imported(run_python):
    run = run_python(
        "import seesaw_mla\n"
        "seesaw_mla.install('vllm'); seesaw_mla.install('sglang')\n"
        "print([name for name in sys.modules if name.startswith(('vllm', 'sgl_kernel'))])\n"
    )
    assert run.stdout == "[]\n", run.stderr


def test_unknown_targets():
    import seesaw_mla

    with pytest.raises(ValueError, match="^target: is 'tensorflow', must be one of"):
        seesaw_mla.install("tensorflow")
    with pytest.raises(TypeError, match="^target: is list, must be a str"):
        seesaw_mla.install([])
