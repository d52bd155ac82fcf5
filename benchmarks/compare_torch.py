"""minidl compared with PyTorch: training steps, inference and peak memory.

    python benchmarks/compare_torch.py                     everything, in about ten minutes
    python benchmarks/compare_torch.py --quick             fewer and shorter rounds
    python benchmarks/compare_torch.py --profile lenet5    milliseconds per layer

Each side of each case runs in its own process, and the two take turns, so that a drift in the machine's speed affects
both. Ratios are PyTorch's time divided by minidl's: above 1, minidl is faster.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import subprocess
import sys
from contextlib import ExitStack

from turns import HERE, Case, Result, Worker, environment, measure

SIDES = ("torch", "minidl")
NETS = ("lenet5", "mnist_cnn", "small_vgg", "vgg_bn")
TRAIN = [(net, "train", batch) for net in NETS for batch in (32, 128)]
INFER = [(net, "infer", batch) for net in NETS for batch in (1, 256)]
COMPILED = [(net, "compile", batch) for net in NETS for batch in (1, 256)]
NOT_IN_THE_MEAN = "vgg_bn"


def compare(case: Case, threads: int, rounds: int, seconds: float) -> Result:
    """Let both sides take turns on one case."""
    with ExitStack() as stack:
        workers = {side: stack.enter_context(Worker(side, case, environment(threads))) for side in SIDES}
        return measure(workers, rounds, seconds)


def table(cases: list[Case], threads: int, rounds: int, seconds: float) -> None:
    """Measure the cases and print a table row by row."""
    print("| net | task | batch | torch ms min (median) | minidl ms min (median) | ratio | torch MB | minidl MB |")
    print("|---|---|---|---|---|---|---|---|")
    ratios = []
    for case in cases:
        result = compare(case, threads, rounds, seconds)
        ratio = min(result.seconds["torch"]) / min(result.seconds["minidl"])
        if case[0] != NOT_IN_THE_MEAN:
            ratios.append(ratio)
        numbers = [f"{1e3 * min(t):.2f} ({1e3 * statistics.median(t):.2f})" for t in result.seconds.values()]
        peaks = [f"{peak / 1e6:.0f}" for peak in result.peak.values()]
        print(f"| {' | '.join([*map(str, case), *numbers, f'{ratio:.2f}', *peaks])} |", flush=True)
    if ratios:
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        print(f"\ngeometric mean of the ratios, without {NOT_IN_THE_MEAN}: {mean:.2f}\n")


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--net", help="only this network")
    parser.add_argument("--task", choices=["train", "infer", "compile"], help="only this task")
    parser.add_argument("--profile", metavar="NET", help="instead, milliseconds per layer of a network")
    parser.add_argument("--batch", type=int, default=32, help="batch size of --profile (default: 32)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    options = parser.parse_args()
    if options.profile:
        command = [sys.executable, str(HERE / "profile_layers.py"), options.profile, str(options.batch)]
        sys.exit(subprocess.run(command, env=environment(options.threads[0]), check=False).returncode)
    rounds, seconds = (3, 0.3) if options.quick else (6, 1.0)
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}\n")
    for threads in options.threads:
        tasks = (("training step", TRAIN), ("inference", INFER), ("inference, minidl.compile", COMPILED))
        for title, cases in tasks:
            chosen = [c for c in cases if options.net in (None, c[0]) and options.task in (None, c[1])]
            if chosen:
                print(f"### {title}, {threads} thread{'s' * (threads > 1)}\n")
                table(chosen, threads, rounds, seconds)


if __name__ == "__main__":
    main()
