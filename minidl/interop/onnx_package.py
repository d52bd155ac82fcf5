"""The package onnx, an extra: imported when ONNX files are read or written, not with minidl."""

from __future__ import annotations

from typing import Any

__all__ = ["require_onnx"]


def require_onnx(what: str) -> Any:
    """Return the package onnx with the submodules that minidl uses.

    Args:
        what: name of the function that needs it, for the message.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    try:
        import onnx  # noqa: PLC0415 - an extra, imported where it is used
        import onnx.checker  # noqa: PLC0415
        import onnx.defs  # noqa: PLC0415
        import onnx.helper  # noqa: PLC0415
        import onnx.numpy_helper  # noqa: PLC0415
        import onnx.shape_inference  # noqa: PLC0415
    except ImportError as error:
        raise ImportError(f"{what} needs an extra: pip install 'minidl[onnx]'") from error
    return onnx
