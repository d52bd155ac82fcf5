"""Passes: a forward pass that begins outside, what must stay as it was until its backward pass, and the way back.

The outputs of modules, and the gradients that `backward` returns, are recognised by identity while they live (a weak
reference beside the array): so a loss knows the pass that its prediction came from (`nn/loss_value.py`), and a gradient
of an earlier pass is refused.

An array that a module gives out and has saved is read-only until its backward pass. An input that was saved may be
the caller's own, and stays writable: a checksum is compared, which notices nearly every change in place.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from functools import wraps
from itertools import count
from sys import getrefcount
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array, check_plain
from .hooks import run_hooks
from .loss_value import LossValue, is_loss, links
from .modes import mode
from .naming import name_layer
from .origins import CHANGED, origin_of, prune, remember_output
from .promotion import check_promotion
from .record import DERIVED, Record, has_backward
from .saved import holds, remember
from .structure import leaves, rebuild
from .unchanged import check_unchanged, content, numbers

if TYPE_CHECKING:
    from .module import Module

__all__ = ["callable_forward", "guarded", "inherits_a_pair", "run"]

_MANY = 256
# the record whose output a gradient is of, and that record's module
_gradients: dict[int, tuple[weakref.ref[Array], weakref.ref[Record], weakref.ref[Module]]] = {}


def run(module: Module, inputs: tuple[Any, ...], options: dict[str, Any], hooks: bool = True) -> Any:
    """Call a module on arrays: from outside, or in a forward whose backward is explicit."""
    _check_arrays(module, inputs)
    derived = not has_backward(module)
    state = mode.__dict__
    log, enabled = state["log"], state["enabled"]
    outermost = log is None and enabled and not state["walking"]
    record: Any = Record(module, next(numbers)) if outermost or derived else None
    if outermost:
        if module._pass is not None:  # what it holds can be used again, unless a loss was computed from its output
            module._saved.clear()
            module.__dict__["_pass"] = None
        _look_at(record, (inputs, options) if options else inputs)
        state["outer"] = record
    try:
        output = _forward(module, inputs, options, record, derived)
        if type(output) is not np.ndarray or (inputs and output.dtype is not getattr(inputs[0], "dtype", None)):
            check_promotion(module, inputs, output, "its output")
    except BaseException as error:
        state["outer"] = None if outermost else state["outer"]
        _fail(module, error)
        raise
    finally:
        state["record"], state["log"] = None, log
    if derived:
        module.save_for_backward(record)
    if module._saved and state["outer"] is not None:
        _lock(state["outer"], module._saved, inputs, output, derived)
    module.__dict__["_pass"] = record if outermost else None
    given = run_hooks(module, inputs, output) if hooks and module._forward_hooks else output
    state["outer"] = None if log is None else state["outer"]
    if outermost:
        output, own = _finish(record, inputs, output, derived), output
        return output if given is own else given  # new arrays that a hook gave are not known to come from here
    return given if enabled or log is not None else _outside_passes(given, derived)


def _check_arrays(module: Module, inputs: tuple[Any, ...]) -> None:
    """Refuse matrices and masked arrays."""
    for x in inputs:
        if type(x) is not np.ndarray and isinstance(x, np.ndarray):
            try:
                check_plain(x)
            except TypeError as error:
                name_layer(error, module)
                raise


def _forward(module: Module, inputs: tuple[Any, ...], options: dict[str, Any], record: Any, derived: bool) -> Any:
    """Run a forward on arrays; what it notes, or saves, is in the record."""
    state = mode.__dict__
    if derived:
        record.given = inputs
        state["record"], state["log"] = record, ()
        values, named = record.enter(inputs, options, state["enabled"] and module.needs_input_grad)
        return record.leave(module.forward(*values, **named))
    if record is not None:
        record.given, state["log"] = inputs, []
    output = module.forward(*inputs, **options)
    if record is not None:
        record.memory = remember(state["log"])
    return output


def _outside_passes(output: Any, derived: bool) -> Any:
    """Return what came out inside `no_grad`, a number as a `LossValue` of no pass: it has item()."""
    return LossValue(output, ()) if _is_number(output, derived) else output


def _is_number(output: Any, derived: bool) -> bool:
    """Return whether an output is one number, and so a loss."""
    if isinstance(output, (float, np.floating)):
        return True
    return derived and type(output) is np.ndarray and output.ndim == 0 and output.dtype.kind == "f"


def _fail(module: Module, error: BaseException) -> None:
    """Let a module whose forward failed keep nothing, here and below; name it in the error."""
    for part in module.modules():
        part._saved.clear()
        part.__dict__["_pass"] = None
    name_layer(error, module)


def _look_at(record: Record, inputs: Any) -> None:
    """Note what the arrays among the inputs hold, and which output of which pass they are, if that is known."""
    origins: list[Any] = []
    sums: list[Any] = []
    record.origins, record.sums = origins, sums
    for x in inputs if all(isinstance(x, np.ndarray) for x in inputs) else leaves(inputs):
        if isinstance(x, np.ndarray):
            held = content(x) if x.flags.writeable else None
            origins.append(origin_of(x, held))
            sums.append((x, held))
        elif is_loss(x):
            origins.append(x)
            sums.append((np.asarray(float(x)), None))


def _finish(record: Record, inputs: tuple[Any, ...], output: Any, derived: bool) -> Any:
    """Remember which arrays came out; return the output, a number as a `LossValue`."""
    if _is_number(output, derived):
        for reference, _, _ in (link for origin in record.origins for link in links(origin)):
            before = reference()
            if before is not None:
                before.followers = [*(before.followers or ()), record]
                break
        if not derived:
            record.outputs.append((0, (), None))
        return LossValue(output, (((weakref.ref(record), 0), 1.0),))
    reference = weakref.ref(record)
    for number, array in enumerate((output,) if type(output) is np.ndarray else _arrays(output)):
        if not derived:
            record.outputs.append((number, array.shape, array.dtype))
        for x in inputs:
            if array is x:
                break
        else:
            held = content(array) if array.flags.writeable else None
            remember_output(array, record, number, held, inputs)
    if derived and type(output) is not np.ndarray:
        places = count()
        return rebuild(output, lambda x: _loss_among(x, reference, places))
    return output


def _loss_among(x: Any, reference: weakref.ref[Record], places: Iterator[int]) -> Any:
    """Return one of several outputs: a number, such as a loss beside predictions, as a `LossValue`."""
    if not isinstance(x, np.ndarray):
        return x
    place = next(places)
    return LossValue(x, (((reference, place), 1.0),)) if _is_number(x, True) else x


def _arrays(output: Any) -> list[Array]:
    return [x for x in leaves(output) if isinstance(x, np.ndarray)]


def _references(
    record: Record | None, saved: list[Any], inputs: tuple[Any, ...], output: Array, derived: bool
) -> tuple[int, int]:
    """Count the references to an array and its base, in a function that is called as `_lock` is."""
    base = output.base
    return getrefcount(output), getrefcount(base)


def _count_alone() -> tuple[int, int]:
    output = np.empty((2, 2)).T
    return _references(None, [], (), output, False)


_ALONE = _count_alone()  # the counts for an array that only its maker holds


def _lock(record: Record, saved: list[Any], inputs: tuple[Any, ...], output: Any, derived: bool) -> None:
    """Make an output read-only until the backward pass if it is saved, unless it is an input."""
    if type(output) is np.ndarray:  # called for every layer: most outputs are held by nobody else
        base = output.base
        if getrefcount(output) <= _ALONE[0] and (type(base) is not np.ndarray or getrefcount(base) <= _ALONE[1]):
            return
    for array in leaves(output):
        if type(array) is not np.ndarray or any(holds(x, array, array.base) for x in inputs):
            continue
        # what is read-only already may be a view of one that was locked before
        if derived or not array.flags.writeable or holds(saved, array, array.base):
            record.lock(array)


def guarded(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Name the layer in the errors of a backward method, and let a failed call consume nothing."""

    if hasattr(backward, "plain"):
        return backward

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

    guarded_backward.plain = backward  # type: ignore[attr-defined]
    return guarded_backward


