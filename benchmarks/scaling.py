"""Data-parallel training: how fast the ranks sum up, how fast a step is, and what both come to on a network.

    python benchmarks/scaling.py                     everything but the slow network, in about ten minutes
    python benchmarks/scaling.py --quick             fewer and shorter rounds
    python benchmarks/scaling.py --ranks 2 3 4       sums on as many ranks, and steps
    python benchmarks/scaling.py --only model        allreduce, steps or model
    sudo python benchmarks/scaling.py --slow-network the model, and what is measured across networks with a delay

It starts mpiexec itself. Each rank has one thread. Steps are those of the Trainer's fit, and of PyTorch's
DistributedDataParallel with gloo, and take turns. Speed-ups are the time of one process divided by that of several.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np
from launch import check_mpi, output, program
from machine import describe
from scaling_model import Network, Training, line, pays_up_to
from slow_network import slow_network
from turns import Worker, environment, measure

BATCH = 128
NETS = ("lenet5", "mnist_cnn", "resnet20")
COUNTS = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
MILLION = 4_000_000  # bytes of a million float32
SHORT, LONG = 6, (1000, 10_000, 100_000, 1_000_000)  # float32 in a meeting, and in messages to fit a line to
SAMPLES = (1, 8, 32, 128)  # in steps of one rank, to fit a line to
RANKS = tuple(2**power for power in range(1, 11))
WHOLE = (128, 1024)  # samples of a step that all ranks share
ETHERNET = {"10 Gbit/s": (30e-6, 1.1e9), "100 Gbit/s": (15e-6, 11e9)}  # assumed: latency over TCP, 90 % of the rate
SLOW = ((100e-6, 1e9), (50e-6, 1e10), (1e-3, 1e8))  # seconds, bits per second


def row(*cells: object) -> None:
    """Print a row of a table."""
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def heading(*titles: str) -> None:
    """Print the head of a table."""
    row(*titles)
    print("|---" * len(titles) + "|")


def shown(seconds: Sequence[float]) -> str:
    """Return minimum and median in milliseconds."""
    return f"{digits(1e3 * min(seconds))} ({digits(1e3 * statistics.median(seconds))})"


def digits(number: float) -> str:
    """Return a number with three digits, or all of those before the point."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def allreduce_table(ranks: Sequence[int]) -> None:
    """Print how long sums over all ranks take."""
    print("### Allreduce of float32, ms min (median), and the line latency + bytes / bandwidth\n")
    found = {n: output([*program("mpi_times.py", n), "allreduce", *map(str, COUNTS)], environment(1)) for n in ranks}
    lines = {n: line([size for size, _ in found[n]], [min(times) for _, times in found[n]]) for n in ranks}
    heading("numbers", *(title for n in ranks for title in (f"{n} ranks", "line")))
    for number, count in enumerate(COUNTS):
        cells = []
        for n in ranks:
            size, times = found[n][number]
            cells += [shown(times), f"{1e3 * (lines[n][0] + lines[n][1] * size):.3g}"]
        row(f"{count:,}", *cells)
    for n in ranks:
        print(f"\n{n} ranks: latency {1e6 * lines[n][0]:.1f} µs, bandwidth {1e-9 / lines[n][1]:.2f} GB/s")
    print()


def steps_table(names: Sequence[str], engines: Sequence[str], ranks: Sequence[int], rounds: int, length: float) -> None:
    """Let one process and several of each side take turns, and print the times of a step."""
    print(f"### Training step, batch {BATCH}, one thread for each rank\n")
    heading("net", "side", "ranks", "ms min (median)", "speed-up (of medians)", "torch / this (of medians)")
    for net in names:
        with ExitStack() as stack:
            workers = {
                (side, n): stack.enter_context(_worker(side, net, BATCH, n))
                for side in ("torch", *engines)
                for n in (1, *ranks)
            }
            seconds = measure(workers, rounds, length).seconds
        for (side, n), times in seconds.items():
            name = ("DDP, gloo" if n > 1 else "torch") if side == "torch" else f"minidl, {side}"
            row(net, name, n, shown(times), _ratio(seconds[side, 1], times), _ratio(seconds["torch", n], times))
    print()


def _worker(side: str, net: str, batch: int, ranks: int) -> Worker:
    """Return a worker on some ranks; the side is torch or an engine of minidl."""
    variables = {**environment(1), "MINIDL_ENGINE": "numpy" if side == "torch" else side}
    return Worker(
        "torch" if side == "torch" else "minidl", (net, "train", batch), variables, program("ranks.py", ranks)
    )


