"""The contract of a layer, as code: gradcheck checks its gradients, check_module checks all of it.

minidl's own layers are tested with the same two functions.
"""

from __future__ import annotations

import copy
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ._core import Array
from ._gradcheck import CannotTellError, Frozen, check_is_module, given_back, gradcheck, is_float, run_backward
from ._losscheck import loss_fault
from .nn import Module, Parameter, no_grad
from .nn.structure import leaves, rebuild

__all__ = ["CannotTellError", "check_module", "gradcheck"]

_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))


def check_module(module: Module, *inputs: Any) -> bool:
    """Check that a layer satisfies minidl's whole contract; the original is not changed.

    Checked, in this order: state is registered; dtypes (the parameters have one, that of float32 inputs; outputs and
    gradients have it too); the rules of the stateful pass (backward before forward and twice, arguments and earlier
    outputs unchanged, a new forward replaces what was saved, gradients that add up, `needs_input_grad`); train and eval
    mode; a batch of one and non-contiguous input; state dict, pickle and deepcopy round trips; `output_shape`;
    a loss of several batches is what `nn.Loss` says; `gradcheck` in both modes. A module that keeps memory inside
    `no_grad` gets a warning.

    Args:
        module: a layer, container or loss.
        *inputs: what forward takes: float32 or float64 arrays with the batch first, at least two samples, also in
            tuples, lists and dicts; for a loss, the prediction and the target.

    Returns:
        True.

    Raises:
        AssertionError: the contract is violated; the message says how, in one sentence, and what to do.
        TypeError: the module is not a Module.
    """
    check_is_module("check_module", module)
    case = _Case(module, inputs)
    with case.frozen:
        for check in _CHECKS:
            check(case)
        for mode in (True, False):
            gradcheck(case.fresh().train(mode), *inputs)
    return True


class _Case:
    """A module and its inputs, with fresh copies for each check."""

    def __init__(self, module: Module, inputs: tuple[Any, ...]) -> None:
        self.original, self.inputs = module, inputs
        self.name = type(module).__name__
        try:
            self.frozen = Frozen(module)
        except TypeError as error:  # a set of layers
            raise AssertionError(f"check_module of {self.name}: {error}") from error
        except RuntimeError as error:  # super().__init__() was forgotten
            raise AssertionError(f"check_module: {error}") from error

    def fresh(self, dtype: Any = np.float64) -> Module:
        """Return a copy in training mode, converted to ``dtype`` if given; all random states are as at the start."""
        self.frozen.restore()
        module = copy.deepcopy(self.original).train()
        if dtype is not None:
            module.astype(dtype)
        module.zero_grad()
        module.needs_input_grad = True
        return module

    def arguments(self, dtype: Any = np.float64) -> list[Any]:
        """Return copies of the inputs, floats converted to ``dtype``."""
        return [rebuild(x, lambda v: v.astype(dtype) if is_float(v) else copy.deepcopy(v)) for x in self.inputs]

    def batch(self, arguments: list[Any], size: int) -> list[Any]:
        """Return arguments with the first sample alone (1), or each twice (2); with 0 they stay as they are."""
        count = np.shape(next(leaves(arguments)))[:1] if size else None

        def changed(x: Any) -> Any:
            if not isinstance(x, np.ndarray) or x.shape[:1] != count:
                return x
            return x[:1] if size == 1 else np.concatenate([x, x])

        return [rebuild(x, changed) for x in arguments]

    def require(self, condition: bool, message: str) -> None:
        """Raise AssertionError with ``message`` unless the condition holds."""
        if not condition:
            raise AssertionError(f"check_module of {self.name}: {message}")


def _grad_output(output: Any) -> Any:
    """Return a gradient for an output: various numbers for an array, None for a loss that is a number."""
    if isinstance(output, (tuple, list, dict)):
        return rebuild(output, lambda out: _grad_output(out) if is_float(out) else None)
    if not isinstance(output, np.ndarray):
        return None
    return np.linspace(-1, 1, output.size, dtype=output.dtype).reshape(output.shape)


def _run(module: Module, arguments: list[Any]) -> tuple[Any, list[Any], dict[str, Array | None]]:
    """Run one forward and backward pass; return the output, the gradients of the inputs and of the parameters."""
    output = module(*arguments)
    dx = run_backward(module, output, _grad_output(output))
    grads = {name: None if p.grad is None else p.grad.copy() for name, p in module.named_params()}
    return output, given_back(module, tuple(arguments), dx), grads


