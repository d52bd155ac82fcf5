"""The network drawn: a model's forward pass as SVG, without further dependencies."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..._core import through_link, user_path, write_atomically
from .blocks import read
from .folding import fold
from .places import lay_out
from .svg import to_svg

if TYPE_CHECKING:
    from ..module import Module

__all__ = ["Drawing"]


class Drawing:
    """A picture of a network, which a notebook shows; made by `Module.draw`.

    Attributes:
        svg: the picture as SVG, one element that a page may contain as it is.
    """

    def __init__(self, svg: str) -> None:
        self.svg = svg

    @classmethod
    def of(cls, model: Module, shapes: tuple[Any, ...], dtype: Any = None) -> Drawing:
        """Run the model on zeros of these shapes and draw what it called."""
        network = read(model, shapes, dtype)
        fold(network)
        return cls(to_svg(network, lay_out(network)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file, whose name ends in .svg.

        Raises:
            ValueError: the suffix is another one.
            OSError: the file cannot be written.
        """
        path = user_path(path)
        if path.suffix.lower() != ".svg":
            raise ValueError(f"Drawing.save: the picture is SVG, so the file name must end in .svg, got {path}")
        write_atomically(through_link(path), f"{self.svg}\n".encode())

    def _repr_html_(self) -> str:
        # not _repr_svg_: a notebook would show that as an image, whose letters do not have the page's colour
        return f'<div style="overflow-x:auto">{self.svg}</div>'
