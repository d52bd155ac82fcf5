"""Passes: which forward pass an array belongs to, and what must stay as it was until its backward pass.

A forward pass begins where a module is called from outside, not by another module's forward. It has a number, which
everything saved during it bears. The outputs of modules, and the gradients that `backward` returns, are recognised by
identity while they live (a weak reference beside the array): so a loss knows the pass that its prediction came from,
and its gradient is refused by a module that has run again since.

An array that a module gives out and has saved is read-only until its backward pass. An input that was saved may be
the caller's own, and stays writable: its sum is compared, which notices nearly every change in place.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import count, repeat
from sys import getrefcount
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._core import Array
from .modes import mode
from .naming import name_layer
from .promotion import check_promotion

if TYPE_CHECKING:
    from .module import Module
    from .parameter import Parameter

__all__ = [
    "Pass",
    "begin",
    "end",
    "forget",
    "guarded",
    "lock",
    "mark_changed",
    "refuse_stale",
    "refuse_twice",
    "relock",
]

_MANY = 256
_numbers = count(1)


class Origin(NamedTuple):
    """The module, and the number of its forward pass, that an array came from, or that it is a gradient for."""

    module: weakref.ref[Module]
    number: int


class Pass(NamedTuple):
    """A forward pass: its number, its array inputs with their sums, each input's origin if it is known, its outputs."""

    number: int
    inputs: list[tuple[Array, Any]]
    origins: list[Origin | None]
    outputs: list[weakref.ref[Array]]


class Saved(list[Any]):
    """What a module has saved, the number of the pass, and the outputs that are read-only until backward.

    The number is negative if the module ran more than once in the pass.
    """

    def __del__(self) -> None:
        """Unlock the outputs of a module that is gone."""
        for array in self[2:]:
            array.setflags(write=True)


_Registry = dict[int, tuple[weakref.ref[Array], Origin]]  # by the arrays' ids
_outputs: _Registry = {}
_gradients: _Registry = {}
_changes = [0]  # when a parameter was last changed by an optimiser or by loading, in the passes' numbers


def _origin(registry: _Registry, value: Any) -> Origin | None:
    """Return where an array came from, or what it is a gradient for, if that is known."""
    entry = registry.get(id(value))
    return entry[1] if entry is not None and entry[0]() is value else None


def _recognise(registry: _Registry, values: Any, given: tuple[Any, ...], origins: Iterable[Origin | None]) -> None:
    """Remember the origins of arrays: of one, or of those in a tuple; not of the caller's own, which were ``given``."""
    for value, origin in zip(values if isinstance(values, tuple) else (values,), origins, strict=False):
        if origin is not None and isinstance(value, np.ndarray) and not any(value is own for own in given):
            registry[id(value)] = weakref.ref(value), origin
    if len(registry) > _MANY:
        for key in [key for key, (reference, _) in tuple(registry.items()) if reference() is None]:
            registry.pop(key, None)


def begin(module: Module, inputs: tuple[Any, ...]) -> None:
    """Begin a forward pass of a module that is called from outside."""
    mode.current = mode.expected or next(_numbers)  # a forward pass inside a backward pass recomputes a part of it
    arrays = [x for x in inputs if isinstance(x, np.ndarray) and x.dtype.kind in "fiub"]
    sums = list(zip(arrays, _sums(arrays), strict=True))
    module.__dict__["_pass"] = Pass(mode.current, sums, [_origin(_outputs, x) for x in inputs], [])


def end(module: Module, inputs: tuple[Any, ...], output: Any) -> None:
    """End the pass: remember that the output came from it."""
    if module._pass is not None:
        for array in output if type(output) is tuple else (output,):
            if type(array) is np.ndarray and not array.flags.writeable:
                module._pass.outputs.append(weakref.ref(array))  # it may be a view of a locked one
        _recognise(_outputs, output, inputs, repeat(Origin(weakref.ref(module), module._pass.number)))


def _sums(arrays: list[Array]) -> list[Any]:
    """Return the sum of each array; one that overflows is the same infinity or NaN every time."""
    with np.errstate(over="ignore", invalid="ignore"):
        return [np.add.reduce(x, axis=None) for x in arrays]


def _check(module: Module, grads: tuple[Any, ...]) -> None:
    """Check that a backward pass, called from outside, finds what its forward pass left.

    Raises:
        RuntimeError: the gradient is of an earlier forward pass; or an input or a parameter was changed since.
    """
    record: Pass | None = module._pass
    if record is None:
        return
    for origin in (_origin(_gradients, grad) for grad in grads):
        if origin is None or origin.module() is not module:
            continue
        if origin.number != record.number:
            raise RuntimeError(
                "this gradient belongs to an earlier forward pass, and the module has run again since: call backward() "
                "before the next forward pass"
            )
        mode.expected = record.number
    if _changes[0] > record.number:
        for name, parameter in module.named_params():
            if parameter.changed > record.number:
                raise RuntimeError(
                    f"{name} was changed after the forward pass: call backward() before optimizer.step()"
                )
    for (x, total), now in zip(record.inputs, _sums([x for x, _ in record.inputs]), strict=True):
        if now != total and not (now != now and total != total) and _is_saved(module, x):  # noqa: PLR0124 - NaN
            raise RuntimeError(
                f"the input of shape {x.shape} was changed in place after the forward pass, which saved it: change a "
                "copy, or call backward() first"
            )