def _close(a: Any, b: Any) -> bool:
    """Return whether two arrays, or two Nones, or structures of them, are equal up to rounding."""
    if isinstance(a, (tuple, list, dict)):
        ours, theirs = list(leaves(a, none=True)), list(leaves(b, none=True))
        return len(ours) == len(theirs) and all(map(_close, ours, theirs))
    if a is None or b is None:
        return a is b
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True)


def _check_registered(case: _Case) -> None:
    """Parameters, modules and arrays that the output depends on are registered."""
    module = case.fresh()
    found = {id(p) for p in module.params()} | {id(m) for m in module.modules()}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            where = f"self.{path}.{name}" if path else f"self.{name}"
            for hidden in _hidden(value):
                case.require(
                    id(hidden) in found,
                    f"{where} hides a {type(hidden).__name__}, which params() and state_dict() do not find: assign it "
                    "to an attribute, or put it into a list, tuple or dict that is one",
                )
            if name in part._buffers or name in ("_saved", "_pass"):
                continue
            for number in range(len(_plain_arrays(value))):
                case.require(
                    not _output_depends_on(case, path, name, number),
                    f"the output depends on {where}, a plain array: make it nn.Parameter(...) to train it, or "
                    f"register_buffer({name!r}, ...) to save and convert it with the module",
                )


def _hidden(value: Any, depth: int = 3) -> Iterator[Parameter | Module]:
    """Yield the Parameters and Modules in a value, even inside other objects, whether params() finds them or not."""
    inside: Any = ()
    if isinstance(value, (Parameter, Module)):
        yield value
    elif isinstance(value, (list, tuple, set, frozenset)):
        inside = value
    elif isinstance(value, dict):
        inside = value.values()
    elif hasattr(value, "__dict__") and not isinstance(value, type) and not callable(value):
        inside = vars(value).values()
    for item in inside if depth else ():
        yield from _hidden(item, depth - 1)


def _plain_arrays(value: Any) -> list[Array]:
    """Return the float arrays in an attribute, even inside a list, tuple or dict."""
    if is_float(value):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [item for item in inside if is_float(item)]


def _output_depends_on(case: _Case, path: str, name: str, number: int) -> bool:
    """Return whether the output changes when a plain array of a module changes."""
    outputs = []
    for change in (0.0, 0.5):
        module = case.fresh()
        array = _plain_arrays(vars(dict(module.named_modules())[path])[name])[number]
        array.flags.writeable = True  # it belongs to our copy of the module
        array[...] = array * (1 + change) + change
        outputs.append(list(leaves((module(*case.arguments()),))))
    return not all(
        np.array_equal(before, after, equal_nan=is_float(before)) for before, after in zip(*outputs, strict=True)
    )


def _check_one_dtype(case: _Case) -> None:
    """The parameters are all float32 or all float64, as the inputs are if these are float32."""
    dtypes = {f'parameter "{name}"': p.data.dtype for name, p in case.original.named_params()}
    for what, dtype in dtypes.items():
        case.require(dtype in _DTYPES, f"{what} is {dtype}; make it float32 (or float64)")
    for number, x in enumerate(leaves(case.inputs)):
        if is_float(x) and x.dtype == np.float32:
            dtypes.setdefault(f"input {number}", x.dtype)
    first = {dtype: next(what for what in dtypes if dtypes[what] == dtype) for dtype in dtypes.values()}
    case.require(
        len(first) < 2,
        " and ".join(f"{what} is {dtype}" for dtype, what in first.items())
        + "; use one dtype, as in nn.Parameter(np.ones(3, np.float32)), or convert with astype",
    )


def _check_dtype(case: _Case) -> None:
    """Output and gradients have the dtype of input and parameters: as the module is, and converted; in both modes."""
    for wanted in (None, *_DTYPES):
        for mode, batch in ((True, 0), (True, 2), (False, 0), (False, 1), (False, 2)):
            try:
                _require_dtype(case, wanted, mode, batch)
            except TypeError as error:  # a layer inside has refused, or made, another dtype
                raise AssertionError(f"check_module of {case.name}: {error}") from error
            except ValueError:
                if batch == 0:
                    raise
                # another size of the batch is refused: `_check_inputs` says so


