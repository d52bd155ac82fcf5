"""Module: the base of every layer, container and loss. It holds parameters, modes, and what backward needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any, ClassVar, TypeVar

import numpy as np

from .._core import Array
from .drawing import Drawing
from .hooks import ForwardHook, RemovableHandle
from .modes import mode
from .naming import named_init
from .parameter import Parameter
from .passes import callable_forward, guarded, inherits_a_pair, run
from .record import DERIVED, Record
from .registering import Registering
from .saved import TWICE
from .state import IncompatibleKeys, copy_state, match_state
from .structure import by_position
from .summary import Summary, output_shape
from .tensor import Tensor
from .unchanged import mark_changed

__all__ = ["Module"]

Self = TypeVar("Self", bound="Module")

_HOLDERS = (list, tuple, dict, set, frozenset)  # what members may be inside
_OWN = frozenset({"_saved", "_pass", "_buffers", "_forward_hooks"})


class Module(Registering):
    """Base class: subclass it, assign Parameters and Modules as attributes, define `forward`, or it and `backward`.

    Parameters and Modules assigned to attributes are found by `params`, `state_dict` and the rest, even inside
    lists, tuples and dicts. Call ``super().__init__()`` before assigning any of them.

        class Scale(nn.Module):
            def __init__(self, features):
                super().__init__()
                self.weight = nn.Parameter(np.ones(features, np.float32))

            def forward(self, x):
                self.save_for_backward(x)
                return x * self.weight.data

            def backward(self, grad_output):
                x = self.take_saved()
                self.weight.add_grad((grad_output * x).sum(axis=0))
                return grad_output * self.weight.data

    Without a `backward` the class is a model, whose backward is derived: its `forward` gets Tensors, which take NumPy's
    functions and PyTorch's methods, and may use Parameters as they are (``x * self.weight``).

    Attributes:
        training: True in training mode, False in evaluation mode or frozen; see `train`, `eval` and `freeze`.
        needs_input_grad: False lets a layer skip the gradient of its input and return None from `backward`;
            parameter gradients are the same. Useful for a network's first layer. On a module whose backward is derived
            it also spares the layers in front that have nothing to train.
        communicates: whether its passes in training exchange numbers with other processes: all must make the same ones.
    """

    needs_input_grad: bool = True
    communicates: ClassVar[bool] = False
    for_lack_of_one: ClassVar[str] = "return one for each, or give it x.detach()"  # if backward gives too few gradients
    of_difference: ClassVar[bool] = False  # whether the second input's gradient is that of the first, negated
    _saved: list[Any]
    _pass: Record | None
    _buffers: dict[str, bool]
    _forward_hooks: dict[RemovableHandle, ForwardHook]

    def __init__(self) -> None:
        self.__dict__.update(_saved=[], _pass=None, _buffers={}, _forward_hooks={}, training=True)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__init__" not in cls.__dict__ and isinstance(cls.__init__, FunctionType):
            type.__setattr__(cls, "__init__", named_init(cls.__init__, cls.__name__))
        new = cls.forward is not Module.forward and not hasattr(cls.forward, "plain")  # here, or in a mixin
        if not hasattr(cls.backward, "plain"):
            cls.backward = guarded(cls.backward)  # type: ignore[method-assign]
        elif new and "backward" not in cls.__dict__ and inherits_a_pair(cls, Module):
            cls.backward = Module.backward  # type: ignore[method-assign]  # that of another forward does not fit
        if new:
            cls.forward = callable_forward(cls)  # type: ignore[method-assign]

    # Forward and backward

    def forward(self, *inputs: Any) -> Any:
        """Compute the output; with a `backward` of its own, save what that needs with `save_for_backward`."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def backward(self, *grad_output: Any) -> Any:
        """Add parameter gradients, and return the gradient of the input (a tuple for several inputs).

        A class that defines `forward` and no `backward` has this one, which is derived from what its forward did.

        Args:
            *grad_output: gradient of the loss with respect to the last forward pass's output, in the output's shape; of
                several outputs the same structure, in which None stands for zeros. An output of one number needs none.

        Raises:
            RuntimeError: there was no forward pass, it ran inside `no_grad`, or backward was already called for it; the
                gradient is that of a loss of an earlier pass; or an input or a parameter was changed in place since.
        """
        if type(self).forward is Module.forward:
            raise NotImplementedError(f"{type(self).__name__} does not define backward()")
        return self.take_saved().backward(grad_output)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run `forward`, then the forward hooks.

        An error gets this layer's name and path, and leaves nothing saved, neither here nor in any descendant.

        Raises:
            TypeError: the module made float64 of float32; the message names what in it is float64.
        """
        record = mode.record
        if options:
            inputs, options = by_position(self.forward, inputs, options)
        return run(self, inputs, options) if record is None else record.call(self, inputs, options)

    def save_for_backward(self, value: Any) -> None:
        """Save ``value`` (one object; a tuple for several) until `take_saved`; inside `no_grad` save nothing.

        What an earlier forward pass saved is discarded in both cases.
        """
        log = mode.log
        if isinstance(log, tuple):  # in a derived forward, which is noted and needs nothing
            return
        if not mode.enabled:
            self._saved.clear()
            return
        self._saved[:] = (value,)
        if log is not None:
            log.append((self, value))

    def take_saved(self) -> Any:
        """Return what `save_for_backward` saved, and discard it: a forward pass serves one backward pass.

        Raises:
            RuntimeError: nothing is saved.
        """
        if not self._saved:
            raise RuntimeError(
                "backward() has no forward pass to work on: call the module first, outside no_grad(), and call "
                "backward() once for each forward pass"
            )
        value = self._saved[0]
        if value is TWICE:
            raise RuntimeError(
                "it ran more than once in a forward pass with a backward of its own, and keeps what backward() needs "
                "for the last time only: make an instance for each (they may share their Parameters), or leave out "
                "that backward, which is then derived"
            )
        self._saved.clear()
        if mode.log and mode.log[-1][0] is self:  # a forward that replaces what it has saved
            mode.log.pop()
        return value

    def register_forward_hook(self, hook: ForwardHook) -> RemovableHandle:
        """Call ``hook(module, inputs, output)`` after each forward pass of this module.

        Args:
            hook: gets the module, the tuple of inputs and the output, arrays; its return value, if not None, replaces
                the output. A backward pass through what was replaced is refused: its gradient is not known.

        Returns:
            A handle whose `remove()` removes the hook.
        """
        handle = RemovableHandle(self._forward_hooks)
        self._forward_hooks[handle] = hook
        return handle

    # Children, parameters and buffers

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for each direct child, in the order of assignment."""
        for name, value in self._members():
            if isinstance(value, Module):
                yield name, value

    def children(self) -> Iterator[Module]:
        """Yield each direct child."""
        for _, child in self.named_children():
            yield child

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield (path, module) for this module (path ``prefix``) and every descendant, each once, parents first."""
        seen: set[int] = set()
        for path, module in self._walk(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module

    def modules(self) -> Iterator[Module]:
        """Yield this module and every descendant, each once, parents first."""
        for _, module in self.named_modules():
            yield module

    def named_params(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Yield (path, Parameter) for this module and every descendant, each parameter once."""
        seen: set[int] = set()
        for path, module in self.named_modules(prefix):
            for name, value in module._members():
                if isinstance(value, Parameter) and id(value) not in seen:
                    seen.add(id(value))
                    yield _join(path, name), value

    def params(self) -> Iterator[Parameter]:
        """Yield every Parameter of this module and its descendants, each once."""
        for _, parameter in self.named_params():
            yield parameter

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Same as `named_params`, under PyTorch's name."""
        return self.named_params(prefix)

    def parameters(self) -> Iterator[Parameter]:
        """Same as `params`, under PyTorch's name."""
        return self.params()

    def register_buffer(self, name: str, value: Array | None, persistent: bool = True) -> None:
        """Make ``self.name`` an array that is part of the state but not trained, such as a running mean.

        Args:
            name: the attribute's name.
            value: the array, or None for an absent buffer.
            persistent: whether it is part of `state_dict`.

        Raises:
            TypeError: the value is not an array.
        """
        if value is not None and not isinstance(value, np.ndarray):
            raise TypeError(f"{type(self).__name__}: buffer {name!r} must be a NumPy array, got {value!r}")
        setattr(self, name, value)
        self._buffers[name] = persistent

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Array]]:
        """Yield (path, array) for each buffer of this module and its descendants."""
        for path, module in self.named_modules(prefix):
            for name in module._buffers:
                value = getattr(module, name)
                if value is not None:
                    yield _join(path, name), value

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call ``function`` on every descendant, children before parents, and on this module last; return self."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    # Modes and state

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset every parameter's gradient: `grad` becomes None, or zeros with ``set_to_none=False``."""
        for parameter in self.params():
            parameter.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Array]:
        """Return copies of all parameters and persistent buffers, by path, in PyTorch's order."""
        return {name: value.copy() for name, value in self._state()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy the arrays of a state dict into the parameters and buffers of the same names.

        Everything is checked first: when this raises, nothing has changed; after Ctrl-C nothing or everything.

        Args:
            state: arrays by path; converted to the parameters' dtype.
            strict: whether a missing or unexpected name is an error.

        Returns:
            The missing and the unexpected names.

        Raises:
            ValueError: names or shapes do not match; the message lists all of them.
            TypeError: an entry is not an array of numbers.
        """
        own = dict(self._state())
        values, keys = match_state(type(self).__name__, own, state, strict)
        copy_state(own, values)
        mark_changed(self.params())
        return keys

    # Shapes

    def output_shape(self, input_shape: Any, *more: Any, dtype: Any = None) -> Any:
        """Return the output's shape for an input of ``input_shape``, the batch axis included.

        Found by running the module on zeros, in evaluation mode and without saving anything.

        Args:
            input_shape: shape of the input, such as (1, 1, 28, 28).
            *more: shapes of further inputs, one for each argument of `forward`; a dict or list of shapes stands for a
                dict or list of arrays. A list of shapes that comes alone is unpacked.
            dtype: of the inputs, or a list with one for each; None means that of the parameters. A net that begins with
                an Embedding takes int.

        Returns:
            A tuple; of several outputs, their structure with a tuple for each.

        Raises:
            ValueError: the module does not accept this shape; the message names the layer.
        """
        return output_shape(self, (input_shape, *more), dtype)

    def summary(self, input_shape: Any, *more: Any, dtype: Any = None) -> Summary:
        """Return a table of layers with output shapes, parameters and multiply-adds; print it to see it.

            model.summary((1, 1, 28, 28))
            model.summary((1, 3, 32, 32), (1, 10))               # forward(self, image, features)

        Args:
            input_shape, *more, dtype: as for `output_shape`.

        Returns:
            A `minidl.nn.Summary`, a str whose `rows`, `total_params` and other totals are also plain data. A layer that
            is called several times has a row for each call; its parameters are counted once.

        Raises:
            ValueError: the module does not accept this shape; the message names the layer.
        """
        return Summary.of(self, (input_shape, *more), dtype)

    def draw(self, input_shape: Any, *more: Any, dtype: Any = None) -> Drawing:
        """Return a drawing of what a forward pass calls: layers, their shapes and parameters, branches and joins.

            model.draw((1, 1, 28, 28)).save("model.svg")          # a notebook shows it without save()

        Args:
            input_shape, *more, dtype: as for `output_shape`.

        Returns:
            A `minidl.nn.Drawing`, SVG for light and dark pages. Shapes are without the batch axis. Parts of a chain
            that are alike are drawn once, with their number.

        Raises:
            ValueError: the module does not accept this shape; the message names the layer.
        """
        return Drawing.of(self, (input_shape, *more), dtype)

    def multiply_adds(self, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
        """Return the multiply-add operations of this module itself, without its children, for `summary`."""
        return 0

    # Representation and attributes

    def extra_repr(self) -> str:
        """Return the options shown between the parentheses of ``repr``."""
        return ""

    def __repr__(self) -> str:
        return self._describe("training mode")

    def _describe(self, shown: str) -> str:
        """Write PyTorch's form of the tree; evaluation mode, or being frozen, is marked where it begins."""
        mode = "frozen" if self._frozen else "training mode" if self.training else "eval mode"
        note = "" if mode == shown else f"  # {mode}"
        lines = [f"  ({name}): " + child._describe(mode).replace("\n", "\n  ") for name, child in self.named_children()]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return "\n".join([head + note, *lines, ")"]) if lines else f"{head}){note}"

    def __setattr__(self, name: str, value: Any) -> None:
        if "_saved" not in self.__dict__:
            raise RuntimeError(
                f"{type(self).__name__}.__init__ must call super().__init__() before it sets self.{name}"
            )
        if isinstance(self.__dict__.get(name), Parameter) and not isinstance(value, (Parameter, type(None))):
            raise TypeError(
                f"{type(self).__name__}: {name} is a Parameter and cannot become a {type(value).__name__}; to change "
                f"its value use self.{name}.data[...] = ..."
            )
        if type(value) is Tensor and name in self._buffers:  # a buffer is not trained: it takes the values alone
            value = value.data
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        if name in _OWN:
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__()")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        # a copy or a pickle starts without what the last forward pass saved
        return {**self.__dict__, "_saved": [], "_pass": None}

    # Traversal

    def _members(self) -> Iterator[tuple[str, Parameter | Module]]:
        for name, value in self.__dict__.items():
            if name in _OWN:
                continue
            if isinstance(value, (Module, Parameter)):
                yield name, value
            elif isinstance(value, _HOLDERS):
                yield from _find(name, value, type(self).__name__)

    def _own_sizes(self) -> list[int]:
        """Return how many numbers each Parameter of this module itself has."""
        return [value.data.size for _, value in self._members() if isinstance(value, Parameter)]

    def _walk(self, prefix: str, above: tuple[int, ...] = ()) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        if id(self) not in above:
            for name, child in self.named_children():
                if id(child) not in above:
                    yield from child._walk(_join(prefix, name), (*above, id(self)))

    def _state(self) -> Iterator[tuple[str, Array]]:
        """Yield (path, array) for parameters and persistent buffers; a shared one under each of its names."""
        for path, module in self._walk(""):
            for name, value in module._members():
                if isinstance(value, Parameter):
                    yield _join(path, name), value.data
            for name, persistent in module._buffers.items():
                value = getattr(module, name)
                if persistent and value is not None:
                    yield _join(path, name), value


Module.backward = guarded(Module.backward)  # type: ignore[method-assign]
DERIVED.append(Module.backward)


def _join(path: str, name: str) -> str:
    """Return the path of a member of what is at ``path``."""
    return f"{path}.{name}" if path else name


def _find(name: str, value: Any, owner: str) -> Iterator[tuple[str, Parameter | Module]]:
    """Yield the Parameters and Modules in an attribute, which may be a list, tuple or dict of them."""
    if isinstance(value, (Parameter, Module)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _find(f"{name}.{index}", item, owner)
    elif isinstance(value, dict):
        for key, item in value.items():
            found = list(_find(f"{name}.{key}", item, owner))
            if found and (not isinstance(key, str) or "." in key):
                raise TypeError(f"{owner}: the keys of {name} must be strings without a dot to be paths, got {key!r}")
            yield from found
    elif isinstance(value, (set, frozenset)) and any(isinstance(v, (Parameter, Module)) for v in value):
        raise TypeError(f"{owner}: {name} is a set of Parameters or Modules, which has no order; use a list")