def _ratio(one: Sequence[float], other: Sequence[float]) -> str:
    return f"{min(one) / min(other):.2f} ({statistics.median(one) / statistics.median(other):.2f})"


@dataclass(frozen=True)
class Share:
    """Where the time of steps on two ranks goes: seconds of each step, in all, in sums and in meetings."""

    whole: np.ndarray
    in_sums: np.ndarray
    in_meetings: np.ndarray
    meetings: int  # of a step
    sums: list[int]  # bytes of each sum of a step

    @property
    def own(self) -> np.ndarray:
        """Return the seconds of each step without communication."""
        return self.whole - self.in_sums - self.in_meetings


def share(net: str, engine: str, steps: int, within: Sequence[str] = (), **variables: str) -> Share:
    """Measure where the time of steps on two ranks goes."""
    command = [*program("ranks.py", 2, within), "share", net, str(steps), str(BATCH)]
    found = output(command, {**environment(1), "MINIDL_ENGINE": engine, **variables})
    whole, in_sums, in_meetings, meetings = np.transpose(found["steps"])
    return Share(whole, in_sums, in_meetings, round(np.median(meetings)), found["sums"])


def share_table(names: Sequence[str], engines: Sequence[str], steps: int) -> None:
    """Print how much of a step on two ranks is communication."""
    print(f"### Where the time of a step goes, batch {BATCH}, 2 ranks, medians\n")
    heading("net", "engine", "step ms", "sums ms", "share of the step", "meetings ms, waiting included", "sums, bytes")
    for net in names:
        for engine in engines:
            found = share(net, engine, steps)
            whole, sums, meetings = map(np.median, (found.whole, found.in_sums, found.in_meetings))
            sizes = ", ".join(f"{size:,}" for size in found.sums)
            row(
                net,
                engine,
                digits(1e3 * whole),
                digits(1e3 * sums),
                f"{sums / whole:.1%}",
                digits(1e3 * meetings),
                sizes,
            )
    print()


