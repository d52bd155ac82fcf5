"""ModuleList and ModuleDict: modules held by number or by name, for a module that calls them itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import overload

from .._core import check_kind
from .module import Module

__all__ = ["ModuleDict", "ModuleList"]


class Listed(Module):
    """Base of the containers whose items are their children, in order."""

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()


class ModuleList(Listed):
    """Modules by number. It has no forward pass: the module that owns it calls its items.

    Args:
        modules: initial modules.

    Raises:
        TypeError: something is not a Module.
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(() if modules is None else modules)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end; return self."""
        setattr(self, str(len(self)), check_kind("ModuleList", str(len(self)), module, Module))
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end; return self."""
        for module in modules:
            self.append(module)
        return self

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module:
        modules = list(self)
        return ModuleList(modules[index]) if isinstance(index, slice) else modules[index]

    def __setitem__(self, index: int, module: Module) -> None:
        number = range(len(self))[index]
        setattr(self, str(number), check_kind("ModuleList", str(number), module, Module))


class ModuleDict(Module):
    """Modules by name. It has no forward pass: the module that owns it calls its items.

    Args:
        modules: initial modules, as a mapping of names to modules.

    Raises:
        TypeError: something is not a Module.
        ValueError: a name cannot be used.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        for name, module in ({} if modules is None else modules).items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, check_kind("ModuleDict", str(name), module, Module))

    def __getitem__(self, name: str) -> Module:
        return dict(self.named_children())[name]

    def __delitem__(self, name: str) -> None:
        self[name]  # a KeyError if it is not there
        delattr(self, name)

    def __contains__(self, name: object) -> bool:
        return any(name == own for own, _ in self.named_children())

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.named_children())

    def keys(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self)

    def values(self) -> Iterator[Module]:
        """Yield the modules."""
        return self.children()

    def items(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module)."""
        return self.named_children()
