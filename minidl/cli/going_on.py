"""resume_command: the command line that continues a run."""

from __future__ import annotations

import shlex
from pathlib import Path

from ..distributed import launched_ranks
from .run import Run

__all__ = ["resume_command"]


def resume_command(run: Run, out: Path | None = None) -> str:
    """Return the command that continues an interrupted run, quoted for a shell, from the same directory.

    Args:
        run: the run. If its model is code of the user's, the command names it: otherwise it would be refused.
        out: a file that gets a copy of the weights.
    """
    ranks = launched_ranks()
    words = [*(["mpiexec", "-n", str(ranks)] if ranks > 1 else []), "minidl", "train", "--resume", str(run.folder)]
    if ":" in run.recipe.model:
        words += ["--model", run.recipe.model]
    if out is not None:
        words += ["--out", str(out)]
    return shlex.join(words)
