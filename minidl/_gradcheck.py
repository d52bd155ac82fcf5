"""gradcheck: a module's backward pass against central differences of its forward pass."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._blame import wrong_children
from ._core import Array, default_rng
from .nn import Loss, Module, no_grad
from .nn.buffers import BufferSnapshot
from .nn.generators import generators
from .nn.record import has_backward
from .nn.structure import leaves, rebuild

__all__ = ["CannotTellError", "Frozen", "check_is_module", "given_back", "gradcheck", "is_float", "run_backward"]

# How far a point is moved before each attempt, relative to the largest entry.
_NUDGES = (0.0, 1e-4, 1e-4)
# Step sizes of the central differences, tried in turn, as they are and relative to the array. Their truncation error is
# O(step**2). A smaller step can avoid a kink (of ReLU, of a maximum), at the price of more rounding noise.
_STEPS = (1e-5, 1e-6, 1e-7)
_WIDE = (0.01, 0.1, 0.5, 1.0)
_NOISE = 2e-15  # rounding error of a difference, relative to the length of the vector output * v
_MOST_NOISE = 1e-3  # relative to a gradient; a step with more noise than this shows nothing
_LEAST = 1e-9  # relative to an array; a smaller step is lost in rounding
_QUIET = 1e-5  # likewise; with more noise than this it does not show that a gradient is right


class CannotTellError(ValueError):
    """gradcheck could neither confirm nor refute a backward pass; the message says why, and what to try."""


def gradcheck(module: Module, *inputs: Any, rtol: float = 1e-6, max_entries: int = 50, seed: int = 0) -> bool:
    """Compare backward() with central differences of forward(), for the inputs and every parameter.

    The module is copied and converted to float64; the original is not changed. Random layers draw the same numbers in
    every forward pass. The loss is sum(output * v) with a fixed random v. In each array up to ``max_entries`` entries
    are checked, chosen at random, and two random directions through all entries, so that a large layer is checked
    quickly. A comparison that fails is repeated with smaller steps, and then at a nearby point: a kink depends on the
    point, a bug does not.

    Args:
        module: a layer, container or loss, in the mode (train or eval) in which it is to be checked.
        *inputs: what forward takes, also tuples, lists and dicts of arrays: float arrays are checked, others (labels)
            are passed on unchanged.
        rtol: allowed error, relative to the largest gradient of the array.
        max_entries: the number of entries checked one by one in each array.
        seed: for v, the choice of entries and the directions.

    Returns:
        True.

    Raises:
        AssertionError: a gradient is wrong, or that of an input is missing (but for a loss's target); the message names
            the worst parameter (or input) and index, and the layers inside whose own backward is wrong, each checked on
            the inputs that it gets here.
        CannotTellError: the output is not finite, or rounding hides the differences.
        ValueError: an input holds NaN or infinity.
        TypeError: the module is not a Module, or there is nothing to check: the inputs are not arrays.

    Source: checking along random directions is the idea of Chainer's gradient_check.
    """
    check_is_module("gradcheck", module)
    if not any(isinstance(x, np.ndarray) for x in leaves(inputs)):
        raise TypeError("gradcheck: give the module's inputs as NumPy arrays, such as gradcheck(layer, x)")
    for name, x in _named(inputs, "input {}"):
        if is_float(x) and not np.isfinite(x).all():
            raise ValueError(f"gradcheck: {name} holds NaN or infinity")
    # Not default_rng(seed): the input is often default_rng(0).standard_normal(shape), and v would be equal to it.
    rng = np.random.default_rng([seed, 0x67726164])
    for nudge in _NUDGES:
        point = _Point(module, inputs, rng, nudge)
        with point.frozen:
            grads = point.backward()
            found = [m for name in grads for m in point.compare(name, grads[name], rtol, max_entries)]
        mismatches = [m for m in found if m.certain]
        if not mismatches:
            break
    if not mismatches and found:
        raise CannotTellError(f"gradcheck of {point.kind} cannot tell: {found[0].doubt()}")
    if not mismatches:
        return True
    by_entry = [m for m in mismatches if m.where.startswith("at ")]  # an index says more than a direction
    worst = max(by_entry or mismatches, key=lambda m: m.error / (m.allowed or 1e-300))
    others = sorted({m.name for m in mismatches if m.name != worst.name})
    lines = [f"gradcheck of {point.kind} failed: {worst}"]
    lines += [f"also wrong: {', '.join(others)}"] if others else []
    if worst.numerical == 0 and worst.name.startswith("the input"):
        lines.append(
            "the output does not change there: where backward() passes a gradient on purpose (straight-through), it is "
            "no derivative, and what is around it is checked with nn.Identity() in its place; see docs/own-layer.md"
        )
    lines += [f"{name} got no gradient from backward()" for name, grad in grads.items() if grad is None]

    def check(child: Module, *given: Any) -> None:
        gradcheck(child, *given, rtol=rtol, max_entries=max_entries, seed=seed)

    lines += wrong_children(point.module, point.inputs, check)
    raise AssertionError("\n".join(lines))


@dataclass(frozen=True)
class _Mismatch:
    """A comparison that failed: of which array, where in it, and the two slopes of the loss."""

    name: str
    where: str
    backward: float
    numerical: float
    allowed: float
    certain: bool = True

    def doubt(self) -> str:
        """Say why the comparison shows nothing."""
        return (
            f"{self.name} {self.where}: backward() gives {self.backward:.3g}, but rounding hides differences below "
            f"{self.allowed:.3g}; check where the output is smaller, or the layer without what is added to it"
        )

    @property
    def error(self) -> float:
        error = abs(self.backward - self.numerical)
        return error if np.isfinite(error) else np.inf

    def __str__(self) -> str:
        return (
            f"{self.name} {self.where}: backward() gives {self.backward:.8g}, central differences give "
            f"{self.numerical:.8g} (error {self.error:.1e}, allowed {self.allowed:.1e})"
        )


class _Point:
    """A float64 copy of a module and its inputs, with frozen randomness: the point at which gradients are checked."""

    def __init__(self, module: Module, inputs: tuple[Any, ...], rng: np.random.Generator, nudge: float) -> None:
        self.kind, self.rng = type(module).__name__, rng
        self.module = copy.deepcopy(module).astype(np.float64)
        self.module.needs_input_grad = True
        self.inputs: tuple[Any, ...] = rebuild(inputs, lambda x: x.astype(np.float64) if is_float(x) else x)
        if any(p.shape == (0,) for p in self.module.params()):  # the first input gives them a size
            with no_grad():
                self.module(*self.inputs)
        self.parameters = {f'parameter "{name}"': p for name, p in self.module.named_params() if p.requires_grad}
        named = _named(self.inputs, "input {}" if len(inputs) > 1 else "the input")
        self.floats = {name: x for name, x in named if is_float(x)}
        self.arrays = {**self.floats, **{name: p.data for name, p in self.parameters.items()}}
        if nudge:
            for array in self.arrays.values():
                np.add(array, nudge * _size(array) * rng.uniform(-1, 1, array.shape), out=array)
        self.frozen = Frozen(self.module)
        self.v: Array = np.ones(1)

    def forward(self) -> Any:
        self.frozen.restore()
        return self.module(*self.inputs)

    def vector(self) -> Array:
        """Return all numbers that come out, one after another; of a loss its one number."""
        # a copy: the output of a layer that does nothing is its input, which is about to change
        return _vector(self.forward())

    def backward(self) -> dict[str, Array | None]:
        """Choose v and return the gradients of the loss by name, from one forward and backward pass."""
        first = self.vector()
        again = self.forward()
        numbers = _vector(again)
        if not np.array_equal(first, numbers, equal_nan=True):
            raise AssertionError(
                f"gradcheck of {self.kind}: two forward passes on the same input differ although the random state is "
                "the same; draw random numbers from rng= or minidl's generator, and keep no state between passes that "
                "changes the output"
            )
        for number, out in enumerate(_floats(again)):
            if not np.isfinite(out).all():
                where = np.argwhere(~np.isfinite(np.atleast_1d(out)))[0].tolist()
                which = f"output {number}" if number else "output"
                raise CannotTellError(
                    f"gradcheck of {self.kind} cannot tell: the {which} at {where} is "
                    f"{np.atleast_1d(out)[tuple(where)]}; check at inputs where the output is finite"
                )
        # a loss returns the gradient of its prediction only: that of the target is not checked
        several = isinstance(again, (tuple, list, dict))
        is_loss = isinstance(self.module, Loss) or (not several and not np.ndim(again) and has_backward(self.module))
        if several or np.ndim(again):
            self.v = self.rng.standard_normal(numbers.shape)
        parts = iter(np.split(self.v, np.cumsum([np.size(out) for out in _floats(again)])[:-1]))
        self.module.zero_grad()
        result = run_backward(
            self.module, again, rebuild(again, lambda out: next(parts).reshape(out.shape) if is_float(out) else None)
        )
        returned = given_back(self.module, self.inputs, result)
        if not is_loss and len(returned) != max(1, len(self.floats)):
            raise AssertionError(
                f"gradcheck of {self.kind} failed: backward() returned {len(returned)} gradient(s) for "
                f"{len(self.floats)} inputs; return a tuple with one for each"
            )
        grads = dict(zip(self.floats, returned, strict=False))
        return {**grads, **{name: parameter.grad for name, parameter in self.parameters.items()}}

    def compare(self, name: str, grad: Array | None, rtol: float, max_entries: int) -> Iterator[_Mismatch]:
        """Compare a gradient with central differences, entry by entry and along two random directions."""
        array = self.arrays[name]
        grad = np.zeros(array.shape) if grad is None else grad
        if grad.shape != array.shape:
            raise AssertionError(
                f"gradcheck of {self.kind} failed: the gradient of {name} has shape {grad.shape}, expected "
                f"{array.shape}"
            )
        finite = grad[np.isfinite(grad)]  # a non-finite entry must not make the others' tolerance non-finite
        largest, length = float(np.abs(finite).max(initial=0.0)), float(np.linalg.norm(finite))
        for flat in sorted(self.rng.permutation(array.size)[:max_entries]):
            index = tuple(int(i) for i in np.unravel_index(flat, array.shape))
            direction = np.zeros(array.shape)
            direction[index] = 1.0
            yield from self._check(name, f"at {list(index)}", direction, float(grad[index]), largest, rtol)
        for number in range(2):
            direction = self.rng.choice([-1.0, 1.0], array.shape)
            slope = float((grad * direction).sum())
            # the slope along a random direction is about as large as the gradient is long
            yield from self._check(name, f"along random direction {number}", direction, slope, length, rtol)

    def _check(
        self, name: str, where: str, direction: Array, slope: float, size: float, rtol: float
    ) -> Iterator[_Mismatch]:
        """Yield a mismatch unless a central difference agrees with ``slope``; such slopes are of about this size."""
        array = self.arrays[name]
        wide = _size(array)

        def compared(step: float) -> tuple[_Mismatch, float]:
            numerical, noise = self._difference(array, direction, step)
            expected = max(size, abs(numerical))
            noise += _NOISE * wide / step * expected  # a step is rounded too
            return _Mismatch(
                name, where, slope, numerical, rtol * expected + noise, noise <= _MOST_NOISE * expected
            ), noise

        found = []
        steps = dict.fromkeys(step * unit for unit in (1.0, wide) for step in _STEPS)
        for step in (step for step in steps if step > _LEAST * wide):
            mismatch, noise = compared(step)
            if mismatch.error <= mismatch.allowed:
                if noise <= _QUIET * max(size, abs(mismatch.numerical)):
                    return
                mismatch = replace(mismatch, certain=False)
            found.append(mismatch)
        certain = [m for m in found if m.certain or not np.isfinite(slope)]
        if certain:
            yield replace(certain[0], certain=True)
            return
        # rounding hides what narrow steps show; wide ones show it where the loss is a straight line
        hundredth, tenth, half, whole = (compared(step * wide) for step in _WIDE)
        level = all(max(abs(slope), abs(m.numerical)) <= noise for m, noise in (half, whole))
        dead = slope == hundredth[0].numerical == tenth[0].numerical == 0  # as a ReLU below zero
        straight = abs(half[0].numerical - whole[0].numerical) <= half[0].allowed + whole[0].allowed
        if level or dead:
            return
        if not straight or not whole[0].certain:
            yield min(found, key=lambda mismatch: mismatch.allowed)
        elif whole[0].error > whole[0].allowed:
            yield whole[0]

    def _difference(self, array: Array, direction: Array, step: float) -> tuple[float, float]:
        """Return the central difference of the loss along a direction, and how far rounding may have moved it."""
        before = array.copy()
        array += step * direction
        plus = self.vector()
        array[...] = before - step * direction
        minus = self.vector()
        array[...] = before
        with np.errstate(invalid="ignore"):  # a wide step may lead where the output is not finite
            difference = float(((plus - minus) * self.v).sum())
            noise = _NOISE * float(np.linalg.norm(np.ravel((abs(plus) + abs(minus)) * self.v)))
            return difference / (2 * step), noise / (2 * step)


def _size(array: Array) -> float:
    """Return the largest entry's size; 1 if all are zero."""
    return float(np.abs(array).max(initial=0.0)) or 1.0


class Frozen:
    """The random states and buffers of a module, and minidl's own generator; `restore` resets them.

    As a context manager it restores them when the block ends.
    """

    def __init__(self, module: Module) -> None:
        direct, inside = generators(module)
        self.generators = [default_rng(), *direct, *inside]
        self.states = [copy.deepcopy(g.bit_generator.state) for g in self.generators]
        self.buffers = BufferSnapshot(module)
        self.buffers.take()

    def restore(self) -> None:
        """Restore everything as it was when this object was made."""
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.bit_generator.state = state
        self.buffers.restore()

    def __enter__(self) -> Frozen:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()


def check_is_module(owner: str, module: Any) -> None:
    """Raise TypeError for what is not a Module; for a class, ask for an instance."""
    if not isinstance(module, Module):
        hint = f"; did you mean {module.__name__}(...)?" if isinstance(module, type) else ""
        raise TypeError(f"{owner}: expected a Module, got {module!r}{hint}")


def run_backward(module: Module, output: Any, grad_output: Any) -> Any:
    """Call backward(): with gradients of the output's structure, without any if it is the number of a loss."""
    backward: Any = module.backward
    if isinstance(output, np.ndarray):
        return backward(grad_output)
    if not isinstance(output, (tuple, list, dict)):
        return backward()
    if not has_backward(module):
        return backward(grad_output)
    pairs = zip(leaves(output, none=True), leaves(grad_output, none=True), strict=True)
    floats = tuple(g for out, g in pairs if is_float(out))
    return backward(floats[0] if len(floats) == 1 else floats)


def given_back(module: Module, inputs: tuple[Any, ...], result: Any) -> list[Any]:
    """Return what backward() has returned as one gradient for each float array among the inputs.

    A hand-written backward may leave out inputs that have no gradient.
    """
    returned = list(leaves((result,), none=True))
    if has_backward(module) and isinstance(result, tuple) and len(returned) < len(list(leaves(inputs, none=True))):
        return returned
    places = [is_float(x) for x in leaves(inputs, none=True)]
    if len(returned) != len(places) or not any(places):
        return returned
    return [grad for grad, yes in zip(returned, places, strict=True) if yes]


def is_float(x: Any) -> bool:
    """Return whether ``x`` is an array of floats."""
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"


def _floats(output: Any) -> list[Any]:
    """Return the float arrays of an output; of a loss its number."""
    if isinstance(output, (tuple, list, dict)):
        return [out for out in leaves(output) if is_float(out)]
    return [output if isinstance(output, np.ndarray) else np.float64(output)]


def _vector(output: Any) -> Array:
    return np.concatenate([np.zeros(0), *(np.ravel(out) for out in _floats(output))])


def _named(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield a name and what it names for each thing in the inputs: "input 0", 'input 1["mask"]', "input 2[0]"."""
    for number, item in enumerate(value):
        yield from _inside(item, name.format(number))


def _inside(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (tuple, list, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _inside(item, f"{name}[{json.dumps(key, default=repr)}]")
    else:
        yield name, value
