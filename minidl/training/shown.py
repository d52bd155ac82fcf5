"""What a notebook shows of a History and a Trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import html_table, html_text
from .charts import curve_charts

if TYPE_CHECKING:
    from .history import History
    from .trainer import Trainer

__all__ = ["describe_trainer", "history_html", "history_table", "trainer_html"]

_MANY = 12


def history_table(history: History) -> str:
    """Return the rows of a history as an HTML table."""
    columns = history.columns()
    rows = [[f"{row[name]:.4g}" if name in row else "" for name in columns] for row in history.rows]
    return html_table([name.replace("_", " ") for name in columns], rows)


def history_html(history: History) -> str:
    """Return a history's curves, and its rows, folded if there are many."""
    if not history.rows:
        return f"<p>{html_text(history)}</p>"
    note = ", interrupted" if history.interrupted else ""
    opened = " open" if len(history) <= _MANY else ""
    charts = "".join(curve_charts(history.to_dict()))
    rows = f"<details{opened}><summary>{len(history)} epochs{note}</summary>{history_table(history)}</details>"
    return f'<div style="display:flex;flex-wrap:wrap;gap:1rem">{charts}</div>{rows}'


def describe_trainer(trainer: Trainer) -> dict[str, str]:
    """Return what a Trainer is made of, and how far it has come, as text by name."""
    params = list(trainer.model.params())
    size = sum(p.data.size for p in params)
    frozen = size - sum(p.data.size for p in params if p.requires_grad)
    note = f", {frozen:,} of them frozen" if frozen else ""
    parts = {"model": f"{type(trainer.model).__name__}, {size:,} parameters{note}", "loss": repr(trainer.loss)}
    if trainer.optimizer is not None:
        rate = trainer.optimizer.param_groups[0]["lr"]
        parts["optimizer"] = f"{type(trainer.optimizer).__name__}, lr {rate:.4g}"
    if trainer.scheduler is not None:
        parts["scheduler"] = type(trainer.scheduler).__name__
    for name, items in (("metrics", trainer.metrics), ("callbacks", trainer.callbacks)):
        if items:
            parts[name] = ", ".join(type(item).__name__ for item in items)
    if trainer.comm is not None:
        parts["ranks"] = f"{trainer.comm.size}, this is {trainer.rank}"
    parts["epochs"] = str(len(trainer.history))
    return parts


def trainer_html(trainer: Trainer) -> str:
    """Return a table of what a Trainer is made of, and its history."""
    history = history_html(trainer.history) if trainer.history.rows else ""
    return html_table((), describe_trainer(trainer).items()) + history