def refuse_stale() -> None:
    """Raise RuntimeError: what a module has saved is of another pass than the one whose backward is running."""
    raise RuntimeError(
        "it has run again since the forward pass that this gradient belongs to: call backward() before the next "
        "forward pass"
    )


def refuse_twice() -> None:
    """Raise RuntimeError: a module that ran more than once in a pass has saved the last time only."""
    raise RuntimeError(
        "it ran more than once in the forward pass, and keeps what backward() needs for the last time only: make an "
        "instance for each (they may share their Parameters), or run the others inside no_grad()"
    )


def mark_changed(parameters: Iterable[Parameter]) -> None:
    """Note that parameters have new values: a forward pass from before has no backward pass any more."""
    number = next(_numbers)
    for parameter in parameters:
        parameter.changed = number
    _changes[0] = number


def _references(saved: list[Any], inputs: tuple[Any, ...], output: Array) -> tuple[int, int]:
    """Count the references to an array and its base, in a function that is called as `lock` is."""
    base = output.base
    return getrefcount(output), getrefcount(base)


def _count_alone() -> tuple[int, int]:
    output = np.empty((2, 2)).T
    return _references([], (), output)


_ALONE = _count_alone()  # the counts for an array that only its maker holds


def lock(saved: list[Any], inputs: tuple[Any, ...], output: Any) -> None:
    """Make an output read-only if it is saved, unless it is an input; append it to ``saved``."""
    if type(output) is np.ndarray:  # called for every layer: most outputs are held by nobody else
        base = output.base
        if getrefcount(output) <= _ALONE[0] and (type(base) is not np.ndarray or getrefcount(base) <= _ALONE[1]):
            return
    value = next(iter(saved), None)
    for array in output if type(output) is tuple else (output,):
        if type(array) is not np.ndarray or not array.flags.writeable:
            continue
        if _holds(value, array, array.base) and not any(_holds(x, array, array.base) for x in inputs):
            array.setflags(write=False)
            saved.append(array)


def relock(saved: list[Any]) -> None:
    """Make the outputs in ``saved`` read-only again."""
    for array in saved[2:]:
        array.setflags(write=False)


def forget(saved: list[Any]) -> None:
    """Clear ``saved``; the outputs in it may be written to again."""
    for array in saved[2:]:
        array.setflags(write=True)
    saved.clear()


def _holds(value: Any, array: Array, base: Any) -> bool:
    """Return whether a saved value is, or contains, an array with this base or a view of the same memory."""
    if value is array:
        return True
    if isinstance(value, np.ndarray):
        return (base is not None and (value.base is base or value is base)) or value.base is array
    return any(_holds(item, array, base) for item in _inside(value))


def _inside(value: Any) -> Iterable[Any]:
    """Return what a tuple, list, dict or plain object holds."""
    if isinstance(value, (tuple, list)):
        return value
    if isinstance(value, dict):
        return value.values()
    held = vars(value).values() if hasattr(value, "__dict__") and not hasattr(value, "_saved") else ()
    return [item for item in held if isinstance(item, (np.ndarray, tuple, list, dict))]


def _is_saved(module: Module, x: Array) -> bool:
    """Return whether a module or a descendant has saved an array that lies in x's memory."""
    return any(np.shares_memory(x, array) for part in module.modules() for array in _arrays(part._saved[:1]))


def _arrays(value: Any) -> Iterator[Array]:
    if isinstance(value, np.ndarray):
        yield value
    else:
        for item in _inside(value):
            yield from _arrays(item)


def guarded(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Name the layer in the errors of a backward method, and let a failed call consume nothing."""

    @wraps(backward)
    def guarded_backward(self: Module, *args: Any, **kwargs: Any) -> Any:
        saved = list(self._saved)
        try:
            result = backward(self, *args, **kwargs) if mode.walking else _walk(self, backward, *args, **kwargs)
            if type(result) is np.ndarray and args and result.dtype is not getattr(args[0], "dtype", None):
                check_promotion(self, args, result, "the gradient of input 0")
            return result
        except BaseException as error:
            self._saved[:] = saved
            relock(saved)
            name_layer(error, self)
            raise

    return guarded_backward


def _walk(module: Module, backward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a backward pass that is called from outside, not by another module's backward."""
    record = module._pass
    try:
        grads = args[0] if args else kwargs.get("grad_output")
        _check(module, grads if isinstance(grads, tuple) else (grads, *args[1:]))
        mode.walking = True
        result = backward(module, *args, **kwargs)
    finally:
        mode.walking, mode.expected = False, 0
    if record is not None:
        _recognise(_gradients, result, args, record.origins)
        for reference in record.outputs:
            array = reference()
            if array is not None and (not isinstance(array.base, np.ndarray) or array.base.flags.writeable):
                array.setflags(write=True)
        module.__dict__["_pass"] = None
    return result
