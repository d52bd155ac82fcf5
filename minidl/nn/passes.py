"""Passes: a forward pass that begins outside, what must stay as it was until its backward pass, and the way back.

The outputs of modules, and the gradients that `backward` returns, are recognised by identity while they live (a weak
reference beside the array): so a loss knows the pass that its prediction came from (`nn/loss_value.py`), and a gradient
of an earlier pass is refused.

An array that a module gives out and has saved is read-only until its backward pass. An input that was saved may be
the caller's own, and stays writable: a checksum is compared, which notices nearly every change in place.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import wraps
from itertools import count
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from .loss_value import LossValue
from .modes import mode
from .naming import name_layer
from .promotion import check_promotion
from .record import Record, has_backward, holds, remember
from .structure import leaves

if TYPE_CHECKING:
    from .module import Module
    from .parameter import Parameter

__all__ = ["check_unchanged", "guarded", "mark_changed", "run"]

_MANY = 256
_numbers = count(1)
# by the arrays' ids: the record that an output came from, which of its outputs it is, and its checksum if it is writable
_outputs: dict[int, tuple[weakref.ref[Array], weakref.ref[Record], int, Any]] = {}
# the record whose output a gradient is of, and that record's module
_gradients: dict[int, tuple[weakref.ref[Array], weakref.ref[Record], weakref.ref[Module]]] = {}
_changes = [0]  # when a parameter was last changed by an optimiser or by loading, in the passes' numbers


def run(module: Module, inputs: tuple[Any, ...], options: dict[str, Any], hooks: bool = True) -> Any:
    """Call a module on arrays: from outside, or in a forward whose backward is explicit."""
    derived = not has_backward(module)
    log, locked = mode.log, mode.locked
    outermost = log is None and mode.enabled and not mode.walking
    record: Any = Record(module, next(_numbers)) if outermost or derived else None
    if record is not None:
        record.given = inputs
    if outermost:
        _look_at(record, (inputs, options) if options else inputs)
        mode.locked = record.locked
    try:
        if derived:
            mode.record, mode.log = record, []
            values, named = record.enter(inputs, options, mode.enabled and module.needs_input_grad)
            output = record.leave(module.forward(*values, **named))
        else:
            if outermost:
                mode.log = []
            output = module.forward(*inputs, **options)
            if type(output) is np.ndarray and inputs and output.dtype is not getattr(inputs[0], "dtype", None):
                check_promotion(module, inputs, output, "its output")
            if outermost:
                record.memory = remember(mode.log or [])
    except BaseException as error:
        for part in module.modules():
            part._saved.clear()
            part.__dict__["_pass"] = None
        name_layer(error, module)
        raise
    finally:
        mode.record, mode.log = None, log
    if derived:
        module.save_for_backward(record)
    if mode.locked is not None and module._saved:
        _lock(module._saved, inputs, output, derived)
    mode.locked = locked
    module.__dict__["_pass"] = record if outermost else None
    if hooks and module._forward_hooks:
        for hook in tuple(module._forward_hooks.values()):
            replaced = hook(module, inputs, output)
            if replaced is not None:
                output = replaced
    return _finish(record, inputs, output, derived) if outermost else output


def _look_at(record: Record, inputs: Any) -> None:
    """Note the checksums of the arrays among the inputs, and which output of which pass they are, if that is known."""
    for x in leaves(inputs):
        if isinstance(x, np.ndarray):
            total = _checksum(x) if x.flags.writeable else None
            known = _outputs.get(id(x))
            same = known is not None and known[0]() is x
            record.origins.append((*known[1:3], known[3] == total or total is None) if same else None)
            record.sums.append((x, total))


def _checksum(x: Array) -> Any:
    """Return the sum of an array's bits, read as integers."""
    if x.dtype.kind not in "fiub":
        return None
    size = x.itemsize
    if size == 4 and x.flags.c_contiguous and x.size % 2 == 0 and x.size:
        return np.add.reduce(x.reshape(-1).view(np.int64))
    return np.add.reduce(x.view(f"i{size}"), axis=None, dtype=np.int64)