def _require_dtype(case: _Case, wanted: np.dtype[Any] | None, mode: bool, batch: int) -> None:
    """Run both passes in one dtype, mode and size of the batch; require that nothing has another dtype."""
    dtype = _dtype_of(case) if wanted is None else wanted
    module, arguments = case.fresh(wanted).train(mode), case.batch(case.arguments(dtype), batch)

    def require(what: str, value: Any) -> None:
        case.require(
            not isinstance(value, np.ndarray) or value.dtype == dtype,
            f"given {dtype} input and parameters, {what} is {getattr(value, 'dtype', None)}"
            + ("" if mode else " in eval mode")
            + "; look for a NumPy float64 scalar or array in the arithmetic (use Python floats, or x.dtype)",
        )

    output = module(*arguments)
    for out in leaves(output) if isinstance(output, (tuple, list, dict)) else (output,):
        if out is output or is_float(out):
            require("its output", out)
    dx = run_backward(module, output, _grad_output(output))
    for number, grad in enumerate(leaves((dx,), none=True)):
        require(f"the gradient of input {number}", grad)
    for name, parameter in module.named_params():
        require(f'the gradient of parameter "{name}"', parameter.grad)


def _dtype_of(case: _Case) -> np.dtype[Any]:
    """Return the dtype of the parameters; without any, that of the inputs."""
    found = [p.dtype for p in case.original.params()] + [x.dtype for x in leaves(case.inputs) if is_float(x)]
    return found[0] if found and found[0] in _DTYPES else _DTYPES[0]


_KEEP = "keep what it needs with self.save_for_backward(...) in forward and fetch it with self.take_saved()"


def _check_one_pass(case: _Case) -> None:
    """Backward before forward, or twice, raises; arguments are unchanged; gradients have the right shapes."""
    module = case.fresh()
    output = module(*case.arguments())
    _expect_runtime_error(case, case.fresh(), output, "before forward()", used_before=True)
    module, arguments = case.fresh(), case.arguments()
    output, given = module(*arguments), _grad_output(output)
    dx = run_backward(module, output, given)
    for index, (argument, before) in enumerate(zip(leaves(arguments), leaves(case.arguments()), strict=True)):
        same = np.array_equal(argument, before, equal_nan=is_float(before))
        case.require(same, f"input {index} was changed in place")
    case.require(_close(given, _grad_output(output)), "grad_output was changed in place")
    _expect_runtime_error(case, module, output, "a second time after one forward()")
    gradients = leaves((dx,), none=True)
    for index, (gradient, argument) in enumerate(zip(gradients, leaves(arguments, none=True), strict=False)):
        case.require(
            not is_float(argument) or (gradient is not None and gradient.shape == argument.shape),
            f"backward() must return the gradient of input {index}, of shape {np.shape(argument)}, got "
            f"{'None' if gradient is None else np.shape(gradient)}",
        )


def _expect_runtime_error(case: _Case, module: Module, output: Any, when: str, used_before: bool = False) -> None:
    """Require that backward() raises RuntimeError now; a module ``used_before`` the check may still hold something."""
    try:
        run_backward(module, output, _grad_output(output))
    except RuntimeError:
        return
    except Exception as error:
        found = f"{type(error).__name__} ({error})"
        message = f"backward() {when} must raise RuntimeError, got {found}; {_KEEP}"
        raise AssertionError(f"check_module of {case.name}: {message}") from error
    case.require(used_before, f"backward() {when} must raise RuntimeError, got a result; {_KEEP}")


def _check_memory(case: _Case) -> None:
    """A new forward replaces what was saved and does not change earlier outputs; inside no_grad nothing is saved."""
    _, expected, _ = _run(case.fresh(), case.arguments())
    module = case.fresh()
    frozen = Frozen(module)
    other = [rebuild(x, lambda v: v[::-1] * 0.5 if is_float(v) else v) for x in case.arguments()]
    module(*other)
    frozen.restore()
    output, dx, _ = _run(module, case.arguments())
    case.require(
        all(map(_close, dx, expected)),
        f"backward() after two forwards belongs to the first: a new forward must replace what was kept; {_KEEP}",
    )
    before = rebuild(output, np.array)
    module(*other)
    case.require(
        _close(output, before),
        "a later forward pass changed an earlier one's output: return a new array each time",
    )
    module = case.fresh()
    with no_grad():
        output = module(*case.arguments())
    try:
        run_backward(module, output, _grad_output(output))
    except RuntimeError:
        return
    warnings.warn(
        f"check_module of {case.name}: forward() keeps memory for backward() even inside no_grad(); with "
        "self.save_for_backward(...) it would not",
        stacklevel=3,
    )


