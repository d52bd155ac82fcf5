"""Seconds from a cold start to 99 % on MNIST's test images: minidl and PyTorch with the same recipe, in turns.

    python benchmarks/time_to_accuracy.py --mnist DIR [--seeds 3] [--threads 2]

The recipe: lenet5, batch 32, SGD with Nesterov momentum 0.9 and weight decay 5e-4, OneCycleLR to 0.03 over 4 epochs, no
augmentation; the test images are evaluated after each epoch. Each run is a separate process, and the clock starts
before the process, so importing and reading the files count. PyTorch slices its batches from one tensor, without its
DataLoader.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from turns import environment

EPOCHS, BATCH, RATE, TARGET = 4, 32, 0.03, 0.99


def with_minidl(root: str, seed: int) -> float:
    """Train until the target is reached; return the accuracy."""
    import minidl
    from minidl import models, nn, optim
    from minidl.data import DataLoader, load_mnist
    from minidl.training import Callback, Trainer

    class Enough(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            trainer.stop = trainer.history["val_accuracy"][-1] >= TARGET

    minidl.manual_seed(seed)
    train, test = load_mnist(root)
    model = models.lenet5()
    loader = DataLoader(train, BATCH, shuffle=True)
    optimizer = optim.SGD(model.params(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, RATE, EPOCHS * len(loader), pct_start=0.2)
    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optimizer, scheduler=scheduler, callbacks=[Enough()], progress="none"
    )
    return trainer.fit(loader, DataLoader(test, 500), epochs=EPOCHS)["val_accuracy"][-1]


def with_torch(root: str, seed: int) -> float:
    """Do the same in PyTorch."""
    import torch
    from nets import build

    from minidl.data import load_mnist

    torch.manual_seed(seed)
    (x, y), (test_x, test_y) = (map(torch.from_numpy, part.arrays) for part in load_mnist(root))
    model, loss_fn = build("lenet5", torch.nn), torch.nn.CrossEntropyLoss()
    steps = -(-len(x) // BATCH)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=EPOCHS * steps, pct_start=0.2)
    accuracy = 0.0
    for _ in range(EPOCHS):
        model.train()
        for rows in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            loss_fn(model(x[rows]), y[rows]).backward()
            optimizer.step()
            scheduler.step()
        model.eval()
        with torch.no_grad():
            right = sum(
                (model(a).argmax(1) == b).sum().item()
                for a, b in zip(test_x.split(500), test_y.split(500), strict=True)
            )
        accuracy = right / len(test_x)
        if accuracy >= TARGET:
            break
    return accuracy


def main() -> None:
    """Run both sides in turns and print their times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", metavar="DIR", required=True, help="folder with MNIST's four files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=["minidl", "torch"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        print({"minidl": with_minidl, "torch": with_torch}[options.side](options.mnist, options.seeds))
        return
    times: dict[str, list[float]] = {"minidl": [], "torch": []}
    for seed in range(options.seeds):
        for side, own in times.items():
            command = [sys.executable, __file__, "--mnist", options.mnist, "--side", side, "--seeds", str(seed)]
            start = time.perf_counter()
            run = subprocess.run(command, env=environment(options.threads), capture_output=True, text=True, check=True)
            own.append(time.perf_counter() - start)
            print(f"seed {seed}: {side} {own[-1]:.1f} s, accuracy {float(run.stdout):.4f}", flush=True)
    for side, own in times.items():
        print(f"{side}: min {min(own):.1f} s, median {statistics.median(own):.1f} s")


if __name__ == "__main__":
    main()
