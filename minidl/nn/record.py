"""Record: the calls of one forward pass, noted as they are made, and their backward pass, walked from the end.

A Module that defines `forward` and no `backward` is run on Tensors (`nn/tensor.py`). Each operation, and each call of a
module that has a backward of its own, is done at once on plain arrays and noted: what was called, what its backward
needs, and the numbers of the values that went in and came out. `Record.walk` goes through the notes from the end, and
adds gradients where paths meet. Every call keeps what it needs itself: a module may be called any number of times.

Nothing is noted that nobody needs: inside `no_grad`, and before the first value whose gradient is wanted.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Array
from .hooks import refuse_replaced, run_hooks
from .loss_value import is_loss
from .modes import mode
from .naming import name_layer
from .parameter import Parameter
from .promotion import check_promotion
from .rearranging import Operation
from .recording import plain, settled
from .saved import Locked, forget, remember, trains, without_input_grad
from .seeds import seed_of, seeds_of
from .structure import leaves, rebuild
from .tensor import Operand, Tensor
from .unchanged import content

if TYPE_CHECKING:
    from .module import Module

__all__ = ["DERIVED", "Record", "has_backward"]

_CONSTANT = -1  # the number of a value whose gradient nobody needs


class Record:
    """The notes of one forward pass of a module.

    Attributes:
        module: a weak reference to the module.
        number: of the pass; later passes have larger numbers.
        steps: the notes, in order: (module or None, its backward or the gradients, memory, numbers of the inputs,
            number or numbers of the output). A module with a backward of its own has only its ``memory``.
        count: how many values have a number.
        memory: what an explicit module, and those that its forward called, have saved.
        inputs: (array, number) of each input array; what it came from is in ``origins``.
        sums: what the inputs, and other arrays that the forward used, held; see `nn/unchanged.py`.
        form, given: the structures of the output and of the inputs.
        outputs: (number, shape, dtype) of each output array.
        followers: the records of losses that were computed from the outputs, kept as long as this one.
        locked: arrays that are read-only until the backward pass.
        used: whether the backward pass has been run.
    """

    __slots__ = (
        *("__weakref__", "count", "followers", "form", "given", "inputs", "locked", "memory", "module", "number"),
        *("origins", "outputs", "parameters", "state", "steps", "sums", "used", "wanted"),
    )

    def __init__(self, module: Module, number: int) -> None:
        self.module, self.number, self.count, self.used = weakref.ref(module), number, 0, False
        self.state = mode.__dict__  # of this thread; a dict is quicker than what looks it up
        self.steps: list[tuple[Any, Any, Any, Any, Any]] = []
        self.inputs: list[tuple[Array, int]] = []
        self.outputs: list[tuple[int, tuple[int, ...], Any]] = []
        self.given: tuple[Any, ...] = ()
        self.form: Any = True  # of the output
        self.memory: list[tuple[Module, Any]] | None = None
        self.origins: Sequence[Any] = ()
        self.sums: list[Any] = []
        self.followers: list[Record] | None = None
        self.locked: Locked | None = None
        self.parameters: dict[int, tuple[Parameter, int]] | None = None

    # Forward: values come in, are computed with, and go out

    def enter(self, inputs: tuple[Any, ...], options: dict[str, Any], wanted: bool) -> Any:
        """Return the inputs with a Tensor for each array; those get a number whose gradient is wanted, or leads on."""
        self.wanted = wanted
        if len(inputs) == 1 and not options and type(inputs[0]) is np.ndarray:  # nearly always
            return (self._input(inputs[0], wanted),), options

        return rebuild(inputs, lambda x: self._input(x, wanted)), rebuild(options, lambda x: self._input(x, wanted))

    def _input(self, x: Any, wanted: bool) -> Any:
        if not isinstance(x, np.ndarray) and not is_loss(x):
            return x
        x = np.asarray(x)
        position = len(self.inputs)
        leads_on = position < len(self.origins) and self.origins[position] is not None
        number = self._next() if (wanted or leads_on) and x.dtype.kind == "f" else _CONSTANT
        self.inputs.append((x, number))
        return Tensor(x, self, number)

    def leave(self, output: Any) -> Any:
        """Return an output with arrays for Tensors; remember their numbers."""
        if type(output) is Tensor:
            return self._output(output)
        self.form = rebuild(output, lambda x: True if isinstance(x, (Operand, np.ndarray)) else None)
        return rebuild(output, self._output)

    def _output(self, value: Any) -> Any:
        if isinstance(value, Operand):
            number, data = self.number_of(value), value.data
            self.outputs.append((number, data.shape, data.dtype))
            return data
        if isinstance(value, np.ndarray):
            self.outputs.append((_CONSTANT, value.shape, value.dtype))
        return value

    def call(
        self, module: Module, inputs: tuple[Any, ...], options: dict[str, Any], pair: Any = None, hooks: bool = True
    ) -> Any:
        """Call a module within the forward pass; ``pair`` is another forward and backward than the module's own.

        Of a module without a backward of its own, the calls that it makes are noted instead.
        """
        if pair is None and type(module).backward is DERIVED[0]:
            return self._through(module, inputs, options, hooks)
        state = self.state
        enabled = state["enabled"]
        if len(inputs) == 1 and type(inputs[0]) is Tensor and not options:  # nearly always
            (value,) = inputs
            if value.record is not self:
                value._outside()
            arrays: tuple[Any, ...] = (value.data,)
            numbers, dtype = value.number, value.data.dtype
            tracked = enabled and numbers >= 0
        else:
            numbers = tuple(rebuild(inputs, self.number_of))
            tracked = any(number >= 0 for number in leaves(numbers))
            if any(self.number_of(x) >= 0 for x in leaves(options)):
                raise TypeError(f"{type(module).__name__}: an input whose gradient is wanted must be given by position")
            arrays, options = tuple(rebuild(inputs, plain)), rebuild(options, plain)
            dtype = getattr(arrays[0], "dtype", None) if arrays else None
        noted = tracked or (enabled and trains(module))
        if tracked and not module.needs_input_grad:
            numbers = rebuild(numbers, lambda _: _CONSTANT)
        log: list[tuple[Module, Any]] = []
        state["record"], state["log"], state["enabled"] = None, log, noted
        try:
            output = module.forward(*arrays, **options) if pair is None else pair[0](module, *arrays, **options)
            if type(output) is not np.ndarray or output.dtype is not dtype:
                check_promotion(module, arrays, output, "its output")
        except BaseException as error:
            forget(log)
            name_layer(error, module)
            raise
        finally:
            state["record"], state["log"], state["enabled"] = self, (), enabled
        backward = None if pair is None else pair[1]
        if hooks and module._forward_hooks:
            given, output = output, run_hooks(module, arrays, output, log)
            backward = backward if output is given else refuse_replaced
        memory = log if len(log) < 2 else remember(log)
        if noted and type(output) is np.ndarray and output.dtype is dtype and (tracked or dtype.kind == "f"):
            number = self.count
            self.count = number + 1
            self.steps.append((module, backward, memory, numbers, number))
            return Tensor(output, self, number)
        return self._note(module, backward, memory, numbers, output, noted, dtype)

    def apply(self, operation: Operation, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Do an operation on Tensors, Parameters, arrays and numbers, and note it."""
        arrays, numbers, tracked = [], [], False
        for x in inputs:
            number = self.number_of(x) if isinstance(x, Operand) else _CONSTANT
            tracked = tracked or number >= 0
            numbers.append(number)
            arrays.append(x.data if isinstance(x, Operand) else x)
        out, gradients = operation(*arrays, **options)
        if not tracked:
            return rebuild(settled(out, arrays, self.inputs), self.constant)
        self.sums += [(x, content(x)) for x in inputs if type(x) is np.ndarray and x.flags.writeable]
        kept = [(n, g, x.dtype) for n, g, x in zip(numbers, gradients, arrays, strict=True) if n >= 0]
        to, back, memory = zip(*kept, strict=True)
        if None in back:
            raise TypeError(f"{operation.__name__}: an input whose gradient is wanted has none here; use x.detach()")
        if type(out) is np.ndarray:  # nearly always
            self.steps.append((None, back, memory, to, self.count))
            return Tensor(out, self, self._next())
        return self._note(None, back, memory, to, out, True)

    def pair(self, forward: Any, backward: Any, *inputs: Any, origin: Any = None) -> Any:
        """Note a pair: ``forward(*arrays)`` gives output and cache, ``backward(g, cache, first)`` gradients."""
        numbers = tuple([self.number_of(x) for x in inputs])
        out, cache = forward(*[plain(x) for x in inputs])
        if max(numbers) < 0:
            return rebuild(out, self.constant)
        return self._note(None, lambda g, first: backward(g, cache, first), None, numbers, out, True)

    def _through(self, module: Module, inputs: tuple[Any, ...], options: dict[str, Any], hooks: bool) -> Any:
        """Call a module whose own calls are noted."""
        try:
            if not module.needs_input_grad:
                inputs = rebuild(inputs, lambda x: x.detach() if type(x) is Tensor else x)
            output = module.forward(*inputs, **options)
            if type(output) is not Tensor or (inputs and output.dtype is not getattr(inputs[0], "dtype", None)):
                check_promotion(module, rebuild(inputs, plain), plain(output), "its output")
        except BaseException as error:
            name_layer(error, module)
            raise
        if hooks and module._forward_hooks:
            arrays, given = rebuild(inputs, plain), rebuild(output, plain)
            replaced = run_hooks(module, arrays, given)
            if replaced is not given:
                numbers = tuple([self.number_of(x) for x in leaves(output)])
                output = self._note(
                    module, refuse_replaced, [], numbers, replaced, max(numbers, default=_CONSTANT) >= 0
                )
        return output

    def _note(
        self, module: Any, backward: Any, memory: Any, numbers: Any, output: Any, noted: bool, dtype: Any = None
    ) -> Any:
        """Note a step, and return its output as Tensors; a Python float as one of ``dtype``."""
        made: list[tuple[int, Array]] = []

        def value(y: Any) -> Any:
            if isinstance(y, (float, np.generic)):
                like = dtype if dtype is not None and dtype.kind == "f" else None
                y = np.asarray(y, y.dtype if isinstance(y, np.generic) else like)
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

    def number_of(self, x: Any) -> int:
        """Return the number of a Tensor, or of a Parameter that is trained; others are constant."""
        if type(x) is Tensor:
            if x.record is not self:
                x._outside()
            return x.number if self.state["enabled"] else _CONSTANT
        if not isinstance(x, Parameter) or not x.requires_grad or not self.state["enabled"]:
            return _CONSTANT
        if self.parameters is None:
            self.parameters = {}
        known = self.parameters.get(id(x))
        if known is None:
            known = self.parameters[id(x)] = x, self._next()
        return known[1]

    def constant(self, data: Any, origin: Any = None) -> Tensor:
        """Return values that have no gradient as a Tensor; ``origin`` says what they were computed from."""
        return Tensor(np.asarray(data), self, _CONSTANT)

    def _next(self) -> int:
        self.count += 1
        return self.count - 1

    # Backward: from the last note to the first

    def backward(self, grad_output: tuple[Any, ...]) -> Any:
        """Run the backward pass of a derived module from the gradient of its output; return that of the inputs."""
        if self.used:
            raise RuntimeError("backward() failed half-way in this forward pass; call the module again")
        if len(self.outputs) == len(grad_output) == len(self.inputs) == 1 and type(grad_output[0]) is np.ndarray:
            return self.walk([seed_of(grad_output[0], *self.outputs[0])], (self.wanted,))[0]  # nearly always
        seeds = seeds_of(self.form, self.outputs, grad_output)
        found = iter(self.walk(seeds, [self.wanted] * len(self.inputs)))
        grads = rebuild(self.given, lambda x: next(found) if isinstance(x, np.ndarray) or is_loss(x) else None)
        return grads[0] if len(grads) == 1 else tuple(grads)

    def release(self) -> None:
        """Forget everything: the backward pass has been run."""
        self.used = True
        self.steps, self.inputs, self.sums, self.given = [], [], [], ()
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

    def expand(self) -> None:
        """Make the one note of an explicit module's pass, whose memory has been all there is until now."""
        if self.memory is None:
            return

        def number(x: Any) -> int:
            if not isinstance(x, np.ndarray) and not is_loss(x):
                return _CONSTANT
            self.inputs.append((np.asarray(x), self._next()))
            return self.count - 1

        numbers = rebuild(self.given, number)
        self.outputs = [(self._next(), shape, dtype) for _, shape, dtype in self.outputs]
        out: Any = self.outputs[0][0] if len(self.outputs) == 1 else self.outputs
        self.steps = [(self.module() or self.memory[0][0], None, self.memory, numbers, out)]
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
        _add(grads, [number for number, _, _ in self.outputs], seeds, None)
        needed = self._needed(wanted)
        module: Any = None
        steps = self.steps.copy() if keep else self.steps
        self.used = not keep
        try:
            while steps:
                module, backward, memory, numbers, out = steps.pop()
                if type(out) is int:
                    grad, grads[out] = grads[out], None
                    if isinstance(grad, np.generic):  # NumPy makes scalars of what is computed without axes
                        grad = np.asarray(grad)
                else:
                    grad = tuple([grads[number] for number, _, _ in out])
                    grad = None if all(g is None for g in grad) else grad
                if grad is None:
                    forget(memory if module is not None else [])
                elif module is None:
                    self._operation(backward, memory, numbers, grad, grads, needed)
                else:
                    for part, value in memory:
                        part._saved[:] = (value,)
                    value = memory = None
                    self._module(module, backward, numbers, grad, out, grads, needed)
        except BaseException as error:
            if module is not None:
                name_layer(error, module, self.module())
            raise
        for parameter, number in () if self.parameters is None else self.parameters.values():
            if grads[number] is not None:
                parameter.add_grad(grads[number])
        return [grads[n] if n >= 0 and yes else None for (_, n), yes in zip(self.inputs, wanted, strict=True)]

    def _operation(self, backward: Any, memory: Any, numbers: Any, grad: Any, grads: list[Any], needed: Any) -> None:
        """Run the backward pass of an operation: a gradient for each input; or of a pair of pure functions."""
        if memory is None:
            wants = [n >= 0 and (needed is None or bool(needed[n])) for n in numbers]
            more = backward(grad, wants[0]) if any(wants) else ()
            more = more if isinstance(more, tuple) else (more,)
            if any(wants[len(more) :]):
                raise RuntimeError("the gradient of a target is not known; give it target.detach()")
            _add(grads, numbers, more, needed)
            return
        for number, gradient, dtype in zip(numbers, backward, memory, strict=True):
            if needed is None or needed[number]:
                g = np.asarray(gradient(grad), dtype)
                grads[number] = g if grads[number] is None else grads[number] + g

    def _module(
        self, module: Any, backward: Any, numbers: Any, grad: Any, out: Any, grads: list[Any], needed: Any
    ) -> None:
        """Run the backward pass of a module's call, whose memory is back in its place."""
        if backward is None:
            bound = module.backward
            backward = getattr(bound, "plain", None) or (lambda _, g: bound(g))
        if type(out) is not int:
            pairs = zip(grad, out, strict=True)
            grad = tuple([np.zeros(s, d) if g is None else np.asarray(g) for g, (_, s, d) in pairs])
        if type(numbers) is not int:
            self._several(module, backward, numbers, grad, grads, needed)
        elif numbers < 0 or (needed is not None and not needed[numbers]):
            without_input_grad(module, backward, grad)
        else:  # nearly always
            more = backward(module, grad)
            if more is not None:
                if type(out) is int and more.dtype is not grad.dtype:
                    check_promotion(module, (grad,), more, "the gradient of input 0")
                grads[numbers] = more if grads[numbers] is None else grads[numbers] + more

    def _several(self, module: Any, backward: Any, numbers: Any, grad: Any, grads: list[Any], needed: Any) -> None:
        """Likewise for several inputs."""
        if not any(n >= 0 and (needed is None or needed[n]) for n in leaves(numbers)):
            without_input_grad(module, backward, grad)
            return
        more = backward(module, grad)
        more = more if isinstance(more, tuple) else (more,)
        missing = numbers[len(more) :]
        if missing and module.of_difference and len(more) == 1:
            more = (*more, -more[0])
        elif any(n >= 0 and (needed is None or needed[n]) for n in leaves(missing)):
            raise RuntimeError(
                f"backward() returned {len(more)} gradients for {len(numbers)} inputs, and that of input {len(more)} "
                f"is needed: {module.for_lack_of_one}"
            )
        for number, g in zip(numbers, more, strict=False):
            _add(grads, tuple(leaves((number,))), tuple(leaves((g,), none=True)), needed)

    def _needed(self, wanted: Sequence[bool]) -> bytearray | None:
        """Return for each number whether its gradient leads to something that is wanted; None if all do."""
        if all(yes or number < 0 for (_, number), yes in zip(self.inputs, wanted, strict=True)):
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


def _add(grads: list[Any], numbers: Sequence[int], more: Sequence[Any], needed: Any) -> None:
    for number, g in zip(numbers, more, strict=False):
        if number >= 0 and g is not None and (needed is None or needed[number]):
            grads[number] = g if grads[number] is None else grads[number] + g
