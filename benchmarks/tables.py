"""Other costs: importing, installing and loading data; how a step grows with its size; the direct loops.

python benchmarks/tables.py [--mnist DIR]      DIR contains MNIST's four files; without it that row is omitted
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import worker
from turns import Worker, environment, measure

import minidl
from minidl import models, nn, optim, reference
from minidl.data import DataLoader, load_mnist
from minidl.data.transforms import Compose, RandomCrop, RandomHorizontalFlip
from minidl.training import Trainer


def seconds(function: Callable[[], object], rounds: int) -> list[float]:
    """Return the durations of some runs, after a first one that is not counted."""
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return times


def import_time() -> None:
    """Time the import of NumPy, and of minidl after it, in fresh processes."""
    code = "import time; a = time.perf_counter(); import numpy; b = time.perf_counter(); import minidl; "
    code += "print(1e3 * (b - a), 1e3 * (time.perf_counter() - b))"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(9)]
    numpy, ours = zip(*(map(float, run.stdout.split()) for run in runs), strict=True)
    print(
        f"import numpy: {statistics.median(numpy):.0f} ms; import minidl on top of it: {statistics.median(ours):.0f} ms"
    )


def installed_size() -> None:
    """Add up the sizes of the package's files, without those that Python compiles."""
    files = [p for p in Path(minidl.__file__).parent.rglob("*") if p.is_file() and p.suffix != ".pyc"]
    print(f"installed size: {sum(p.stat().st_size for p in files) / 1e3:.0f} kB in {len(files)} files\n")


def growth() -> None:
    """Time a training step of small_vgg for several batch sizes, and two convolutions for several image sizes."""
    print("| small_vgg, batch | ms per step | ms per image | peak MB |\n|---|---|---|---|")
    rng = np.random.default_rng(0)
    for batch in (8, 16, 32, 64, 128, 256):
        x, labels = rng.standard_normal((batch, 3, 32, 32), dtype=np.float32), rng.integers(0, 10, batch)
        best = min(seconds(worker.minidl_step("small_vgg", "train", x, labels), 5))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(f"| {batch} | {1e3 * best:.1f} | {1e3 * best / batch:.2f} | {peak:.0f} |", flush=True)
    print("\n| image, batch 32 | ms per step | ns per pixel |\n|---|---|---|")
    for size in (16, 32, 64, 128, 256):
        model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3))
        model.needs_input_grad = False
        x = rng.standard_normal((32, 3, size, size), dtype=np.float32)
        best = min(seconds(lambda model=model, x=x: model.backward(model(x)), 5))
        print(f"| {size} x {size} | {1e3 * best:.1f} | {1e9 * best / x[:, 0].size:.1f} |", flush=True)
    print()


def engines() -> None:
    """Time training steps on the default engine and on plain im2col, in turn, and their peak memory."""
    print("| net, batch 32 | numpy ms | im2col ms | im2col / numpy | numpy MB | im2col MB |\n|---|---|---|---|---|---|")
    for net in ("lenet5", "mnist_cnn", "small_vgg"):
        with ExitStack() as stack:
            workers = {
                name: stack.enter_context(
                    Worker("minidl", (net, "train", 32), {**environment(1), "MINIDL_ENGINE": name})
                )
                for name in ("numpy", "im2col")
            }
            result = measure(workers, 6, 0.5)
        best = {name: min(result.seconds[name]) for name in workers}
        cells = [f"{1e3 * best[name]:.2f}" for name in workers] + [f"{best['im2col'] / best['numpy']:.2f}"]
        cells += [f"{result.peak[name] / 1e6:.0f}" for name in workers]
        print(f"| {net} | {' | '.join(cells)} |", flush=True)
    print()


def beside_the_loops() -> None:
    """Time mnist_cnn's convolutions, forward and backward, against the direct loops, at batch size 1."""
    rng, totals = np.random.default_rng(0), {}
    for name, module in (("engine", minidl.functional), ("loops", reference)):
        total, rounds = 0.0, 1 if module is reference else 10
        for shape, filters in (((1, 1, 28, 28), 32), ((1, 32, 26, 26), 64)):
            x, w = rng.standard_normal(shape), rng.standard_normal((filters, shape[1], 3, 3))
            start = time.perf_counter()
            for _ in range(rounds):
                out, cache = module.conv2d_forward(x, w)
                module.conv2d_backward(out, cache)
            total += (time.perf_counter() - start) / rounds
        totals[name] = total
    speedup = totals["loops"] / totals["engine"]
    print(f"mnist_cnn's convolutions, batch 1: {speedup:.0f} times as fast as the direct loops")


def epoch(root: str) -> None:
    """Time an epoch of lenet5 on MNIST with the Trainer, with and without crop and flip, and the same steps bare."""
    train, _ = load_mnist(root)
    minidl.manual_seed(0)
    x, labels = train.arrays[0][:128], train.arrays[1][:128]
    step, steps = worker.minidl_step("lenet5", "train", x, labels), -(-len(train) // 128)
    model = models.lenet5()
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.01, momentum=0.9), progress="none")
    augment = Compose(RandomCrop(28, padding=2), RandomHorizontalFlip())
    loaders = {
        "the epoch": DataLoader(train, 128, shuffle=True),
        "with crop and flip": DataLoader(train, 128, shuffle=True, transform=augment),
        "with crop and flip, prefetching": DataLoader(train, 128, shuffle=True, transform=augment, prefetch=2),
    }
    bare: list[float] = []
    whole: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(3):
        bare.append(min(seconds(lambda: [step() for _ in range(steps)], 1)))
        for name, loader in loaders.items():
            whole[name].append(min(seconds(lambda loader=loader: trainer.fit(loader, epochs=1), 1)))
    print(f"MNIST, lenet5, batch 128: {steps} bare steps {min(bare):.2f} s")
    for name, times in whole.items():
        print(f"  {name}: {min(times):.2f} s ({min(times) / min(bare):.2f} times)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", metavar="DIR", help="folder with MNIST's four files")
    options = parser.parse_args()
    print(f"{minidl.get_num_threads()} threads\n")
    import_time()
    installed_size()
    growth()
    engines()
    beside_the_loops()
    if options.mnist:
        epoch(options.mnist)