def adding_speed() -> float:
    """Return how many bytes of float32 a core adds to others per second."""
    numbers, others = np.ones(MILLION // 4, np.float32), np.ones(MILLION // 4, np.float32)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        np.add(numbers, others, out=numbers)
        seconds.append(time.perf_counter() - start)
    return MILLION / statistics.median(seconds)


def trainings(names: Sequence[str], engines: Sequence[str], rounds: int, length: float) -> dict[str, Training]:
    """Measure steps of one rank with several numbers of samples; return what they come to."""
    found = {}
    for net in names:
        for engine in engines:
            with ExitStack() as stack:
                workers = {n: stack.enter_context(_worker(engine, net, n, 1)) for n in SAMPLES}
                seconds = measure(workers, rounds, length).seconds
            fixed, each = line(SAMPLES, [statistics.median(seconds[n]) for n in SAMPLES])
            shared = share(net, engine, 8)
            found[f"{net}, {engine}"] = Training(fixed, each, shared.meetings, shared.sums)
    return found


def model_tables(found: dict[str, Training], engine: str) -> None:
    """Print the model's speed-ups, in full for one engine, and where they stop paying."""
    adding = adding_speed()
    networks = {name: Network(latency, latency, speed, adding) for name, (latency, speed) in ETHERNET.items()}
    print("### The model: steps of one rank, measured\n")
    heading("net, engine", "fixed ms", "ms per sample", "meetings", "sums, bytes")
    for name, training in found.items():
        sizes = ", ".join(f"{size:,}" for size in training.sums)
        row(name, digits(1e3 * training.fixed), digits(1e3 * training.each), training.meetings, sizes)
    print(f"\nA core adds {adding / 1e9:.1f} GB/s of float32 to others (measured). Assumed of the networks:")
    for name, network in networks.items():
        print(f"{name}: latency {1e6 * network.latency:.0f} µs, bandwidth {network.bandwidth / 1e9:.1f} GB/s.")
    kinds = {f"a batch of {whole:,} for all": (partial(Training.strong, batch=whole), whole) for whole in WHOLE}
    kinds[f"{BATCH} samples for each rank"] = (partial(Training.weak, samples=BATCH), RANKS[-1])
    print("\n### The model: up to how many ranks the efficiency is at least 50 %\n")
    heading("net, engine", *(f"{title}, {name}" for title in kinds for name in networks))
    for net, training in found.items():
        cells = []
        for kind, most in kinds.values():  # no rank is without a sample
            counts = [n for n in RANKS if n <= most]
            cells += [pays_up_to(partial(kind, training, network=network), counts) for network in networks.values()]
        row(net, *(f"{cell:,}" for cell in cells))
    last = {net: training for net, training in found.items() if net.endswith(engine)}
    for title, (kind, _) in list(kinds.items())[1:]:
        print(f"\n### The model: speed-up (efficiency), {title}\n")
        heading("ranks", *(f"{net}, {name}" for net in last for name in networks))
        for n in RANKS:
            speed_ups = [
                kind(training, n, network=network) for training in last.values() for network in networks.values()
            ]
            row(f"{n:,}", *(f"{digits(speed_up)} ({speed_up / n:.0%})" for speed_up in speed_ups))
    print()


def slow_tables(names: Sequence[str], engine: str, steps: int) -> None:
    """Print what the model says of slow networks, from the exchanges of two ranks across them, and what is measured."""
    adding = adding_speed()
    for delay, rate in SLOW:
        with slow_network(delay, rate) as (within, variables):
            every = {**environment(1), **variables}
            times = partial(_medians, program("mpi_times.py", 2, within), every)
            (_, short), *exchanges = times("exchange", SHORT, *LONG)
            sums, ((_, meeting),) = times("allreduce", *LONG), times("meeting")
            if short < delay:
                raise RuntimeError("messages arrive before the delay: this MPI goes around the slow network; use MPICH")
            latency, slope = line([size for size, _ in exchanges], [seconds for _, seconds in exchanges])
            network = Network(short, latency, 1 / slope, adding)
            print(f"### {1e6 * delay:,.0f} µs and {rate / 1e6:,.0f} Mbit/s, medians\n")
            print(f"Exchanges: {1e6 * short:,.0f} µs of a few bytes; {1e6 * latency:,.0f} µs + bytes / ", end="")
            print(f"({1e-6 / slope:,.1f} MB/s).\n")
            heading("", "the model, ms", "measured, ms", "measured / model")
            _beside("meeting", network.meeting(2), meeting)
            for size, seconds in sums:
                _beside(f"Allreduce, {size:,} bytes", network.allreduce(2, size), seconds)
            for net in names:
                near, across = [share(net, engine, steps)], share(net, engine, steps, within, **variables)
                near.append(share(net, engine, steps))
                own = np.median(np.concatenate([one.own for one in near]))
                training = Training(own, 0.0, across.meetings, across.sums)
                what = f"step of {net}, {engine} ({1e3 * own:.3g} ms alone)"
                _beside(what, training.seconds(2, 0, network), np.median(across.whole))
        print()


def _medians(command: Sequence[str], variables: dict[str, str], *task: object) -> list[tuple[int, float]]:
    return [(size, statistics.median(times)) for size, times in output([*command, *map(str, task)], variables)]


def _beside(what: str, model: float, measured: float) -> None:
    row(what, digits(1e3 * model), digits(1e3 * measured), f"{measured / model:.2f}")


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2], metavar="N", help="(default: 2)")
    parser.add_argument("--nets", nargs="+", default=NETS, choices=NETS, metavar="NET", help=f"of {', '.join(NETS)}")
    parser.add_argument("--engines", nargs="+", default=["numpy", "fast"], metavar="ENGINE", help="of minidl")
    parser.add_argument("--only", choices=["allreduce", "steps", "model"], help="only this part")
    parser.add_argument("--slow-network", action="store_true", help="instead, across slow networks (Linux, root)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    options = parser.parse_args()
    version = check_mpi()
    print(f"{describe()}, {version}\n")
    rounds, length, steps = (2, 0.3, 8) if options.quick else (6, 2.0, 16)
    if options.slow_network:
        slow_tables(options.nets, options.engines[-1], steps)
        return
    if options.only in (None, "allreduce"):
        allreduce_table(options.ranks)
    if options.only in (None, "steps"):
        steps_table(options.nets, options.engines, options.ranks, rounds, length)
        share_table(options.nets, options.engines, steps)
    if options.only in (None, "model"):
        model_tables(trainings(options.nets, options.engines, rounds // 2, length), options.engines[-1])


if __name__ == "__main__":
    main()
