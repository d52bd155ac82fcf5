"""health_section: how the layers did while they trained, for report.html."""

from __future__ import annotations

from .._core import html_table, html_text
from ..training.callbacks import HealthMonitor
from ..training.verdicts import HELP, health_table

__all__ = ["health_section"]


def health_section(monitor: HealthMonitor) -> str:
    """Return the table of the layers and the verdicts as HTML; nothing if no step was watched."""
    if not monitor.layers:
        return ""
    head, rows = health_table(monitor.layers)
    verdicts = monitor.verdicts
    what = {one.layer: one.what for one in verdicts}
    table = html_table((*head, "verdict"), [(*row, what.get(row[0], "")) for row in rows])
    found = "".join(f'<li><b>{one.what}</b>: "{html_text(one.layer)}": {html_text(one.text)}</li>' for one in verdicts)
    helps = "".join(f"<p><b>{name}</b>: {html_text(HELP[name])}</p>" for name in dict.fromkeys(what.values()))
    said = f"<ul>{found}</ul>{helps}" if verdicts else "<p>Nothing is out of the ordinary.</p>"
    return (
        f"<h2>Health of the layers</h2>{said}<p>In the last epoch: outputs; units of a ReLU that are 0 for every "
        "sample; outputs of a sigmoid or tanh where its curve is flat; norm of the gradient; size of a step relative "
        f"to the weights.</p><div class=wide>{table}</div>"
    )
