"""Two checkouts of minidl side by side: the training step of the benchmark's networks and of random ones.

    python benchmarks/compare_commits.py OLD_DIR NEW_DIR --threads 1
    python benchmarks/compare_commits.py OLD_DIR NEW_DIR --seed 7 --random 30

Each side of each case runs in its own process, which imports minidl from its checkout, and the two take turns. Then a
new pair of processes does the same, since a process can be a little faster than another one that runs the same code.
Both sides use the networks and the worker of the folder that this script is in. Ratios are new / old: above 1, the new
checkout is slower.

Two ratios are printed for each case: that of the fastest step, and that of the mean of the fastest tenth of all steps,
which a single lucky step does not move.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from nets import SHAPES
from random_nets import draw
from turns import HERE, Case, Worker, environment, measure

BATCHES = (32, 128)


def imported_from(checkout: Path) -> Path:
    """Return the file that a worker imports as minidl when a checkout is on PYTHONPATH.

    Raises:
        ValueError: it is not in the checkout, so that something else would be measured.
    """
    command = [sys.executable, "-c", "import minidl; print(minidl.__file__)"]
    # Like worker.py, a command that runs in its folder looks there first; minidl is not there.
    run = subprocess.run(command, env=environment(1, checkout), cwd=HERE, capture_output=True, text=True, check=False)
    path = Path(run.stdout.strip())
    if run.returncode or not path.resolve().is_relative_to(checkout.resolve()):
        reason = run.stderr.strip() or f"minidl is imported from {path.parent}"
        raise ValueError(f"{checkout} is not a checkout of minidl: {reason}")
    return path


def times(case: Case, checkouts: dict[str, Path], options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the durations of a case's steps by side, over all turns of all pairs of processes."""
    seconds: dict[str, list[float]] = {side: [] for side in checkouts}
    for number in range(options.pairs):
        with ExitStack() as stack:
            sides = list(checkouts)[:: -1 if number % 2 else 1]
            workers = {
                side: stack.enter_context(Worker("minidl", case, environment(options.threads, checkouts[side])))
                for side in sides
            }
            for side, measured in measure(workers, options.rounds, options.seconds).seconds.items():
                seconds[side] += measured
    return seconds


def fastest_tenth(seconds: list[float]) -> float:
    """Return the mean of the fastest tenth of some steps, and of at least one."""
    return statistics.fmean(sorted(seconds)[: max(1, len(seconds) // 10)])


def summary(title: str, ratios: dict[str, float]) -> str:
    """Return a line with the geometric mean, the lowest tenth (its upper end) and the worst of the cases' ratios."""
    mean = math.exp(statistics.fmean(map(math.log, ratios.values())))
    tenth = sorted(ratios.values())[max(1, len(ratios) // 10) - 1]
    worst = max(ratios, key=ratios.__getitem__)
    return f"{title}: geometric mean {mean:.3f}, lowest tenth {tenth:.3f}, worst {ratios[worst]:.3f} ({worst})"


def compare(cases: list[Case], checkouts: dict[str, Path], options: argparse.Namespace) -> None:
    """Measure the cases, print a table row by row, then the summary."""
    print("| net | batch | old ms min | new ms min | ratio of minima | of fastest tenths |")
    print("|---|---|---|---|---|---|")
    minima, tenths = {}, {}
    for case in cases:
        seconds = times(case, checkouts, options)
        old, new = (min(seconds[side]) for side in ("old", "new"))
        name = f"{case[0]}, batch {case[2]}"
        minima[name] = new / old
        tenths[name] = fastest_tenth(seconds["new"]) / fastest_tenth(seconds["old"])
        numbers = [f"{1e3 * old:.2f}", f"{1e3 * new:.2f}", f"{minima[name]:.3f}", f"{tenths[name]:.3f}"]
        print(f"| {' | '.join([case[0], str(case[2]), *numbers])} |", flush=True)
    print(f"\n{summary('new / old, minima', minima)}\n{summary('new / old, fastest tenths', tenths)}")


def main() -> None:
    """Parse the command line, check the checkouts and compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, metavar="OLD_DIR", help="checkout to compare with")
    parser.add_argument("new", type=Path, metavar="NEW_DIR", help="checkout to judge")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process (default: 1)")
    parser.add_argument("--nets", nargs="+", choices=[*SHAPES], default=[*SHAPES], help="default: all")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="batch sizes (default: 32 128)")
    parser.add_argument("--random", type=int, default=12, help="number of random networks (default: 12)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random networks (default: 0)")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of processes for each case (default: 3)")
    parser.add_argument("--rounds", type=int, default=6, help="turns of each process (default: 6)")
    parser.add_argument("--seconds", type=float, default=0.3, help="length of a turn (default: 0.3)")
    options = parser.parse_args()
    checkouts = {"old": options.old, "new": options.new}
    print(f"{platform.platform()}, Python {platform.python_version()}, threads: {options.threads}")
    try:
        for side, checkout in checkouts.items():
            print(f"{side}: {imported_from(checkout).parent}")
    except ValueError as error:
        parser.error(str(error))
    print(f"\nrandom networks, seed {options.seed}:")
    cases: list[Case] = [(net, "train", batch) for net in options.nets for batch in options.batches]
    for number in range(options.random):
        name = f"random-{options.seed}-{number}"
        print(f"  {name} {draw(name)}")
        cases.append((name, "train", draw(name).batch))
    print()
    compare(cases, checkouts, options)


if __name__ == "__main__":
    main()
