"""minidl compared with PyTorch: training steps, inference and peak memory.

    python benchmarks/compare_torch.py                     everything, in about ten minutes
    python benchmarks/compare_torch.py --quick             fewer and shorter rounds
    python benchmarks/compare_torch.py --engine fast       with the compiled engine (extra "fast")
    python benchmarks/compare_torch.py --random 7 50       training steps of 50 networks drawn at random, seed 7
    python benchmarks/compare_torch.py --profile lenet5    milliseconds per layer, beside the core's peak

Each side of each case runs in its own process, and the two take turns, so that a drift in the machine's speed affects
all. Ratios are PyTorch's time divided by minidl's: above 1, minidl is faster. "channels_last" is PyTorch in that
memory format.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
from contextlib import ExitStack

from machine import describe
from random_nets import draw
from turns import HERE, Case, Result, Worker, environment, measure

Sides = tuple[str, ...]

SIDES = ("torch", "channels_last", "minidl")  # minidl is the last
NETS = ("lenet5", "mnist_cnn", "small_vgg", "vgg_bn")
TRAIN = [(net, "train", batch) for net in NETS for batch in (32, 128)]
INFER = [(net, "infer", batch) for net in NETS for batch in (1, 256)]
COMPILED = [(net, "compile", batch) for net in NETS for batch in (1, 256)]
NOT_IN_THE_MEAN = "vgg_bn"


def compare(case: Case, threads: int, rounds: int, seconds: float, engine: str, sides: Sides) -> Result:
    """Let all sides take turns on one case."""
    variables = {**environment(threads), "MINIDL_ENGINE": engine}
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(side, case, variables)) for side in sides}
        return measure(workers, rounds, seconds)


def table(cases: list[Case], threads: int, rounds: int, seconds: float, engine: str, sides: Sides = SIDES) -> None:
    """Measure the cases and print a table row by row, and what their ratios come to."""
    others = sides[:-1]
    columns = ["net", "task", "batch", *(f"{side} ms min (median)" for side in sides)]
    columns += [*(f"ratio to {side}" for side in others), *(f"{side} MB" for side in sides)]
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    ratios: dict[str, list[float]] = {side: [] for side in others}
    for case in cases:
        result = compare(case, threads, rounds, seconds, engine, sides)
        ours = min(result.seconds["minidl"])
        row = {side: min(result.seconds[side]) / ours for side in ratios}
        if engine != "numpy" or case[0] != NOT_IN_THE_MEAN:
            for side, ratio in row.items():
                ratios[side].append(ratio)
        numbers = [f"{1e3 * min(t):.2f} ({1e3 * statistics.median(t):.2f})" for t in result.seconds.values()]
        peaks = [f"{peak / 1e6:.0f}" for peak in result.peak.values()]
        shown = [*map(str, case), *numbers, *(f"{ratio:.2f}" for ratio in row.values()), *peaks]
        print(f"| {' | '.join(shown)} |", flush=True)
    without = f", without {NOT_IN_THE_MEAN}" if engine == "numpy" else ""
    for side, found in ratios.items():
        if found:
            mean = math.exp(statistics.fmean(map(math.log, found)))
            lowest = sorted(found)[len(found) // 10]
            print(
                f"\nratios to {side}{without}: geometric mean {mean:.2f}, lowest tenth {lowest:.2f}, "
                f"worst {min(found):.2f}"
            )
    print()


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--net", help="only this network")
    parser.add_argument("--task", choices=["train", "infer", "compile"], help="only this task")
    parser.add_argument("--engine", default="numpy", help="minidl's engine (default: numpy)")
    parser.add_argument("--random", type=int, nargs=2, metavar=("SEED", "COUNT"), help="random networks instead")
    parser.add_argument("--profile", metavar="NET", help="instead, milliseconds per layer of a network")
    parser.add_argument("--batch", type=int, default=32, help="batch size of --profile (default: 32)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    options = parser.parse_args()
    if options.profile:
        command = [sys.executable, str(HERE / "profile_layers.py"), options.profile, str(options.batch)]
        variables = {**environment(options.threads[0]), "MINIDL_ENGINE": options.engine}
        sys.exit(subprocess.run(command, env=variables, check=False).returncode)
    rounds, seconds = (3, 0.3) if options.quick else (6, 1.0)
    print(f"{describe()}\n")
    for threads in options.threads:
        if options.random:
            seed, count = options.random
            names = [f"random-{seed}-{number}" for number in range(count)]
            print(f"### training step, random networks, {threads} thread{'s' * (threads > 1)}, {options.engine}\n")
            drawn: list[Case] = [(name, "train", draw(name).batch) for name in names]
            # PyTorch ends with a segmentation fault on some of them in channels_last
            table(drawn, threads, rounds, seconds, options.engine, ("torch", "minidl"))
            continue
        tasks = (("training step", TRAIN), ("inference", INFER), ("inference, minidl.compile", COMPILED))
        for title, cases in tasks:
            chosen = [c for c in cases if options.net in (None, c[0]) and options.task in (None, c[1])]
            if chosen:
                print(f"### {title}, {threads} thread{'s' * (threads > 1)}, {options.engine}\n")
                table(chosen, threads, rounds, seconds, options.engine)


if __name__ == "__main__":
    main()
