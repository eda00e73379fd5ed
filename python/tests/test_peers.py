"""The peer run (benchmarks/peers) on CPU tensors, with a plain peer."""

import importlib
import json
import pathlib
import subprocess
import sys
import types

import pytest

torch = pytest.importorskip("torch", reason="the peer run's tensors are torch's")
pytest.importorskip("seesaw_mla.flash_mla")
import plain_flash_mla  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def peers(monkeypatch):
    """benchmarks.peers.__main__, with the repository's root on the path."""
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.peers.__main__")


def run(peers, tmp_path, *arguments):
    report = tmp_path / "report.json"
    options = ["--device", "cpu", "--rounds", "2", "--calls", "2", "--json", str(report)]
    exit_code = peers.main([*options, *arguments])
    return exit_code, json.loads(report.read_text())


def pretend_module(monkeypatch, name, **functions):
    module = types.ModuleType(name)
    vars(module).update({**vars(plain_flash_mla), **functions, "__name__": name})
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("flags", [(), ("--causal",), ("--plan-each-call",)])
def test_times_a_peer_beside_seesaw(peers, tmp_path, capsys, flags):
    shapes = ("--shape", "b 3 s_q 2 h_q 5 s_k ~150", "--shape", "b 1 s_q 1 h_q 16 s_k 64")
    exit_code, report = run(peers, tmp_path, "--module", "plain_flash_mla", *shapes, *flags)
    assert exit_code == 0
    assert report["versions"]["plain_flash_mla"] == "plain"
    assert [row["name"] for row in report["rows"]] == list(shapes[1::2])
    for row in report["rows"]:
        ours, theirs = row["contenders"]["seesaw"], row["contenders"]["plain_flash_mla"]
        assert ours["is_right"] and theirs["is_right"]
        assert theirs["ratio_single_us"] == theirs["single_us"] / ours["single_us"]
        assert len(theirs["burst_us_rounds"]) == 2
        assert ours["ratio_burst_us"] == 1
    machine = report["machine"]
    assert machine["torch"] == torch.__version__ and machine["device"] == "cpu"
    printed = capsys.readouterr().out
    assert "b 3 s_q 2 h_q 5 s_k ~150" in printed and "WRONG" not in printed


def test_says_that_a_peer_is_wrong(peers, tmp_path, capsys, monkeypatch):
    def shrunk(*arguments, **options):
        out, lse = plain_flash_mla.flash_mla_with_kvcache(*arguments, **options)
        return out * 0.95, lse

    pretend_module(monkeypatch, "shrinking_peer", flash_mla_with_kvcache=shrunk)
    exit_code, report = run(peers, tmp_path, "--module", "shrinking_peer")
    assert exit_code == 0  # Seesaw was right
    for row in report["rows"]:
        assert not row["contenders"]["shrinking_peer"]["is_right"]
        assert row["contenders"]["seesaw"]["is_right"]
    assert "WRONG" in capsys.readouterr().out


@pytest.mark.parametrize("spoil", [lambda out, lse: (out * float("nan"), lse),
                                   lambda out, lse: (out, lse + 0.1)])
def test_a_wrong_seesaw_is_an_error(peers, tmp_path, monkeypatch, spoil):
    import seesaw_mla.flash_mla as drop_in

    right = drop_in.flash_mla_with_kvcache
    monkeypatch.setattr(
        drop_in, "flash_mla_with_kvcache", lambda *args, **options: spoil(*right(*args, **options))
    )
    exit_code, report = run(peers, tmp_path)
    assert exit_code == 1
    assert not any(row["contenders"]["seesaw"]["is_right"] for row in report["rows"])


def test_goes_on_without_absent_and_failing_peers(peers, tmp_path, capsys, monkeypatch):
    def refusing(*arguments, **options):
        raise RuntimeError("only on Tuesdays")

    pretend_module(monkeypatch, "refusing_peer", flash_mla_with_kvcache=refusing)
    arguments = ("--module", "no_such_peer", "--flashinfer", "--module", "refusing_peer")
    exit_code, report = run(peers, tmp_path, *arguments)
    assert exit_code == 0
    assert set(report["versions"]) == {"seesaw", "refusing_peer"}
    for row in report["rows"]:
        assert row["contenders"]["refusing_peer"] == {"failure": "RuntimeError: only on Tuesdays"}
    printed = capsys.readouterr().out
    assert "skipped: cannot import no_such_peer" in printed
    assert "skipped: flashinfer" in printed
    assert "failed: RuntimeError: only on Tuesdays" in printed


@pytest.mark.parametrize(
    "arguments",
    [("--shape", "b 0 s_q 1 h_q 1 s_k 5"), ("--shape", "large"), ("--rounds", "0"),
     ("--calls", "17"), ("--device", "tpu"), ("--device", "meta"), ("--seed", "-1"),
     ("--pool-mib", "-1"), ("--json", "/no/such/folder/report.json")],
)
def test_refuses_bad_arguments(peers, tmp_path, arguments):
    with pytest.raises(SystemExit) as stop:
        run(peers, tmp_path, *arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize(
    "arguments", [("--rounds", "0"), ("--calls", "0"), ("--json", "/no/such/folder/costs.json")]
)
def test_host_cost_refuses_bad_arguments(arguments):
    command = [sys.executable, ROOT / "benchmarks" / "python" / "host_cost.py", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2 and arguments[0] in run.stderr, run.stderr


def test_has_the_shapes_of_the_benchmark(peers):
    """The table of `make gpu-bench`, none left out, in its order; what it measures beside the
    table comes after it."""
    text = (ROOT / "benchmarks" / "results" / "gpu.json").read_text()
    measured = [row["name"] for row in json.loads(text)["rows"]]
    table = measured[: measured.index("b 1 s_q 1 h_q 128 s_k 131072") + 1]
    assert [shape.name for shape in peers.shapes.FOR_CUDA] == table
    assert all(peers.shapes.parse(shape.name) == shape for shape in peers.shapes.FOR_CUDA)
