"""gradcheck: a module's backward pass against central differences of its forward pass."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._core import Array, default_rng
from .nn import Module
from .nn.buffers import BufferSnapshot

__all__ = ["Frozen", "gradcheck", "is_float", "run_backward"]

# Step sizes of the central differences, tried in turn. Their truncation error is O(step**2); a smaller step gets
# past a kink (of ReLU, of a maximum) that lies between the two points, at the price of more rounding noise.
_STEPS = (1e-5, 1e-6, 1e-7)
_ATTEMPTS = 3
_NOISE = 2e-15  # rounding of the difference, relative to the length of the vector output * v
_MOST_NOISE = 1e-3  # of a gradient; a step that gives more tells nothing


def gradcheck(module: Module, *inputs: Any, rtol: float = 1e-6, max_entries: int = 50, seed: int = 0) -> bool:
    """Compare backward() with central differences of forward(), for the inputs and every parameter.

    The module is copied and converted to float64; the original is not touched. Random layers draw the same numbers in
    every forward pass. The loss is sum(output * v) with a fixed random v. Checked are up to ``max_entries`` entries of
    each array, drawn at random, and two random directions through all entries of each array, so that a large layer
    costs little. Where the comparison fails it is repeated with smaller steps and then at a point nearby: a kink is a
    matter of the point, a fault is not.

    Args:
        module: a layer, container or loss, in the mode (train or eval) in which it is to be checked.
        *inputs: what forward takes: float arrays are checked, others (labels) are passed as they are.
        rtol: allowed error, relative to the largest gradient of the array.
        max_entries: entries checked one by one in each array.
        seed: for v, the choice of entries and the directions.

    Returns:
        True.

    Raises:
        AssertionError: a gradient is wrong; the message names the worst parameter (or input) and index.
        ValueError: an input holds NaN or infinity.
        TypeError: the module is not a Module, or there is nothing to check: the inputs are not arrays.

    Source: the directional check follows the idea of Chainer's gradient_check.
    """
    # Not default_rng(seed): the input is often default_rng(0).standard_normal(shape), and v would be equal to it.
    if not isinstance(module, Module):
        hint = f"; did you mean {module.__name__}(...)?" if isinstance(module, type) else ""
        raise TypeError(f"gradcheck: expected a Module, got {module!r}{hint}")
    rng = np.random.default_rng([seed, 0x67726164])
    failures: list[_Mismatch] = []
    notes: list[str] = []
    for attempt in range(_ATTEMPTS):
        check = _GradientCheck(module, inputs, rng, nudge=1e-4 * bool(attempt))
        try:
            failures, notes = check.run(rtol, max_entries)
        finally:
            check.frozen.restore()
        if not failures:
            return True
    entries = [f for f in failures if f.where.startswith("at ")]  # an index says more than a direction
    worst = max(entries or failures, key=lambda f: f.error / f.allowed)
    others = sorted({f.name for f in failures if f.name != worst.name})
    lines = [f"gradcheck of {type(module).__name__} failed: {worst}"]
    lines += [f"also wrong: {', '.join(others)}"] if others else []
    raise AssertionError("\n".join(lines + notes))


@dataclass(frozen=True)
class _Mismatch:
    """One comparison that failed."""

    name: str
    where: str
    backward: float
    numerical: float
    allowed: float

    @property
    def error(self) -> float:
        error = abs(self.backward - self.numerical)
        return error if np.isfinite(error) else np.inf

    def __str__(self) -> str:
        return (
            f"{self.name} {self.where}: backward() gives {self.backward:.8g}, central differences give "
            f"{self.numerical:.8g} (error {self.error:.1e}, allowed {self.allowed:.1e})"
        )


class _GradientCheck:
    """A float64 copy of a module at one point, with frozen randomness, and its gradients by backward()."""

    def __init__(self, module: Module, inputs: tuple[Any, ...], rng: np.random.Generator, nudge: float) -> None:
        if not inputs or not any(isinstance(x, np.ndarray) for x in inputs):
            raise TypeError("gradcheck: give the module's inputs as NumPy arrays, such as gradcheck(layer, x)")
        self.rng = rng
        for number, x in enumerate(inputs):
            if is_float(x) and not np.isfinite(x).all():
                raise ValueError(f"gradcheck: input {number} holds NaN or infinity")
        self.module = copy.deepcopy(module).astype(np.float64)
        self.module.needs_input_grad = True
        self.inputs = [x.astype(np.float64) if is_float(x) else x for x in inputs]
        self.arrays: dict[str, Array] = {
            f"input {i}" if len(inputs) > 1 else "the input": x for i, x in enumerate(self.inputs) if is_float(x)
        }
        self.input_names = list(self.arrays)
        for name, parameter in self.module.named_params():
            if parameter.requires_grad:
                self.arrays[f'parameter "{name}"'] = parameter.data
        if nudge:
            for array in self.arrays.values():
                np.add(array, nudge * rng.uniform(-1, 1, array.shape), out=array)
        self.frozen = Frozen(self.module)
        self.v = np.float64(1.0)
        output = self.forward()
        self.v = rng.standard_normal(np.shape(output)) if np.ndim(output) else self.v
        again = self.forward()
        if not np.array_equal(output, again, equal_nan=True):
            raise AssertionError(
                f"gradcheck of {type(module).__name__}: two forward passes on the same input differ although the "
                "random state is the same; draw random numbers from rng= or minidl's generator, and keep no state "
                "between passes that changes the output"
            )
        self.scale = 1 + float(np.linalg.norm(np.ravel(again * self.v)))
        self.grads = self.backward(again)

    def forward(self) -> Any:
        self.frozen.restore()
        output = self.module(*self.inputs)
        # a copy: the output of a layer that does nothing is its input, which is about to change
        return output.copy() if isinstance(output, np.ndarray) else output

    def backward(self, output: Any) -> dict[str, Array | None]:
        """Run backward() once; return the gradient of each checked array, None where there is none."""
        self.module.zero_grad()
        result = run_backward(self.module, output, self.v)
        grads: dict[str, Array | None] = dict.fromkeys(self.arrays)
        returned = result if isinstance(result, tuple) else (result,)
        # a loss returns the gradient of its prediction only: what is not returned is not checked
        for name, grad in zip(self.input_names, returned, strict=False):
            grads[name] = grad
        for name in self.input_names[len(returned) :]:
            del grads[name], self.arrays[name]
        for name, parameter in self.module.named_params():
            if parameter.requires_grad:
                grads[f'parameter "{name}"'] = parameter.grad
        return grads

    def run(self, rtol: float, max_entries: int) -> tuple[list[_Mismatch], list[str]]:
        """Compare every array; return what failed, and remarks that explain it."""
        failures: list[_Mismatch] = []
        notes: list[str] = []
        for name, array in self.arrays.items():
            grad = self.grads[name]
            if grad is None:
                notes.append(f"{name} got no gradient from backward()")
                grad = np.zeros(array.shape)
            if grad.shape != array.shape:
                raise AssertionError(
                    f"gradcheck of {type(self.module).__name__} failed: the gradient of {name} has shape {grad.shape}, "
                    f"expected {array.shape}"
                )
            failures += list(self._compare(name, array, grad, rtol, max_entries))
        return failures, notes

    def _compare(self, name: str, array: Array, grad: Array, rtol: float, max_entries: int) -> Iterator[_Mismatch]:
        largest = float(np.abs(grad).max(initial=0.0))
        chosen = self.rng.permutation(array.size)[:max_entries]
        for flat in sorted(chosen):
            index = tuple(int(i) for i in np.unravel_index(flat, array.shape))
            direction = np.zeros(array.shape)
            direction[index] = 1.0
            yield from self._check(
                name, f"at {list(index)}", array, direction, float(grad[index]), rtol * largest, rtol
            )
        for number in range(2):
            direction = self.rng.choice([-1.0, 1.0], array.shape)
            length = float(np.linalg.norm(grad))  # the size that the slope along a random direction has
            slope = float((grad * direction).sum())
            yield from self._check(
                name, f"along random direction {number}", array, direction, slope, rtol * length, rtol
            )

    def _check(
        self,
        name: str,
        where: str,
        array: Array,
        direction: Array,
        slope: float,
        tolerance: float,
        rtol: float,
    ) -> Iterator[_Mismatch]:
        first: _Mismatch | None = None
        for step in _STEPS:
            numerical = self._slope(array, direction, step)
            noise = _NOISE * self.scale / step
            allowed = max(tolerance, rtol * abs(numerical)) + noise
            found = _Mismatch(name, where, slope, numerical, allowed)
            first = first or found
            if noise > _MOST_NOISE * max(tolerance / rtol, abs(numerical)) and first is not found:
                break
            if found.error <= allowed:
                return
        if first is not None:
            yield first

    def _slope(self, array: Array, direction: Array, step: float) -> float:
        """Central difference of the loss along a direction."""
        before = array.copy()
        array += step * direction
        plus = self.forward()
        array[...] = before - step * direction
        minus = self.forward()
        array[...] = before
        return float(((plus - minus) * self.v).sum() / (2 * step))


class Frozen:
    """The random states and buffers of a module, minidl's own generator included, to be put back with `restore`."""

    def __init__(self, module: Module) -> None:
        self.generators = [default_rng()]
        for part in module.modules():
            self.generators += _generators(vars(part).values())
        self.states = [copy.deepcopy(g.bit_generator.state) for g in self.generators]
        self.buffers = BufferSnapshot(module)
        self.buffers.take()

    def restore(self) -> None:
        """Put everything back as it was when this object was made."""
        for generator, state in zip(self.generators, self.states, strict=True):
            generator.bit_generator.state = state
        self.buffers.restore()


def _generators(values: Iterable[Any]) -> list[np.random.Generator]:
    """The generators among some values, also inside lists, tuples and dicts."""
    found: list[np.random.Generator] = []
    for value in values:
        if isinstance(value, np.random.Generator):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += _generators(value)
        elif isinstance(value, dict):
            found += _generators(value.values())
    return found


def run_backward(module: Module, output: Any, grad_output: Any) -> Any:
    """Call backward() with a gradient for an array, without one for a loss that is a number."""
    backward: Any = module.backward
    return backward(grad_output) if isinstance(output, np.ndarray) else backward()


def is_float(x: Any) -> bool:
    """Tell whether ``x`` is an array of floats."""
    return isinstance(x, np.ndarray) and x.dtype.kind == "f"