def _walk(module: Module, backward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run a backward pass that is called from outside, not by another module's backward."""
    record: Record | None = module._pass
    if record is not None:
        for grad in args if len(args) == 1 and type(args[0]) is np.ndarray else leaves((args, kwargs)):
            known = _gradients.get(id(grad))
            if known is not None and known[0]() is grad:
                belongs = known[1]()
                if known[2]() is module and belongs is not record:
                    raise RuntimeError(
                        "this gradient belongs to an earlier forward pass, and the module has run again since: call "
                        "backward() before the next forward pass"
                    )
        check_unchanged(record)
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
            whole = isinstance(origin, tuple) and origin[3] in ("", CHANGED)
            if whole and isinstance(grad, np.ndarray) and not any(grad is x for x in args):
                _gradients[id(grad)] = weakref.ref(grad), origin[0], origin[2]
        if len(_gradients) > _MANY:
            prune(_gradients)
        record.release()
    return result


def inherits_a_pair(cls: type[Module], base: type[Module]) -> bool:
    """Return whether a class inherits a backward that was written for another forward."""
    inherited = cls.backward
    return inherited is not base.backward and any(
        issubclass(kind, base) and kind.backward is inherited and kind.forward is not base.forward
        for kind in cls.__mro__[1:]
    )


def callable_forward(cls: type[Module]) -> Callable[..., Any]:
    """Return a class's forward, which may be called by itself: `net.forward(x)`, `super().forward(x)`."""
    forward = cls.forward
    derived, backward = cls.backward is DERIVED[0], getattr(cls.backward, "plain", cls.backward)

    @wraps(forward)
    def call(self: Module, *inputs: Any, **options: Any) -> Any:
        record = mode.record
        explicit = type(self).backward is not DERIVED[0]  # perhaps in a subclass, for an inherited forward
        if record is None:
            return forward(self, *inputs, **options) if explicit else run(self, inputs, options, hooks=False)
        if not derived:
            return record.call(self, inputs, options, (forward, backward), hooks=False)
        if explicit:
            return record.call(
                self, inputs, options, (forward, getattr(type(self).backward, "plain", None)), hooks=False
            )
        return forward(self, *inputs, **options)

    call.plain = forward  # type: ignore[attr-defined]
    return call
