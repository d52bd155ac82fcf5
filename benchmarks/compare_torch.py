"""minidl beside PyTorch: training steps, inference and peak memory.

    python benchmarks/compare_torch.py                     everything, about ten minutes
    python benchmarks/compare_torch.py --quick             fewer rounds
    python benchmarks/compare_torch.py --profile lenet5    milliseconds per layer

Each side of each case has a process of its own; the two take turns (A B A B ...), so that a machine whose speed drifts
slows both. Ratios are PyTorch's time divided by minidl's: above 1 minidl is faster.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
SIDES = ("torch", "minidl")
NETS = ("lenet5", "mnist_cnn", "small_vgg", "vgg_bn")
TRAIN = [(net, "train", batch) for net in NETS for batch in (32, 128)]
INFER = [(net, "infer", batch) for net in NETS for batch in (1, 256)]
NOT_IN_THE_MEAN = "vgg_bn"
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class Result:
    """Step times in seconds and peak memory in bytes, by side."""

    seconds: dict[str, list[float]]
    peak: dict[str, int]

    @property
    def ratio(self) -> float:
        """PyTorch's fastest step divided by minidl's."""
        return min(self.seconds["torch"]) / min(self.seconds["minidl"])


class Worker:
    """A running worker.py."""

    def __init__(self, side: str, case: tuple[str, str, int], threads: int) -> None:
        environment = {**os.environ, **dict.fromkeys(THREADS, str(threads))}
        command = [sys.executable, str(HERE / "worker.py"), side, *map(str, case)]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, steps: int) -> list[float]:
        """Run some steps; return their seconds."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def finish(self) -> int:
        """End the process; return its peak memory in bytes."""
        out, _ = self.process.communicate()
        return int(json.loads(out))


def measure(case: tuple[str, str, int], threads: int, rounds: int, seconds: float) -> Result:
    """Let both sides take turns on one case."""
    workers = {side: Worker(side, case, threads) for side in SIDES}
    steps = {}
    for side, worker in workers.items():
        warm = worker.run(3)
        steps[side] = max(2, min(500, round(seconds / min(warm))))
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side, worker in workers.items():
            times[side] += worker.run(steps[side])
    return Result(times, {side: worker.finish() for side, worker in workers.items()})


def table(cases: list[tuple[str, str, int]], threads: int, rounds: int, seconds: float) -> None:
    """Measure and print one table, row by row."""
    print("| net | task | batch | torch ms min (median) | minidl ms min (median) | ratio | torch MB | minidl MB |")
    print("|---|---|---|---|---|---|---|---|")
    ratios = []
    for case in cases:
        result = measure(case, threads, rounds, seconds)
        if case[0] != NOT_IN_THE_MEAN:
            ratios.append(result.ratio)
        numbers = [f"{1e3 * min(t):.2f} ({1e3 * statistics.median(t):.2f})" for t in result.seconds.values()]
        peaks = [f"{peak / 1e6:.0f}" for peak in result.peak.values()]
        print(f"| {' | '.join([*map(str, case), *numbers, f'{result.ratio:.2f}', *peaks])} |", flush=True)
    if ratios:
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        print(f"\ngeometric mean of the ratios, without {NOT_IN_THE_MEAN}: {mean:.2f}\n")


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--net", help="only this network")
    parser.add_argument("--task", choices=["train", "infer"], help="only this task")
    parser.add_argument("--profile", metavar="NET", help="milliseconds per layer of one network instead")
    parser.add_argument("--batch", type=int, default=32, help="batch size of --profile (default: 32)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    options = parser.parse_args()
    if options.profile:
        environment = {**os.environ, **dict.fromkeys(THREADS, str(options.threads[0]))}
        command = [sys.executable, str(HERE / "profile_layers.py"), options.profile, str(options.batch)]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)
    rounds, seconds = (3, 0.3) if options.quick else (6, 1.0)
    print(f"{platform.platform()}, {os.cpu_count()} CPUs, Python {platform.python_version()}\n")
    for threads in options.threads:
        for title, cases in (("training step", TRAIN), ("inference", INFER)):
            chosen = [c for c in cases if options.net in (None, c[0]) and options.task in (None, c[1])]
            if chosen:
                print(f"### {title}, {threads} thread{'s' * (threads > 1)}\n")
                table(chosen, threads, rounds, seconds)


if __name__ == "__main__":
    main()
