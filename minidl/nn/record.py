"""Record: the calls of one forward pass, noted as they are made, and their backward pass, walked from the end.

A Module that defines `forward` and no `backward` is run on Tensors (`nn/tensor.py`). Each operation, and each call of a
module that has a backward of its own, is done at once on plain arrays and noted: what was called, what its backward
pass needs, and the numbers of the values that went in and came out. `Record.walk` goes through the notes from the end,
and adds gradients where paths meet. Every call keeps what it needs itself, so a module may be called any number of times.

Nothing is noted that nobody needs: inside `no_grad`, and before the first value whose gradient is wanted.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array, check_grad
from .modes import mode
from .naming import name_below, name_layer
from .operations import CONSTANT, FUNCTIONS, Operation
from .parameter import Parameter
from .promotion import check_promotion
from .saved import Locked, forget, remember, shares, trains
from .structure import leaves, rebuild
from .tensor import Operand, Tensor

if TYPE_CHECKING:
    from .module import Module

__all__ = ["DERIVED", "Record", "has_backward"]

_CONSTANT = -1  # the number of a value whose gradient nobody needs
_LISTS = {np.concatenate, np.stack}  # their first argument is a list of arrays


class Record:
    """The notes of one forward pass of a module.

    Attributes:
        module: a weak reference to the module.
        number: of the pass; later passes have larger numbers.
        steps: the notes, in order: (module or None, its backward or the gradients, memory, numbers of the inputs,
            number or numbers of the output). A module with a backward of its own has only its ``memory``.
        count: how many values have a number.
        memory: what an explicit module, and those that its forward called, have saved.
        inputs: (array, number) of each input array; what it was made of is in ``origins``, its sums in ``sums``.
        outputs: (number, shape, dtype) of each output array.
        followers: the records of losses that were computed from the outputs, kept as long as this one.
        locked: arrays that are read-only until the backward pass.
        used: whether the backward pass has been run.
    """

    __slots__ = (
        *("__weakref__", "count", "followers", "given", "inputs", "locked", "memory", "module", "number", "origins"),
        *("outputs", "parameters", "state", "steps", "sums", "used"),
    )

    def __init__(self, module: Module, number: int) -> None:
        self.module, self.number, self.count, self.used = weakref.ref(module), number, 0, False
        self.state = mode.__dict__  # of this thread; a dict is quicker than what looks it up
        self.steps: list[tuple[Any, Any, Any, Any, Any]] = []
        self.inputs: list[tuple[Array, int]] = []
        self.outputs: list[tuple[int, tuple[int, ...], Any]] = []
        self.given: tuple[Any, ...] = ()
        self.memory: list[tuple[Module, Any]] | None = None
        self.origins: Sequence[Any] = ()
        self.sums: Sequence[Any] = ()
        self.followers: list[Record] | None = None
        self.locked: Locked | None = None
        self.parameters: dict[int, tuple[Parameter, int]] | None = None

    # Forward: values come in, are computed with, and go out

    def enter(self, inputs: tuple[Any, ...], options: dict[str, Any], wanted: bool) -> Any:
        """Return the inputs with a Tensor for each array; those get a number whose gradient is wanted, or leads on."""

        if len(inputs) == 1 and not options and type(inputs[0]) is np.ndarray:  # nearly always
            return (self._input(inputs[0], wanted),), options

        def value(x: Any) -> Any:
            return self._input(x, wanted) if isinstance(x, np.ndarray) else x

        return rebuild(inputs, value), rebuild(options, value)

    def _input(self, x: Array, wanted: bool) -> Tensor:
        position = len(self.inputs)
        leads_on = position < len(self.origins) and self.origins[position] is not None
        number = self._next() if (wanted or leads_on) and x.dtype.kind == "f" else _CONSTANT
        self.inputs.append((x, number))
        return Tensor(x, self, number)

    def leave(self, output: Any) -> Any:
        """Return an output with arrays for Tensors; remember their numbers."""

        if type(output) is not Tensor:
            return rebuild(output, self._output)
        return self._output(output)

    def _output(self, value: Any) -> Any:
        if isinstance(value, Operand):
            number, data = self._number(value), value.data
            self.outputs.append((number, data.shape, data.dtype))
            return data
        if isinstance(value, np.ndarray):
            self.outputs.append((_CONSTANT, value.shape, value.dtype))
        return value

    def call(
        self, module: Module, inputs: tuple[Any, ...], options: dict[str, Any], pair: Any = None, hooks: bool = True
    ) -> Any:
        """Call a module within the forward pass; ``pair`` is another forward and backward than the module's own.

        A module that has no backward of its own is gone through: what it calls is noted.
        """
        if pair is None and type(module).backward is DERIVED[0]:
            return self._through(module, inputs, options, hooks)
        state = self.state
        enabled = state["enabled"]
        log: list[tuple[Module, Any]] = []
        if pair is None and not options and len(inputs) == 1 and type(inputs[0]) is Tensor:  # nearly always
            (value,) = inputs
            number = value.number
            if (
                number >= 0
                and enabled
                and value.record is self
                and module.needs_input_grad
                and not module._forward_hooks
            ):
                state["record"], state["log"] = None, log
                data = value.data
                try:
                    output = module.forward(data)
                    if type(output) is np.ndarray:
                        if output.dtype is not data.dtype:
                            check_promotion(module, (data,), output, "its output")
                        if output.dtype is data.dtype:
                            out = self.count
                            self.count = out + 1
                            self.steps.append((module, None, log if len(log) < 2 else remember(log), number, out))
                            return Tensor(output, self, out)
                except BaseException as error:
                    forget(log)
                    name_layer(error, module)
                    raise
                finally:
                    state["record"], state["log"] = self, ()
                return self._note(module, None, remember(log), number, output, True, data.dtype)
        if len(inputs) == 1 and type(inputs[0]) is Tensor and not options:  # nearly always
            (value,) = inputs
            if value.record is not self:
                value._outside()
            arrays: tuple[Any, ...] = (value.data,)
            numbers: Any = value.number
            tracked = numbers >= 0
        else:
            numbers = tuple(rebuild(inputs, self._number))
            tracked = any(number >= 0 for number in leaves(numbers))
            if any(self._number(x) >= 0 for x in leaves(options)):
                raise TypeError("a value whose gradient is wanted must be given by position, not by name")
            arrays, options = tuple(rebuild(inputs, _data)), rebuild(options, _data)
        first = arrays[0].dtype if arrays and getattr(arrays[0], "dtype", np.dtype(int)).kind == "f" else np.float64
        noted = enabled and (tracked or trains(module))
        if tracked and not module.needs_input_grad:
            numbers = rebuild(numbers, lambda _: _CONSTANT)
        state["record"], state["enabled"], state["log"] = None, noted, log
        try:
            if pair is not None:
                output = pair[0](module, *arrays, **options)
            elif options:
                output = module.forward(*arrays, **options)
            else:
                output = module.forward(*arrays)
            if type(output) is np.ndarray and arrays and output.dtype is not getattr(arrays[0], "dtype", None):
                check_promotion(module, arrays, output, "its output")
        except BaseException as error:
            forget(log)
            name_layer(error, module)
            raise
        finally:
            state["record"], state["enabled"], state["log"] = self, enabled, ()
        if hooks and module._forward_hooks:
            output = _hooked(module, arrays, output, log)
        return self._note(module, None if pair is None else pair[1], remember(log), numbers, output, noted, first)

    def apply(self, operation: Operation, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Do an operation on Tensors, Parameters, arrays and numbers, and note it."""
        arrays, numbers, dtype = [], [], None
        for x in inputs:
            if type(x) is Tensor:
                if x.record is not self:
                    x._outside()
                numbers.append(x.number)
                x = x.data
                dtype = (
                    x.dtype if dtype is None or (x.dtype.itemsize > dtype.itemsize and x.dtype.kind == "f") else dtype
                )
            elif isinstance(x, Parameter):
                numbers.append(self._number(x))
                x = x.data
                dtype = x.dtype if dtype is None else dtype
            else:
                numbers.append(_CONSTANT)
            arrays.append(x)
        if dtype is not None and dtype.kind == "f":  # a number does not change float32 into float64
            arrays = [
                dtype.type(x) if isinstance(x, (float, int, np.floating)) and type(x) is not bool else x for x in arrays
            ]
        out, gradients = operation(*arrays, **options)
        if max(numbers) < 0:
            return rebuild(out, self.constant)
        kept = [(n, g, x.dtype) for n, g, x in zip(numbers, gradients, arrays, strict=True) if n >= 0]
        if any(gradient is None for _, gradient, _ in kept):
            raise TypeError(f"{operation.__name__}: an input whose gradient is wanted has none here; use x.detach()")
        return self._note(
            None, [g for _, g, _ in kept], [d for _, _, d in kept], tuple(n for n, _, _ in kept), out, True
        )

    def pair(self, forward: Callable[..., Any], backward: Callable[..., Any], *inputs: Any) -> Any:
        """Note a pair of pure functions: ``forward(*arrays)`` gives output and cache, ``backward(g, cache)`` gradients.

        Both without regard to what is needed; for `functional`. ``backward`` returns one gradient, or a tuple of them.
        """
        numbers = tuple([self._number(x) for x in inputs])
        out, cache = forward(*[_data(x) for x in inputs])
        if max(numbers) < 0:
            return rebuild(out, self.constant)
        return self._note(None, lambda g: backward(g, cache), None, numbers, out, True)

    def function(self, function: Any, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Do a NumPy function of Tensors, if its gradient is known."""
        if mode.record is not self:
            next(x for x in leaves((inputs, options)) if isinstance(x, Tensor))._outside()
        operation = FUNCTIONS.get(function)
        if operation is not None:
            if function in _LISTS:
                inputs, options = inputs[0], {**dict(zip(("axis",), inputs[1:], strict=False)), **options}
                return self.apply(operation, tuple(inputs), options)
            if isinstance(function, np.ufunc):
                return self.apply(operation, inputs, options)
            return self._named(operation, inputs, options)
        tracked = mode.enabled and any(self._number(x) >= 0 for x in leaves((inputs, options)))
        if tracked and function not in CONSTANT:
            raise TypeError(
                f"np.{function.__name__} has no known gradient: use a function that has, write a Module with a backward of "
                "its own, or give it x.detach()"
            )
        out = function(*rebuild(inputs, _data), **rebuild(options, _data))
        return rebuild(out, self.constant if isinstance(y, (np.ndarray, np.generic)) else y)

    def _named(self, operation: Operation, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Apply an operation whose later arguments may be options; the operands are those that are, or hold, values."""
        names = operation.__code__.co_varnames[: operation.__code__.co_argcount]
        if operation is FUNCTIONS[np.einsum] or operation is FUNCTIONS[np.where]:
            return self.apply(operation, inputs, options)
        operands = 1 + sum(1 for x in inputs[1:] if isinstance(x, Operand))
        if operands == 1 and operation in (FUNCTIONS[np.matmul], FUNCTIONS[np.dot]):
            operands = 2
        given = {**dict(zip(names[operands:], inputs[operands:], strict=False)), **options}
        return self.apply(operation, inputs[:operands], {name: x for name, x in given.items() if name in names})

    def _through(self, module: Module, inputs: tuple[Any, ...], options: dict[str, Any], hooks: bool) -> Any:
        """Call a module whose own calls are noted."""
        try:
            if not module.needs_input_grad:
                inputs = rebuild(inputs, lambda x: x.detach() if type(x) is Tensor else x)
            output = module.forward(*inputs, **options)
            if type(output) is Tensor and inputs and output.dtype is not getattr(inputs[0], "dtype", None):
                check_promotion(module, rebuild(inputs, _data), output.data, "its output")
        except BaseException as error:
            name_layer(error, module)
            raise
        if hooks and module._forward_hooks:
            arrays, plain = rebuild(inputs, _data), rebuild(output, _data)
            replaced = _hooked(module, arrays, plain, [])
            if replaced is not plain:  # its gradient goes where the output's would have gone
                made = list(leaves(output))
                number = self._number(made[0]) if len(made) == 1 else _CONSTANT
                output = rebuild(replaced, lambda y: Tensor(y, self, number) if isinstance(y, np.ndarray) else y)
        return output

    def _note(
        self, module: Any, backward: Any, memory: Any, numbers: Any, output: Any, noted: bool, dtype: Any = np.float64
    ) -> Any:
        """Note a step, and return its output as Tensors; a Python float as one of ``dtype``."""
        made: list[tuple[int, Array]] = []

        def value(y: Any) -> Any:
            if isinstance(y, (float, np.generic)):
                y = np.asarray(y, y.dtype if isinstance(y, np.generic) else dtype)
            if not isinstance(y, np.ndarray):
                return y
            number = self._next() if noted and y.dtype.kind == "f" else _CONSTANT
            if number >= 0:
                made.append((number, y))
            return Tensor(y, self, number)

        result = rebuild(output, value)
        if made:
            single = isinstance(output, (np.ndarray, np.generic, float)) or (module is not None and len(made) == 1)
            out: Any = made[0][0] if single else [(number, y.shape, y.dtype) for number, y in made]
            self.steps.append((module, backward, memory, numbers, out))
        return result

    def _number(self, x: Any) -> int:
        """Return the number of a Tensor, or of a Parameter that is trained; others are constant."""
        if type(x) is Tensor:
            if x.record is not self:
                x._outside()
            return x.number
        if not isinstance(x, Parameter) or not x.requires_grad or not mode.enabled:
            return _CONSTANT
        if self.parameters is None:
            self.parameters = {}
        known = self.parameters.get(id(x))
        if known is None:
            known = self.parameters[id(x)] = x, self._next()
        return known[1]

    def constant(self, data: Any) -> Tensor:
        """Return values that have no gradient as a Tensor."""
        return Tensor(np.asarray(data), self, _CONSTANT)

    def _next(self) -> int:
        self.count += 1
        return self.count - 1

    # Backward: from the last note to the first

    def backward(self, grad_output: tuple[Any, ...]) -> Any:
        """Run the backward pass of a derived module from the gradient of its output; return that of the inputs."""
        wanted = self.module().needs_input_grad
        if self.used:
            raise RuntimeError("backward() failed half-way in this forward pass; call the module again")
        if len(self.outputs) == len(grad_output) == len(self.inputs) == 1 and type(grad_output[0]) is np.ndarray:
            return self.walk([_seed(grad_output[0], *self.outputs[0])], (wanted,))[0]  # nearly always
        given = list(leaves(grad_output, none=True))
        if not given and len(self.outputs) == 1 and self.outputs[0][1] == ():
            given = [1.0]
        if len(given) != len(self.outputs):
            raise ValueError(
                f"backward() got {len(given)} gradients for {len(self.outputs)} outputs; give them in the output's structure, "
                "with None for an output that has none"
            )
        seeds = [_seed(grad, *output) for grad, output in zip(given, self.outputs, strict=True)]
        found = iter(self.walk(seeds, [wanted] * len(self.inputs)))
        grads = rebuild(self.given, lambda x: next(found) if isinstance(x, np.ndarray) else None)
        return grads[0] if len(grads) == 1 else tuple(grads)

    def release(self) -> None:
        """Forget everything: the backward pass has been run."""
        self.used = True
        self.steps, self.inputs, self.sums, self.given = [], [], (), ()
        self.memory = self.followers = self.locked = self.parameters = None
        module = self.module()
        if module is not None and module._pass is self:
            module.__dict__["_pass"] = None
            module._saved.clear()

    def lock(self, array: Array) -> None:
        """Make an array read-only until the backward pass, or until this record is gone."""
        if self.locked is None:
            self.locked = Locked()
        array.setflags(write=False)
        self.locked.append(array)

    def keeps(self, x: Array) -> bool:
        """Return whether something that lies in x's memory may be kept for the backward pass."""
        if any(module is None for module, *_ in self.steps):  # what gradients keep cannot be seen
            return True
        memories = [memory for _, _, memory, _, _ in self.steps] if self.memory is None else [self.memory]
        return any(shares(value, x) for memory in memories for _, value in memory)

    def expand(self) -> None:
        """Make the one note of an explicit module's pass, whose memory has been all there is until now."""
        if self.memory is None:
            return

        def number(x: Any) -> int:
            if not isinstance(x, np.ndarray):
                return _CONSTANT
            self.inputs.append((x, self._next()))
            return self.count - 1

        numbers = rebuild(self.given, number)
        self.outputs = [(self._next(), shape, dtype) for _, shape, dtype in self.outputs]
        out: Any = self.outputs[0][0] if len(self.outputs) == 1 else self.outputs
        self.steps.append((self.module() or self.memory[0][0], None, self.memory, numbers, out))
        self.memory = None

    def walk(self, seeds: Sequence[Any], wanted: Sequence[bool], keep: bool = False) -> list[Any]:
        """Run the backward pass. What a note holds is let go as soon as its turn is over.

        Args:
            seeds: the gradient of each output, or None.
            wanted: for each input array, whether its gradient is.
            keep: whether there will be another backward pass.

        Returns:
            The gradient of each input array; None where it is not wanted, or there is none.
        """
        grads: list[Any] = [None] * self.count
        for (number, _, _), grad in zip(self.outputs, seeds, strict=True):
            if number >= 0 and grad is not None:
                grads[number] = grad if grads[number] is None else grads[number] + grad
        needed = self._needed(wanted)
        module: Any = None
        steps = self.steps.copy() if keep else self.steps
        self.used = not keep
        try:
            while steps:
                module, backward, memory, numbers, out = steps.pop()
                if type(out) is int:
                    grad = grads[out]
                    if grad is None:
                        if module is not None:
                            forget(memory)
                        continue
                    grads[out] = None
                    if type(numbers) is int and backward is None and needed is None and numbers >= 0:  # nearly always
                        for part, value in memory:
                            part._saved[:] = (value,)
                        value = memory = None
                        backward = module.backward
                        more = getattr(backward, "plain", None)
                        more = backward(grad) if more is None else more(module, grad)
                        if more is not None:
                            if more.dtype is not grad.dtype:
                                check_promotion(module, (grad,), more, "the gradient of input 0")
                            grads[numbers] = more if grads[numbers] is None else grads[numbers] + more
                        continue
                else:
                    grad = tuple([grads[number] for number, _, _ in out])
                    if all(g is None for g in grad):
                        continue
                if module is not None:
                    if type(out) is not int:
                        grad = tuple(
                            [np.zeros(s, d) if g is None else g for g, (_, s, d) in zip(grad, out, strict=True)]
                        )
                    self._step(module, backward, memory, numbers, grad, grads, needed)
                elif memory is None:
                    more = backward(grad)
                    more = more if isinstance(more, tuple) else (more,)
                    if any(n >= 0 and (needed is None or needed[n]) for n in numbers[len(more) :]):
                        raise RuntimeError("the gradient of a target is not known; give it target.detach()")
                    _add_all(grads, numbers, more, needed)
                else:
                    for number, gradient, dtype in zip(numbers, backward, memory, strict=True):
                        if needed is None or needed[number]:
                            g = gradient(grad)
                            if g.dtype is not dtype:
                                g = g.astype(dtype)
                            grads[number] = g if grads[number] is None else grads[number] + g
        except BaseException as error:
            root = self.module()
            if module is not None:
                name_layer(error, module)
                if root is not None:
                    name_below(error, module, root)
            raise
        for parameter, number in () if self.parameters is None else self.parameters.values():
            if grads[number] is not None:
                parameter.add_grad(grads[number])
        return [grads[n] if n >= 0 and yes else None for (_, n), yes in zip(self.inputs, wanted, strict=True)]

    def _step(
        self,
        module: Any,
        backward: Any,
        memory: Any,
        numbers: tuple[Any, ...],
        grad: Any,
        grads: list[Any],
        needed: Any,
    ) -> None:
        """Run the backward pass of one call of a module."""
        for part, value in memory:
            part._saved[:] = (value,)
        if backward is None:
            backward = getattr(module.backward, "plain", None) or (lambda module, grad: module.backward(grad))
        if type(numbers) is int:
            if numbers < 0 or (needed is not None and not needed[numbers]):
                without_input_grad(module, backward, grad)
                return
            more = backward(module, grad)
            if type(more) is np.ndarray and type(grad) is np.ndarray and more.dtype is not grad.dtype:
                check_promotion(module, (grad,), more, "the gradient of input 0")
            if more is not None:
                grads[numbers] = more if grads[numbers] is None else grads[numbers] + more
            return
        flat = list(leaves(numbers))
        if not any(n >= 0 and (needed is None or needed[n]) for n in flat):
            without_input_grad(module, backward, grad)
            return
        more = backward(module, grad)
        more = more if isinstance(more, tuple) else (more,)
        missing = numbers[len(more) :]
        if missing and module.of_difference and len(more) == 1:
            more = (*more, -more[0])
        elif any(n >= 0 and (needed is None or needed[n]) for n in leaves(missing)):
            raise RuntimeError(
                f"backward() returned {len(more)} gradients for {len(numbers)} inputs, and that of input {len(more)} is "
                "needed: return one for each, or give it x.detach()"
            )
        for number, g in zip(numbers, more, strict=False):
            _add_all(grads, tuple(leaves((number,))), tuple(leaves((g,), none=True)), needed)

    def _needed(self, wanted: Sequence[bool]) -> bytearray | None:
        """Return for each number whether its gradient leads to something that is wanted; None if all do."""
        for (_, number), yes in zip(self.inputs, wanted, strict=True):
            if number >= 0 and not yes:
                break
        else:
            return None
        needed = bytearray(self.count)
        for (_, number), yes in zip(self.inputs, wanted, strict=True):
            if number >= 0 and yes:
                needed[number] = 1
        for _, number in () if self.parameters is None else self.parameters.values():
            needed[number] = 1
        for module, _, _, numbers, out in self.steps:
            if any(n >= 0 and needed[n] for n in leaves((numbers,))) or (module is not None and trains(module)):
                for number in (out,) if type(out) is int else [n for n, _, _ in out]:
                    needed[number] = 1
        return needed


DERIVED: list[Any] = []  # the backward of a Module that defines none: `Module.backward`


def has_backward(module: Module) -> bool:
    """Return whether a module's backward pass is its own, rather than derived."""
    return type(module).backward is not DERIVED[0]


def without_input_grad(module: Module, backward: Callable[..., Any], grad: Any) -> None:
    """Run a backward pass for the sake of the parameters alone."""
    own = vars(module)
    before = own.get("needs_input_grad")
    own["needs_input_grad"] = False
    try:
        backward(module, grad)
    finally:
        if before is None:
            del own["needs_input_grad"]
        else:
            own["needs_input_grad"] = before


def _hooked(module: Module, inputs: tuple[Any, ...], output: Any, log: list[Any]) -> Any:
    """Run the forward hooks on arrays, which are read-only meanwhile; return the output, or what replaced it."""
    record, mode.record = mode.record, None
    arrays = [x for x in leaves(output) if isinstance(x, np.ndarray) and x.flags.writeable and log]
    for array in arrays:
        array.setflags(write=False)
    try:
        for hook in tuple(module._forward_hooks.values()):
            replaced = hook(module, inputs, output)
            if replaced is not None:
                output = replaced
    finally:
        mode.record = record
        for array in arrays:
            array.setflags(write=True)
    return output


def _seed(grad: Any, number: int, shape: tuple[int, ...], dtype: Any) -> Any:
    """Return the gradient of an output, checked; None if nothing depends on it."""
    if grad is None or number < 0:
        return None
    return check_grad(np.asarray(grad, dtype) if shape == () else grad, shape, dtype)


def _add_all(grads: list[Any], numbers: tuple[int, ...], more: tuple[Any, ...], needed: Any) -> None:
    for number, g in zip(numbers, more, strict=False):
        if number >= 0 and g is not None and (needed is None or needed[number]):
            grads[number] = g if grads[number] is None else grads[number] + g


def _data(x: Any) -> Any:
    return x.data if isinstance(x, Operand) else x
