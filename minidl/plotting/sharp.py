"""A Figure that is sharp on dense screens; the one file that needs matplotlib to be imported."""

from __future__ import annotations

import base64
import io
from typing import Any

import matplotlib
from matplotlib.figure import Figure

__all__ = ["SharpFigure"]

_DENSE = 2  # pixels of a file for one of the page


class SharpFigure(Figure):
    """A Figure with twice the pixels in files and notebooks, at the same size on the page.

    pyplot does not know it: a notebook shows it once, and it does not stay in memory.
    """

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save the figure as matplotlib does; unless ``dpi`` or its rcParam says otherwise, with twice the pixels."""
        if matplotlib.rcParams["savefig.dpi"] == "figure":
            options.setdefault("dpi", _DENSE * self.dpi)
        super().savefig(fname, **options)

    def _repr_html_(self) -> str:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=_DENSE * self.dpi)
        content = base64.b64encode(file.getvalue()).decode()
        width = self.get_size_inches()[0] * self.dpi
        return f'<img src="data:image/png;base64,{content}" width="{width:.0f}" style="max-width:100%" alt="figure">'
