"""``minidl sweep``: the same training with many options, as runs of their own, side by side."""

from __future__ import annotations

import argparse
import os
import shlex
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .._core import available_cpus, get_num_threads, uninterrupted, user_path, write_atomically
from ..distributed import launched_rank, launched_ranks, mark_told
from ..training.folder_lock import FolderLock
from ..training.progress import Progress
from .claim import check_place, claimed
from .command import add_command
from .output import say, show
from .seeds import Outcome
from .sweep_check import check_runs
from .sweep_plan import PLAN, Plan
from .sweep_results import Results
from .sweep_run import Job, end_children, is_finished, train_in_process
from .trust import add_trust, check_trusted

__all__ = ["add_sweep", "run_sweep"]


def add_sweep(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        sweep,
        text="train with many options and compare by validation",
        description="Train once for each combination of the values that CONFIG.toml lists (a grid), or for some that "
        "are drawn at random, several at a time, each a run in a folder of its own. At the end there are a table, the "
        "best first, and a picture. The exit code is 1 if some runs failed.",
        example="minidl sweep rates.toml --jobs 2, with a line lr = [0.01, 0.03, 0.1] in rates.toml",
    )
    parser.add_argument("config", metavar="CONFIG.toml", nargs="?", help="options of minidl train; lists are tried")
    parser.add_argument(
        "--run", dest="folder", metavar="DIR", help="the sweep's folder (default: runs/sweep-N, a new one)"
    )
    parser.add_argument(
        "--resume", metavar="DIR", help="go on with the sweep in this folder: with what is not finished"
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time (default: as many as there are CPUs)")
    parser.add_argument("--download", action="store_true", help="fetch the dataset's files if they are missing")
    add_trust(parser)
    parser.set_defaults(root=None)  # it is in the file


def run_sweep(
    config: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    *,
    resume: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    download: bool = False,
    trust: bool = False,
) -> list[dict[str, Any]]:
    """Do what ``minidl sweep`` does, from Python: on a cluster inside ``with joblib.parallel_config(backend="dask")``.

    Args:
        config: the TOML file.
        folder: of the sweep, which all machines must see; None for a new one.
        resume: instead of the two: the folder of a sweep to go on with.
        jobs: runs at a time; None: as many as joblib is configured for, otherwise as there are CPUs.
        download: whether missing files of a dataset are fetched.
        trust: whether models of your own that the file names are imported.

    Returns:
        A dict for each run, the best first, those that failed last: its folder, "run"; the options in which the runs
        differ; "epochs", "val_accuracy" and "val_loss" (the best ones), "seconds"; "failed", why, or "".

    Raises:
        ImportError: the extra ``sweep`` is not installed.
        ValueError, TypeError, FileNotFoundError: the file asks for something that cannot be done.
        KeyboardInterrupt: of Ctrl-C; ``resume`` goes on.
    """
    given = {"config": config, "folder": folder, "resume": resume, "jobs": jobs, "download": download, "trust": trust}
    fixed = {"command": "sweep", "quiet": True, "json": False, "model": None, "root": None}
    code, result, _ = _sweep(argparse.Namespace(**given, **fixed))
    if code == 130:
        raise KeyboardInterrupt
    rows: list[dict[str, Any]] = result["runs"]
    return rows


def sweep(options: argparse.Namespace) -> int:
    """Run the command."""
    code, result, text = _sweep(options)
    if code != 130 or options.json:
        show(options, result, text)
    return code


def _sweep(options: argparse.Namespace) -> Outcome:
    try:
        import joblib  # noqa: F401, PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise ImportError("minidl sweep needs an extra: pip install 'minidl[sweep]'") from error
    if (ranks := launched_ranks()) > 1:
        refusal = ValueError(
            f"mpiexec or srun has started {ranks} of these sweeps, but one starts its runs itself: leave the launcher "
            f"out, and give --jobs {ranks}; docs/sweeps.md says how several machines do them"
        )
        raise mark_told(refusal, quiet=launched_rank() > 0)
    if options.jobs is not None and options.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {options.jobs}")
    if (options.config is None) == (options.resume is None):
        raise ValueError("give either CONFIG.toml, which says what to try, or --resume DIR")
    with ExitStack() as stack:  # nobody else goes on with it meanwhile
        plan, folder = _begin(options, stack) if options.resume is None else _go_on(options, stack)
        return _do(plan, folder, options)


def _begin(options: argparse.Namespace, stack: ExitStack) -> tuple[Plan, Path]:
    """Return what is to be done, all of it checked, and a new folder for it, which is held."""
    plan = Plan.of(options.config)
    check_runs(plan, options.config, options)
    own = None if options.folder is None else user_path(options.folder)
    for recipe in plan.recipes:
        check_place(own, recipe)
    with claimed(own, "sweep") as folder:
        stack.enter_context(FolderLock(folder))
        write_atomically(folder / PLAN, f"{plan.as_json()}\n".encode(errors="replace"))
        write_atomically(folder / "sweep.toml", user_path(options.config).read_bytes())
    return plan, folder


def _go_on(options: argparse.Namespace, stack: ExitStack) -> tuple[Plan, Path]:
    """Return what the folder of a sweep says is to be done, and the folder, which is held."""
    if options.folder is not None:
        raise ValueError("--resume goes on with a sweep where it is: give no --run")
    folder = user_path(options.resume)
    plan = Plan.read(folder)
    for recipe in plan.recipes:
        check_trusted(folder / PLAN, recipe.model, options)
    stack.enter_context(FolderLock(folder))
    return plan, folder


def _do(plan: Plan, folder: Path, options: argparse.Namespace) -> Outcome:
    """Do the runs that are not finished; return what came of all of them."""
    results, left = Results(plan, folder), list[int]()
    for number, name in enumerate(plan.names):
        if _finished(folder / name):
            results.add(number)
        else:
            left.append(number)
    jobs, threads = _shares(len(left), options.jobs)
    began = f", {len(results)} of them finished" if options.resume else ""
    say(
        options,
        f"{len(plan.recipes)} runs, {plan.kind}{began}: {', '.join(plan.varied)}; {jobs} at a time, "
        f"{threads} thread{'s' * (threads > 1)} each; {folder}",
    )
    progress = Progress("none" if options.quiet or options.json else "auto")
    try:
        with _going(folder) as going:
            work = [Job(n, str(folder / plan.names[n]), os.getcwd(), plan.recipes[n], threads, going) for n in left]
            ended = _in_parallel(work, jobs)
            for (number, failed), _ in progress.track(
                ended, "sweep", first=len(results), total=len(plan.recipes), unit="run"
            ):
                if failed is not None:
                    progress.line(results.add(number, failed))
                    results.write()
    except KeyboardInterrupt:
        with uninterrupted():
            say(options, f"{len(results)} of {len(plan.recipes)} runs have ended; go on with {_command(plan, folder)}")
        return 130, _result(results, None, interrupted=True), ""
    results.write()
    picture = _draw(results, options)
    if results.failed:
        say(
            options,
            f"{results.failed} of {len(results)} runs failed; their .log files say more; "
            f"{_command(plan, folder)} tries them again",
        )
    return int(results.failed > 0), _result(results, picture), results.table()


def _finished(folder: Path) -> bool:
    """Return whether a run is finished; of one whose files are damaged its own process says what is wrong."""
    try:
        return is_finished(folder)
    except (OSError, ValueError, TypeError):
        return False


def _shares(runs: int, jobs: int | None) -> tuple[int, int]:
    """Return how many runs there are at a time, and how many threads each of them has."""
    from joblib import effective_n_jobs  # noqa: PLC0415

    configured = effective_n_jobs(None)  # 1 unless there is a parallel_config
    if jobs is None:
        jobs = configured if configured > 1 else available_cpus()
    jobs = max(1, min(jobs, runs))
    return jobs, max(1, min(get_num_threads(), available_cpus() // jobs))


@contextmanager
def _going(folder: Path) -> Iterator[str]:
    """Keep a file while a sweep goes on; afterwards no run of it does, wherever it is."""
    for rest in folder.glob(".going-*"):  # of one that was killed: those of its runs that a cluster still does end now
        rest.unlink(missing_ok=True)
    going = folder / f".going-{os.urandom(4).hex()}"
    going.touch()
    try:
        yield os.path.abspath(going)
    finally:
        with uninterrupted():
            going.unlink(missing_ok=True)
            end_children()


def _in_parallel(work: list[Job], jobs: int) -> Iterator[tuple[int, str | None]]:
    """Yield what `train_in_process` returns, as soon as it does.

    Threads suffice to wait for processes; a backend that the caller has configured is used instead.
    """
    from joblib import Parallel, delayed  # noqa: PLC0415

    parallel = Parallel(n_jobs=jobs, prefer="threads", return_as="generator_unordered", batch_size=1)
    ended = parallel(delayed(train_in_process)(job) for job in work)
    try:
        yield from ended
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that not all were waited for
            ended.close()


def _draw(results: Results, options: argparse.Namespace) -> Path | None:
    """Draw the results if there are any, and matplotlib."""
    try:
        picture = results.draw()
    except ImportError as error:
        say(options, f"there is no picture: {error}")
        return None
    if picture is not None:
        say(options, f"see {picture}")
    return picture


def _result(results: Results, picture: Path | None, interrupted: bool = False) -> dict[str, Any]:
    """Return the result for --json."""
    return {
        "sweep": str(results.folder),
        "runs": results.rows,
        "best": None if results.best is None else results.best["run"],
        "failed": results.failed,
        "picture": None if picture is None else str(picture),
        "interrupted": interrupted,
    }


def _command(plan: Plan, folder: Path) -> str:
    """Return the command that goes on with a sweep, quoted for a shell, from the same directory."""
    trust = any(":" in recipe.model for recipe in plan.recipes)
    return shlex.join(["minidl", "sweep", "--resume", str(folder), *["--trust"] * trust])
