"""Where and with what a run was made, as torch, nvidia-smi and git give it."""

import pathlib
import platform
import subprocess
import sys

import numpy
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUERY = (
    "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,power.draw,"
    "temperature.gpu,clocks_event_reasons.active"
)


def output_of(*command: str) -> str | None:
    """What a program prints, or None where it is not there or fails."""
    try:
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()


def device_state() -> dict[str, str] | None:
    """Clocks, power and temperature now, of the first device of nvidia-smi."""
    line = output_of("nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader", "--id=0")
    if line is None:
        return None
    return dict(zip(QUERY.split(","), (text.strip() for text in line.split(",")), strict=False))


def machine_facts(device: str) -> dict[str, object]:
    commit = output_of("git", "rev-parse", "HEAD")
    changed = output_of("git", "status", "--porcelain", "--untracked-files=no")
    facts: dict[str, object] = {
        "command": ["python3", "-m", "benchmarks.peers", *sys.argv[1:]],
        "commit": commit,
        "has_local_changes": bool(changed) if commit else None,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "system": platform.platform(),
        "device": device,
    }
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(device)
        facts["gpu"] = properties.name
        facts["compute_capability"] = f"{properties.major}.{properties.minor}"
        facts["multiprocessors"] = properties.multi_processor_count
        facts["memory_bytes"] = properties.total_memory
    else:
        facts["threads"] = torch.get_num_threads()
    return facts
