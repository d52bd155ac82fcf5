"""Containers: modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, overload

from .module import Module

__all__ = ["Sequential"]


class Sequential(Module):
    """Modules one after another: the output of each is the input of the next.

        model = Sequential(Conv2d(1, 6, 5), ReLU(), Flatten())
        model = Sequential(OrderedDict(conv=Conv2d(1, 6, 5), act=ReLU()))    # model.conv, "conv.weight"

    ``model[0]``, ``model[-1]``, ``model[1:3]`` (shares its layers), ``len``, iteration and `append` work as on a
    list. The same instance twice is refused: a layer has one memory, and its second forward pass would overwrite
    what its first kept for backward. ``needs_input_grad`` is that of the first layer.

    Args:
        *layers: modules; or one mapping of names to modules.

    Raises:
        TypeError: something is not a Module.
        ValueError: a module comes twice, or a name cannot be used.
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
        if not isinstance(layer, Module):
            hint = f"; did you mean {layer.__name__}()?" if isinstance(layer, type) else ""
            hint = "; unpack the list: Sequential(*layers)" if isinstance(layer, (list, tuple)) else hint
            raise TypeError(f"Sequential: layer {name!r} must be a Module, got {layer!r}{hint}")
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
        for layer in self:
            x = layer(x)
        return x

    def backward(self, grad_output: Any) -> Any:
        """Run the layers' backward passes in reverse order; return the gradient of the input."""
        for layer in reversed(list(self)):
            grad_output = layer.backward(grad_output)
        return grad_output

    @property
    def needs_input_grad(self) -> bool:
        """Whether `backward` returns the gradient of the input: the first layer's flag."""
        return self[0].needs_input_grad if len(self) else True

    @needs_input_grad.setter
    def needs_input_grad(self, flag: bool) -> None:
        if len(self):
            self[0].needs_input_grad = flag

    def __len__(self) -> int:
        return sum(1 for _ in self.children())

    def __iter__(self) -> Iterator[Module]:
        return self.children()

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
