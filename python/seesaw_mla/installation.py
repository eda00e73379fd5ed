"""Registers seesaw_mla.flash_mla under the names that other programs import."""

from __future__ import annotations

import importlib
import sys

# Target: name to register -> module that stands there.
_MODULES = {
    "flash_mla": {
        "flash_mla": "seesaw_mla.flash_mla",
        "flash_mla.flash_mla_interface": "seesaw_mla.flash_mla.flash_mla_interface",
    },
    "vllm": {
        "vllm.third_party.flashmla.flash_mla_interface": (
            "seesaw_mla.flash_mla.flash_mla_interface"
        ),
    },
    "sglang": {"sgl_kernel.flash_mla": "seesaw_mla.flash_mla.sgl_kernel"},
}


def install(target: str = "flash_mla", *, force: bool = False) -> None:
    """Makes later imports of flash_mla get seesaw_mla.flash_mla (docs/flash_mla.md).

    target  "flash_mla": the module flash_mla; "vllm", "sglang": the module that this program
            imports instead, flash_mla built into it
    force   replaces a module of that name that is imported already. Whoever has imported names
            from it keeps them.

    May be called again. Needs torch. Raises ValueError for an unknown target, and RuntimeError
    where another module of that name is imported already: then nothing is changed.
    """
    if target not in _MODULES:
        raise ValueError(f"target: is {target!r}, must be one of {list(_MODULES)}")
    modules = {
        name: importlib.import_module(module) for name, module in _MODULES[target].items()
    }
    for name, module in modules.items():
        other = sys.modules.get(name, module)
        if other is not module and not force:
            where = getattr(other, "__file__", None) or "a module without a file"
            raise RuntimeError(
                f"target: {name} is imported already, from {where}; call seesaw_mla.install before "
                "anything imports it, or with force=True"
            )
    sys.modules.update(modules)
