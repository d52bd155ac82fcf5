"""Converting: the dtype of a module's parameters and buffers. The part of Module about dtypes and devices."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .devices import check_device
from .learning import Learning
from .unsized import sealed

__all__ = ["Converting"]

Self = TypeVar("Self", bound="Converting")


class Converting(Learning):
    """What `Module` is about dtypes, and about the one device there is."""

    def astype(self: Self, dtype: DTypeLike) -> Self:
        """Convert parameters, gradients and float buffers to float32 or float64, in place; return self.

        Raises:
            TypeError: the dtype is neither.
        """
        wanted = np.dtype(dtype)
        if wanted not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise TypeError(f"{type(self).__name__}: dtype must be float32 or float64, got {wanted}")
        for parameter in self.params():
            parameter.data = sealed(parameter.data.astype(wanted, copy=False))
            if parameter.grad is not None:
                parameter.grad = parameter.grad.astype(wanted, copy=False)
        for module in self.modules():
            module._saved.clear()
            module.__dict__["_pass"] = None
            for name in module._buffers:
                value = getattr(module, name)
                if value is not None and value.dtype.kind == "f":
                    setattr(module, name, value.astype(wanted, copy=False))
        return self

    def to(self: Self, *args: Any, **options: Any) -> Self:
        """Convert as `astype` if a dtype, or an array that has one, is given; the device "cpu" is accepted.

        Returns self.

        Raises:
            ValueError: another device.
            TypeError: the dtype is neither float32 nor float64.
        """
        owner = f"{type(self).__name__}.to"
        for wanted in (*args, *options.values()):
            if isinstance(wanted, (str, int)) and not isinstance(wanted, bool):
                check_device(owner, wanted)
            if isinstance(wanted, (type, np.dtype)) or hasattr(wanted, "dtype"):
                self.astype(getattr(wanted, "dtype", wanted) if not isinstance(wanted, type) else wanted)
        return self

    def cpu(self: Self) -> Self:
        """Return self: this is where it is."""
        return self

    def cuda(self: Self, device: Any = None) -> Self:
        """Raise ValueError: minidl computes on the CPU."""
        return self.to("cuda" if device is None else f"cuda:{device}")

    def float(self: Self) -> Self:
        """Convert to float32, as `astype`."""
        return self.astype(np.float32)

    def double(self: Self) -> Self:
        """Convert to float64, as `astype`."""
        return self.astype(np.float64)
