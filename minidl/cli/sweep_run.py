"""One run of a sweep: ``minidl train`` in a process of its own, wherever joblib has it started.

The process is one of its own, not a worker of joblib: a run that is killed is that run alone, each begins as if it were
the only one, and any number of threads of a cluster's worker may have one each.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from .._core import user_path
from ..distributed import alone
from ..training.checkpoint import CONFIG, has_checkpoint
from .recipe import Recipe
from .run import Run, stored_recipe

__all__ = ["Job", "end_children", "is_finished", "train_in_process"]

_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "NUMBA_NUM_THREADS")
_ERROR = "minidl train: error: "
_BEGIN = (  # Ctrl-C is the sweep's, which ends its runs; modules are found where the sweep finds them
    "import json, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.path[:] = json.loads(sys.argv[1]); "
    "from minidl.cli.sweep_run import in_process; in_process(sys.argv[2:])"
)
_LOOK = 0.2  # seconds from one look at a run to the next

_children: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True)
class Job:
    """A run to be done; it can be sent to other machines that have the same folders.

    Attributes:
        number: of the run in the plan.
        folder: of the run, from the directory ``here``.
        here: where the command was given.
        recipe: what to train.
        threads: how many threads the run has, unless its recipe says so.
        going: a file that is there as long as the sweep is.
    """

    number: int
    folder: str
    here: str
    recipe: Recipe
    threads: int
    going: str

    @property
    def place(self) -> Path:
        """The run's folder, from every directory."""
        return user_path(self.here) / self.folder

    @property
    def log(self) -> Path:
        """The file beside it of what the run prints."""
        return self.place.with_suffix(".log")

    def arguments(self) -> list[str]:
        """Return the command line that begins the run, or goes on with it."""
        own = ["--model", self.recipe.model] if ":" in self.recipe.model else []
        if (self.place / CONFIG).exists():
            return ["train", "--resume", self.folder, *own]
        usual = Recipe.default(self.recipe.data, self.recipe.model).as_dict()
        flags = []
        for name, option in Recipe.options().items():
            value = getattr(self.recipe, name)
            if name != "download" and (value != usual[name] or name in ("data", "model")):
                flags += [option.flag] if value is True else [f"{option.flag}={value}"]
        return ["train", "--run", self.folder, *flags]


def is_finished(folder: Path) -> bool:
    """Return whether a run has nothing left to do: all its epochs are done, and the report, its last file, is there.

    One with ``patience`` may have ended earlier.
    """
    if not (folder / "report.html").is_file():
        return False
    recipe = stored_recipe(folder)
    return bool(recipe.patience) or len(Run(folder, recipe, [], ()).history()) >= recipe.epochs


def train_in_process(job: Job) -> tuple[int, str | None]:
    """Do a run in a process of its own; return its number, and why it failed: "" if it did not, None if it was ended.

    Joblib calls this, in a thread, in another process, or on another machine.
    """
    try:
        return job.number, _train(job)
    except OSError as error:  # no process, no room for its log
        return job.number, str(error)


def _train(job: Job) -> str | None:
    if not os.path.exists(job.going):
        return None
    if job.place.is_dir() and not (job.place / CONFIG).exists() and not has_checkpoint(job.place):
        shutil.rmtree(job.place)  # what was killed before it had anything
    environment = {**alone(os.environ), **dict.fromkeys(_LIMITS, str(job.threads))}
    command = [sys.executable, "-c", _BEGIN, json.dumps([str(entry) for entry in sys.path]), *job.arguments()]
    with os.fdopen(_appending(job.log), "ab") as log:
        begin = log.tell()
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, cwd=job.here, env=environment
        )
    with child:
        _children.add(child)
        try:
            while True:
                try:
                    code = child.wait(_LOOK)
                    break
                except subprocess.TimeoutExpired:
                    if not os.path.exists(job.going):
                        child.kill()
        finally:
            child.kill()
            child.wait()
            _children.discard(child)
    return _reason(job, code, begin) if code == 0 or os.path.exists(job.going) else None


def _appending(path: Path) -> int:
    """Open a file to append to it, but not one that a link in a folder from somebody else leads to."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _reason(job: Job, code: int, begin: int) -> str:
    """Return why a run failed, by its exit code and its log from ``begin`` on; "" if it did not."""
    if code == 0:
        return ""
    if code < 0:
        hint = "; perhaps the memory was full" if -code == getattr(signal, "SIGKILL", 0) else ""
        return f"the process was ended by signal {signal.Signals(-code).name}{hint}"
    lines = job.log.read_bytes()[begin:].decode(errors="replace").splitlines()
    told = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)] or [line for line in lines if line]
    return told[-1] if told else f"exit code {code}"


def end_children() -> None:
    """End the runs that this process has begun, at once: they go on from their last checkpoints."""
    for child in list(_children):
        child.kill()
    for child in list(_children):
        child.wait()


def in_process(arguments: list[str]) -> NoReturn:
    """Do a run, in the process that is there for it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from . import main  # noqa: PLC0415 - the package is there by now

    sys.argv = ["minidl", *arguments]  # for the report
    sys.exit(main(arguments))


def _end_with_parent() -> None:
    """End this process when the one that has begun it ends, however that ends: its end of the pipe closes then."""
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
    os._exit(1)
