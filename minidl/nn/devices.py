"""What PyTorch programs ask about devices: there is one, the CPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

__all__ = ["backends", "check_device", "cuda", "device"]


class device(str):
    """A device, which can only be "cpu"; a str.

    Args:
        type: "cpu", perhaps with a number as in "cpu:0".
        index: the number, which is not used.

    Attributes:
        type: "cpu".

    Raises:
        ValueError: it is another device.
    """

    __slots__ = ()
    type = "cpu"

    def __new__(cls, type: Any = "cpu", index: int | None = None) -> device:  # noqa: D102
        check_device("device", type)
        return super().__new__(cls, "cpu")

    def __repr__(self) -> str:
        return "device(type='cpu')"


def check_device(owner: str, wanted: Any) -> None:
    """Raise ValueError unless a device is None or the CPU."""
    if wanted is not None and (not isinstance(wanted, str) or wanted.split(":")[0] != "cpu"):
        raise ValueError(f"{owner}: minidl computes on the CPU, there is no device {wanted!r}; use 'cpu'")


def _no() -> bool:
    return False


# as PyTorch programs ask for them: ``torch.cuda.is_available()``, ``torch.backends.mps.is_available()``
cuda = SimpleNamespace(is_available=_no, device_count=lambda: 0)
backends = SimpleNamespace(
    mps=SimpleNamespace(is_available=_no), cudnn=SimpleNamespace(benchmark=False, deterministic=True)
)
