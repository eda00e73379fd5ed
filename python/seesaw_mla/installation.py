"""Registers seesaw_mla.flash_mla under the names that other programs import."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType

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
            imports instead, flash_mla built into it. The program itself must be installed
    force   replaces a module of that name that is imported already. Whoever has imported names
            from it keeps them.

    May be called again. Needs torch, and imports nothing else of other packages. Raises TypeError
    and ValueError for an unknown target, and RuntimeError where another module of that name is
    imported already: then nothing is changed.
    """
    if not isinstance(target, str):
        raise TypeError(f"target: is {type(target).__name__}, must be a str")
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
    _FINDER.modules.update(modules)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    for name, module in modules.items():
        if name in sys.modules:
            sys.modules[name] = module
            parent, _, child = name.rpartition(".")
            if parent in sys.modules:
                setattr(sys.modules[parent], child, module)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the registered modules when they are imported, so that the import does the rest: it
    imports the packages that a name lies in, and makes it an attribute there."""

    def __init__(self) -> None:
        self.modules: dict[str, ModuleType] = {}
        self._specs: dict[str, importlib.machinery.ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.modules:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = self.modules[spec.name]
        self._specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run under its own name; the import has put the other name's spec there."""
        if module.__spec__ is not None and module.__spec__.name in self._specs:
            module.__spec__ = self._specs.pop(module.__spec__.name)


_FINDER = _Finder()