def _finish(record: Record, inputs: tuple[Any, ...], output: Any, derived: bool) -> Any:
    """Remember which arrays came out; return the output, a number as a `LossValue`."""
    if isinstance(output, (float, np.floating)) or (
        derived and type(output) is np.ndarray and output.ndim == 0 and output.dtype.kind == "f"
    ):
        for origin in record.origins:
            before = origin[0]() if origin is not None else None
            if before is not None:
                before.followers.append(record)
                break
        if not derived:
            record.outputs.append((0, (), None))
        return LossValue(output, ((weakref.ref(record), 1.0),))
    reference = weakref.ref(record)
    for number, array in enumerate([x for x in leaves(output) if isinstance(x, np.ndarray)]):
        if not derived:
            record.outputs.append((number, array.shape, array.dtype))
        if array.dtype.kind == "f" and not any(array is x for x in inputs):
            total = _checksum(array) if array.flags.writeable else None
            _outputs[id(array)] = weakref.ref(array), reference, number, total
    if len(_outputs) > _MANY:
        _prune(_outputs)
    return output


def _prune(registry: dict[int, Any]) -> None:
    """Forget the arrays that are gone."""
    for key in [key for key, entry in tuple(registry.items()) if entry[0]() is None]:
        registry.pop(key, None)


def check_unchanged(record: Record, module: Module) -> None:
    """Check that a backward pass finds what its forward pass left.

    Raises:
        RuntimeError: an input or a parameter was changed since.
    """
    if _changes[0] > record.number:
        for name, parameter in module.named_params():
            if parameter.changed > record.number:
                raise RuntimeError(
                    f"{name} was changed after the forward pass: call backward() before optimizer.step()"
                )
    for x, total in record.sums:
        if total is not None and _checksum(x) != total and record.keeps(x):
            raise RuntimeError(
                f"the input of shape {x.shape} was changed in place after the forward pass, which saved it: change a "
                "copy, or call backward() first"
            )


def mark_changed(parameters: Iterable[Parameter]) -> None:
    """Note that parameters have new values: a forward pass from before has no backward pass any more."""
    number = next(_numbers)
    for parameter in parameters:
        parameter.changed = number
    _changes[0] = number


def _references(saved: list[Any], inputs: tuple[Any, ...], output: Array, derived: bool) -> tuple[int, int]:
    """Count the references to an array and its base, in a function that is called as `_lock` is."""
    base = output.base
    return getrefcount(output), getrefcount(base)


def _count_alone() -> tuple[int, int]:
    output = np.empty((2, 2)).T
    return _references([], (), output, False)


_ALONE = _count_alone()  # the counts for an array that only its maker holds


def _lock(saved: list[Any], inputs: tuple[Any, ...], output: Any, derived: bool) -> None:
    """Make an output read-only until the backward pass if it is saved, unless it is an input."""
    if type(output) is np.ndarray:  # called for every layer: most outputs are held by nobody else
        base = output.base
        if getrefcount(output) <= _ALONE[0] and (type(base) is not np.ndarray or getrefcount(base) <= _ALONE[1]):
            return
    for array in leaves(output):
        if type(array) is not np.ndarray or any(holds(x, array, array.base) for x in inputs):
            continue
        if not array.flags.writeable:  # it may be a view of one that was locked before
            if array.base is not None:
                mode.locked.append(array)
        elif derived or holds(saved, array, array.base):
            array.setflags(write=False)
            mode.locked.append(array)


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
            name_layer(error, self)
            raise

    return guarded_backward


def _walk(module: Module, backward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a backward pass that is called from outside, not by another module's backward."""
    record: Record | None = module._pass
    if record is not None:
        for grad in leaves((args, kwargs)):
            known = _gradients.get(id(grad))
            if known is not None and known[0]() is grad:
                belongs = known[1]()
                if known[2]() is module and belongs is not record:
                    raise RuntimeError(
                        "this gradient belongs to an earlier forward pass, and the module has run again since: call "
                        "backward() before the next forward pass"
                    )
        check_unchanged(record, module)
        for part, value in record.memory or ():  # an explicit module's; those inside may have run since
            if part is not module:
                part._saved[:] = (value,)
    mode.walking = True
    try:
        result = backward(module, *args, **kwargs)
    finally:
        mode.walking = False
    if record is not None:
        for grad, origin in zip(result if isinstance(result, tuple) else (result,), record.origins, strict=False):
            before = origin[0]() if origin is not None else None
            if before is not None and isinstance(grad, np.ndarray) and not any(grad is x for x in args):
                _gradients[id(grad)] = weakref.ref(grad), origin[0], before.module
        if len(_gradients) > _MANY:
            _prune(_gradients)
        record.release()
    return result
