"""Containers: modules made of modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import numpy as np

from .._core import check_choice, check_kind
from .module import Module
from .module_list import Listed

__all__ = ["Parallel", "Residual", "Sequential"]


class Sequential(Listed):
    """Modules one after another: the output of each is the input of the next.

        model = Sequential(Conv2d(1, 6, 5), ReLU(), Flatten())
        model = Sequential(OrderedDict(conv=Conv2d(1, 6, 5), act=ReLU()))    # model.conv, "conv.weight"

    ``model[0]``, ``model[-1]``, ``model[1:3]`` (shares its layers), ``model[2] = layer``, ``len``, iteration and
    `append` work as on a list. The same layer may be there more than once. ``needs_input_grad`` is that of the first
    layer; if it is False, the layers in front that have nothing to train save nothing, and the backward pass ends
    behind them.

    `backward` is derived. For layers that are called one after another it is this loop:

        for layer in reversed(layers):
            grad_output = layer.backward(grad_output)

    Args:
        *layers: modules; or one mapping of names to modules.

    Raises:
        TypeError: something is not a Module.
        ValueError: a name cannot be used.
    """

    def __init__(self, *layers: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            named = dict(layers[0])
        else:
            named = {str(index): layer for index, layer in enumerate(layers)}  # type: ignore[misc]
        for name, layer in named.items():
            self._add(name, layer)

    def _add(self, name: str, layer: Module) -> None:
        hint = "; unpack the list: Sequential(*layers)" if isinstance(layer, (list, tuple)) else ""
        check_kind("Sequential", f"layer {name!r}", layer, Module, hint)
        if not isinstance(name, str) or not name or "." in name or hasattr(type(self), name) or name in self.__dict__:
            raise ValueError(f"Sequential: {name!r} cannot be the name of a layer")
        setattr(self, name, layer)

    def append(self, layer: Module) -> Sequential:
        """Add a layer at the end; return self."""
        number = len(self)
        while str(number) in self.__dict__:  # a slice keeps its layers' names
            number += 1
        self._add(str(number), layer)
        return self

    def forward(self, x: Any) -> Any:
        """Run the layers in order."""
        for layer in self.children():
            x = layer(x)
        return x

    @property
    def needs_input_grad(self) -> bool:
        """Whether `backward` returns the gradient of the input: the first layer's flag."""
        first = next(self.children(), None)
        return first is None or first.needs_input_grad

    @needs_input_grad.setter
    def needs_input_grad(self, flag: bool) -> None:
        first = next(self.children(), None)
        if first is not None:
            first.needs_input_grad = flag

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        named = list(self.named_children())
        if isinstance(index, slice):
            return Sequential(dict(named[index]))
        try:
            return named[index][1]
        except IndexError:
            raise IndexError(f"Sequential: layer {index} of {len(named)} does not exist") from None

    def __setitem__(self, index: int, layer: Module) -> None:
        names = [name for name, _ in self.named_children()]
        if not -len(names) <= index < len(names):
            raise IndexError(f"Sequential: layer {index} of {len(names)} does not exist")
        setattr(self, names[index], check_kind("Sequential", f"layer {index}", layer, Module))


class Residual(Module):
    """A body and a shortcut around it, added: y = body(x) + shortcut(x).

    Args:
        body: a module.
        shortcut: a module that gives the body's output shape; None is the identity.

    Shape:
        input: the body's; output: the body's output.

    Raises:
        ValueError: when called: body and shortcut give different shapes.
    """

    def __init__(self, body: Module, shortcut: Module | None = None) -> None:
        super().__init__()
        self.body = check_kind("Residual", "body", body, Module)
        self.shortcut = None if shortcut is None else check_kind("Residual", "shortcut", shortcut, Module)

    def forward(self, x: Any) -> Any:
        """Run both paths and add."""
        through, around = self.body(x), x if self.shortcut is None else self.shortcut(x)
        if through.shape != around.shape:
            raise ValueError(
                f"body gives shape {through.shape}, shortcut {around.shape}; a shortcut that changes stride and "
                "channels, such as a 1x1 Conv2d, makes them equal"
            )
        return through + around


class Parallel(Module):
    """Several branches that get the same input, with their outputs merged.

    Args:
        *branches: modules.
        merge: 'cat' concatenates the outputs along the channels (axis 1), 'sum' adds them.

    Shape:
        input: that of every branch; output: (N, C1 + C2 + ..., ...) for 'cat', the branches' for 'sum'.

    Raises:
        ValueError: there are no branches; when called: their outputs do not fit together.
    """

    def __init__(self, *branches: Module, merge: str = "cat") -> None:
        super().__init__()
        if not branches:
            raise ValueError("Parallel: got no branches")
        self.merge = check_choice("Parallel", "merge", merge, ("cat", "sum"))
        for number, branch in enumerate(branches):
            setattr(self, str(number), check_kind("Parallel", str(number), branch, Module))

    def forward(self, x: Any) -> Any:
        """Run the branches and merge."""
        outputs = [branch(x) for branch in self.children()]
        shapes = [out.shape for out in outputs]
        fitting = {(s[:1], s[2:]) for s in shapes} if self.merge == "cat" else set(shapes)
        if len(fitting) > 1 or (self.merge == "cat" and min(map(len, shapes)) < 2):
            raise ValueError(f"the branches give shapes {shapes}, which do not fit together for merge={self.merge!r}")
        return np.concatenate(outputs, axis=1) if self.merge == "cat" else sum(outputs[1:], outputs[0])

    def extra_repr(self) -> str:
        """How the outputs are merged."""
        return f"merge={self.merge!r}"