def _check_gradients(case: _Case) -> None:
    """Gradients add up over passes, and needs_input_grad does not change them."""
    module = case.fresh()
    frozen = Frozen(module)
    _, _, grads = _run(module, case.arguments())
    frozen.restore()
    _, _, twice = _run(module, case.arguments())
    for name, grad in grads.items():
        case.require(
            grad is None or _close(twice[name], 2 * grad),
            f'the gradient of parameter "{name}" does not add up over two passes; use parameter.add_grad(...)',
        )
    module = case.fresh()
    module.needs_input_grad = False
    _, _, without = _run(module, case.arguments())
    for name, grad in grads.items():
        same = _close(without[name], grad)
        case.require(same, f'needs_input_grad = False changes the gradient of parameter "{name}"')


def _check_modes(case: _Case) -> None:
    """train() and eval() reach every module; in eval mode the output is the same each time."""
    module = case.fresh()
    for mode in (False, True):
        module.train(mode)
        parts = [(name, part) for name, part in module.named_modules() if not part._frozen]
        wrong = [name or "the module itself" for name, part in parts if part.training is not mode]
        case.require(not wrong, f"train({mode}) did not reach {', '.join(wrong)}; call super().train(mode)")
    module.eval()
    first, second = module(*case.arguments()), module(*case.arguments())
    case.require(_close(first, second), "two forward passes in eval mode differ; look at self.training")


def _check_inputs(case: _Case) -> None:
    """A batch of one works, and the memory order of the input does not matter."""
    one = case.batch(case.arguments(), 1)
    module = case.fresh().eval()
    try:
        _run(module, one)
    except Exception as error:
        raise AssertionError(f"check_module of {case.name}: a batch of one fails in eval mode: {error}") from error
    output, dx, grads = _run(case.fresh(), case.arguments())
    for how, rearranged in (("every second element of an array", _strided), ("Fortran order", _fortran)):
        other, other_dx, other_grads = _run(case.fresh(), rebuild(case.arguments(), rearranged))
        same = _close(output, other) and all(map(_close, dx, other_dx))
        same = same and all(_close(grads[name], other_grads[name]) for name in grads)
        case.require(same, f"the same input gives another result when it is not contiguous ({how})")


def _strided(x: Any) -> Any:
    """Return an equal array whose elements lie apart in memory."""
    return np.stack([x, x], axis=-1)[..., 0] if isinstance(x, np.ndarray) else x


def _fortran(x: Any) -> Any:
    return np.asfortranarray(x) if isinstance(x, np.ndarray) else x


def _check_round_trips(case: _Case) -> None:
    """A copy made with deepcopy, pickle or a state dict gives the same output."""
    module = case.fresh()
    frozen = Frozen(module)
    expected = module(*case.arguments())
    frozen.restore()
    copies = {"copy.deepcopy": copy.deepcopy(module)}
    if all(_is_importable(type(part)) for part in module.modules()):
        copies["pickle"] = pickle.loads(pickle.dumps(module))
    loaded = copy.deepcopy(module)
    for parameter in loaded.params():
        parameter.data[...] += 1
    loaded.load_state_dict(module.state_dict())
    copies["state_dict and load_state_dict"] = loaded
    for how, twin in copies.items():
        frozen.restore()
        case.require(_close(twin(*case.arguments()), expected), f"the output differs after a round trip through {how}")


def _is_importable(kind: type) -> bool:
    """Return whether pickle can find a class: it cannot find one that was made inside a function, or in a notebook."""
    return getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind


def _check_output_shape(case: _Case) -> None:
    """output_shape() gives the shape that the output has."""
    module = case.fresh().eval()
    with no_grad():
        output = module(*case.arguments())
    if len(case.inputs) == 1 and is_float(case.inputs[0]):
        shape, expected = module.output_shape(case.inputs[0].shape), rebuild(output, np.shape)
        case.require(shape == expected, f"output_shape() says {shape}, the output has {expected}")


def _check_loss(case: _Case) -> None:
    """The losses of several batches combine to that of all of them."""
    if len(case.inputs) != 2 or not is_float(case.inputs[0]) or not np.ndim(case.inputs[0]):
        return
    if isinstance(case.fresh().eval()(*case.arguments()), (float, np.generic)):
        fault = loss_fault(lambda: case.fresh().eval(), *case.arguments())
        case.require(fault is None, str(fault))


_CHECKS: tuple[Callable[[_Case], None], ...] = (
    _check_registered,
    _check_one_dtype,
    _check_dtype,
    _check_one_pass,
    _check_memory,
    _check_gradients,
    _check_modes,
    _check_inputs,
    _check_round_trips,
    _check_output_shape,
    _check_loss,
)
