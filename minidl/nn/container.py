"""Containers: modules made of modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, overload

import numpy as np

from .._core import Array, check_choice, check_kind
from .chain import backward_through, forward_through
from .module import Module
from .module_list import Listed

__all__ = ["Parallel", "Residual", "Sequential"]


class Sequential(Listed):
    """Modules one after another: the output of each is the input of the next.

        model = Sequential(Conv2d(1, 6, 5), ReLU(), Flatten())
        model = Sequential(OrderedDict(conv=Conv2d(1, 6, 5), act=ReLU()))    # model.conv, "conv.weight"

    ``model[0]``, ``model[-1]``, ``model[1:3]`` (shares its layers), ``len``, iteration and `append` work as on a
    list. Adding the same instance twice is an error: its second forward pass would overwrite what its first saved
    for backward. ``needs_input_grad`` is that of the first layer; if it is False, the layers in front
    that have nothing to train save nothing, and the backward pass ends behind them.

    Args:
        *layers: modules; or one mapping of names to modules.

    Raises:
        TypeError: something is not a Module.
        ValueError: a module appears twice, or a name cannot be used.
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
        own = {id(module): path for path, module in self.named_modules()}
        for module in layer.modules():
            if id(module) in own:
                raise ValueError(
                    f"Sequential: layer {name!r} is, or contains, the {type(module).__name__} that is already layer "
                    f"{own[id(module)]!r}; a layer keeps one forward pass, so make a second instance"
                )
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
        layers = list(self.children())  # list(self) would walk them twice, for their number
        x, end = forward_through(layers, x, not layers or layers[0].needs_input_grad)
        self.save_for_backward((layers, end))
        return x

    def backward(self, grad_output: Any) -> Any:
        """Run the layers' backward passes in reverse order; return the gradient of the input, if it is wanted."""
        # the layers may have been called one by one
        layers, end = self.take_saved() if self._saved else (list(self.children()), None)
        return backward_through(layers, grad_output, end)

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
        _check_distinct("Residual", [m for m in (self.body, self.shortcut) if m is not None])

    def forward(self, x: Array) -> Array:
        """Run both paths and add."""
        around, end = forward_through(self._shortcut(), x, self.needs_input_grad)
        through, body_end = forward_through([self.body], x, self.needs_input_grad)
        if through.shape != around.shape:
            raise ValueError(
                f"body gives shape {through.shape}, shortcut {around.shape}; a shortcut that changes stride and "
                "channels, such as a 1x1 Conv2d, makes them equal"
            )
        self.save_for_backward((end, body_end))
        return through + around  # type: ignore[no-any-return]

    def backward(self, grad_output: Array) -> Array | None:
        """Run both paths backward and add."""
        end, body_end = self.take_saved()
        around = backward_through(self._shortcut(), grad_output, end)
        through = backward_through([self.body], grad_output, body_end)
        return None if around is None or through is None else around + through

    def _shortcut(self) -> list[Module]:
        return [] if self.shortcut is None else [self.shortcut]


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
        _check_distinct("Parallel", branches)

    def forward(self, x: Array) -> Array:
        """Run the branches and merge."""
        runs = [forward_through([branch], x, self.needs_input_grad) for branch in self.children()]
        outputs = [output for output, _ in runs]
        shapes = [out.shape for out in outputs]
        fitting = {(s[:1], s[2:]) for s in shapes} if self.merge == "cat" else set(shapes)
        if len(fitting) > 1 or (self.merge == "cat" and min(map(len, shapes)) < 2):
            raise ValueError(f"the branches give shapes {shapes}, which do not fit together for merge={self.merge!r}")
        self.save_for_backward(([s[1] for s in shapes] if self.merge == "cat" else None, [end for _, end in runs]))
        if self.merge == "sum":
            total: Array = sum(outputs[1:], outputs[0])
            return total
        return np.concatenate(outputs, axis=1)

    def backward(self, grad_output: Array) -> Array | None:
        """Run the branches backward and add."""
        (sizes, ends), branches = self.take_saved(), list(self.children())
        grads = [grad_output] * len(branches)
        if sizes is not None:
            grads = np.split(grad_output, np.cumsum(sizes)[:-1], axis=1)
        runs = zip(branches, grads, ends, strict=True)
        back = [backward_through([branch], grad, end) for branch, grad, end in runs]
        total = None
        for dx in back:
            total = dx if total is None or dx is None else total + dx
        return total

    def extra_repr(self) -> str:
        """How the outputs are merged."""
        return f"merge={self.merge!r}"


def _check_distinct(owner: str, modules: Iterable[Module]) -> None:
    seen: set[int] = set()
    for module in modules:
        own = {id(part) for part in module.modules()}
        if own & seen:
            raise ValueError(f"{owner}: a module appears twice; a layer keeps one forward pass: make a second one")
        seen |= own
