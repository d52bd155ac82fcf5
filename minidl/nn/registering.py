"""Registering: members with names that are made at run time. The part of Module about PyTorch's way to add them."""

from __future__ import annotations

from typing import Any

from .converting import Converting
from .parameter import Parameter

__all__ = ["Registering"]


class Registering(Converting):
    """What `Module` is about members that are not assigned to an attribute."""

    def add_module(self, name: str, module: Any) -> None:
        """Set ``self.name`` to a module, or None, under a name that is made at run time.

        Raises:
            ValueError: the name cannot be used.
            TypeError: it is not a module.
        """
        self._add_member(name, module, Registering, "module")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set ``self.name`` to a Parameter, or None, under a name that is made at run time; raises as `add_module`."""
        self._add_member(name, param, Parameter, "parameter")

    def _add_member(self, name: str, member: Any, kind: type, what: str) -> None:
        owner, own = type(self).__name__, self.__dict__.get(name)
        taken = own is not None and not isinstance(own, kind)
        if not isinstance(name, str) or not name or "." in name or hasattr(type(self), name) or taken:
            raise ValueError(f"{owner}: {name!r} cannot be the name of a {what}")
        if member is not None and not isinstance(member, kind):
            raise TypeError(f"{owner}: {name} must be a {what.capitalize()}, got {member!r}")
        setattr(self, name, member)
