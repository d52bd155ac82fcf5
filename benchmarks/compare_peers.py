"""minidl beside other frameworks for the CPU: training steps of lenet5 and small_vgg, batches of 32 and 128.

    python benchmarks/compare_peers.py                     everything: about five minutes, and the installation
    python benchmarks/compare_peers.py --quick             fewer and shorter rounds
    python benchmarks/compare_peers.py --only flax keras   these peers

Each peer is installed in an environment of its own, versions pinned, in a folder that may be deleted at any time; the
environment that runs this stays as it is. A step is forward, cross-entropy, backward and SGD with momentum 0.9, in
float32; what a peer does otherwise stands in the last column. All sides of a case take turns, and are held to as many
cores as they may use threads. Ratios are the peer's fastest step divided by minidl's: above 1, minidl is faster.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import nets
from machine import describe
from turns import HERE, WORKER, Case, Worker, environment, measure

from minidl import nn

NUMPY = "numpy==2.4.6"
JAX = ("jax==0.10.2", "jaxlib==0.10.2", NUMPY)
NETS, BATCHES = ("lenet5", "small_vgg"), (32, 128)
MINIDL = {"minidl fast": "fast", "minidl numpy": "numpy"}  # the label of each engine


@dataclass(frozen=True)
class Peer:
    """What is installed for one peer, and the oldest Python that it runs on."""

    packages: tuple[str, ...]
    python: tuple[int, int] = (3, 10)


PEERS = {  # each is a file in peers/
    "flax": Peer(("flax==0.12.8", "optax==0.2.8", *JAX), (3, 11)),
    "keras": Peer(("keras==3.15.1", *JAX), (3, 11)),
    "aether": Peer(("aether-ml==1.1.0", NUMPY), (3, 12)),
    "mpneuralnetwork": Peer(("mpneuralnetwork==1.1.1", NUMPY), (3, 11)),
    "neuralnetlib": Peer(("neuralnetlib==5.0.0", NUMPY), (3, 11)),
}


@dataclass(frozen=True)
class Side:
    """How a side's worker is started, and what it does otherwise than minidl."""

    worker: str
    python: str
    variables: Mapping[str, str]
    differs: str = ""


class Unavailable(Exception):
    """A side cannot take part; the message says why."""


def run(command: list[str], what: str, variables: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it printed.

    Raises:
        Unavailable: it failed; the message ends with the last line of its standard error.
    """
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{what}: {(done.stderr.strip().splitlines() or [f'exit code {done.returncode}'])[-1]}")
    return done.stdout


def interpreter(oldest: tuple[int, int]) -> str:
    """Return a Python that is new enough: this one, or the newest on the path.

    Raises:
        Unavailable: there is none.
    """
    if sys.version_info >= oldest:
        return sys.executable
    for minor in range(20, oldest[1] - 1, -1):
        found = shutil.which(f"python{oldest[0]}.{minor}")
        # a version manager's stand-in may be on the path without the Python that it stands for
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    raise Unavailable("it needs Python {}.{} or later, and none is on the path".format(*oldest))


def install(name: str, peer: Peer, folder: Path) -> str:
    """Make a peer's environment unless it is there; return its Python.

    Raises:
        Unavailable: it cannot be made.
    """
    source, home = interpreter(peer.python), folder / name
    python = str(home / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    note, wanted = home / "installed.txt", "\n".join((source, *peer.packages))
    if not note.is_file() or note.read_text() != wanted:
        print(f"installing {' '.join(peer.packages)} in {home}", file=sys.stderr, flush=True)
        run([source, "-m", "venv", "--clear", str(home)], "its environment was not made")
        run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages],
            "it was not installed",
        )
        note.write_text(wanted)  # at the end: an installation that was broken off is made anew
    return python


def differs(name: str, net: str, python: str, variables: Mapping[str, str]) -> str:
    """Make a peer's net and train it for some steps; return what differs from minidl's.

    Raises:
        Unavailable: it cannot be made or trained, or its loss does not fall.
    """
    shown = run([python, WORKER, name, net, "check", "32"], "it failed", variables)
    found = json.loads(shown.splitlines()[-1])
    losses, parameters = found["losses"], sum(p.data.size for p in nets.build(net, nn).params())
    if not statistics.fmean(losses[-5:]) < min(losses[0], statistics.fmean(losses[:5])):
        raise Unavailable(f"it does not learn, its losses are {', '.join(f'{loss:.3g}' for loss in losses)}")
    count = f"{found['parameters']:,} parameters, not {parameters:,}" if found["parameters"] != parameters else ""
    return "; ".join(filter(None, (found["differs"], count)))


def compare(case: Case, sides: Mapping[str, Side], rounds: int, seconds: float) -> list[str]:
    """Measure one case and print its rows; return what was left out, and why."""
    left_out = []
    with ExitStack() as stack:
        workers = {}
        for label, side in sides.items():
            worker = stack.enter_context(Worker(side.worker, case, side.variables, (side.python, WORKER)))
            try:
                worker.run(1)  # some compile in the first step
            except RuntimeError as error:
                left_out.append(f"{label}, batch {case[2]}: {error}")
                continue
            workers[label] = worker
        result = measure(workers, rounds, seconds)
    best = {label: min(times) for label, times in result.seconds.items()}
    for label, times in result.seconds.items():
        time = f"{1e3 * best[label]:.2f} ({1e3 * statistics.median(times):.2f})"
        ratios = [f"{best[label] / best[ours]:.2f}" if ours in best else "" for ours in MINIDL]
        cells = [f"{case[0]}, {case[2]}", label, time, *ratios, sides[label].differs]
        print(f"| {' | '.join(cells)} |", flush=True)
    return left_out


def main() -> None:
    """Parse the command line, install, check, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=HERE.parent / "build" / "peers", help="of the environments")
    parser.add_argument("--only", nargs="*", choices=list(PEERS), default=list(PEERS), help="these peers")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # jax has no option for the number of threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    variables, left_out = environment(options.threads), []
    sides: dict[str, dict[str, Side]] = {net: {} for net in NETS}
    for label, engine in MINIDL.items():
        if engine == "fast" and not importlib.util.find_spec("numba"):
            left_out.append(f'{label}: numba is missing (pip install "minidl[fast]")')
            continue
        for net in NETS:
            sides[net][label] = Side("minidl", sys.executable, {**variables, "MINIDL_ENGINE": engine})
    for name in options.only:
        try:
            python = install(name, PEERS[name], options.folder.expanduser().resolve())
        except Unavailable as error:
            left_out.append(f"{name}: {error}")
            continue
        for net in NETS:
            try:
                sides[net][name] = Side(name, python, variables, differs(name, net, python, variables))
            except Unavailable as error:
                left_out.append(f"{name}, {net}: {error}")
    print(f"{describe()}; {options.threads} thread{'s' * (options.threads > 1)}\n")
    columns = ["net, batch", "side", "ms min (median)", *(f"/ {ours}" for ours in MINIDL), "differs"]
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)
    for net in NETS:
        for batch in BATCHES:
            left_out += compare((net, "train", batch), sides[net], *((3, 0.3) if options.quick else (6, 1.0)))
    for line in ["\nleft out:", *left_out] if left_out else ():
        print(line)


if __name__ == "__main__":
    main()
