"""One side of one case, in its own process.

    python benchmarks/worker.py SIDE NET TASK BATCH        SIDE minidl|torch|channels_last, TASK train|infer|compile
    python benchmarks/worker.py SIDE NET train BATCH       SIDE the name of a file in peers/
    python benchmarks/worker.py SIDE NET check BATCH       what that file makes of a net, as JSON

MINIDL_ENGINE chooses minidl's engine; channels_last is PyTorch in that memory format.

It reads numbers from standard input. For each line ``N`` it runs N steps and prints their durations in seconds, as a
JSON list; at the end of the input it prints the peak memory of the process in bytes. The environment limits the number
of threads before anything is imported.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import nets

CHECKED_STEPS = 20  # on one batch, whose loss falls in them


def minidl_step(net: str, task: str, x: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """Return a function that runs one step with minidl."""
    import minidl
    from minidl import nn, optim

    minidl.manual_seed(0)
    model, loss_fn = nets.build(net, nn), nn.CrossEntropyLoss()
    if task == "compile":
        compiled = minidl.compile(model.eval(), x.shape)
        return lambda: compiled(x)
    if task == "infer":
        model.eval()

        def infer() -> object:
            with minidl.no_grad():
                return model(x)

        return infer
    optimizer = optim.SGD(model.params(), lr=0.01, momentum=0.9)
    model.needs_input_grad = False  # as the Trainer does; PyTorch does not compute it either

    def train() -> object:
        optimizer.zero_grad()
        loss = loss_fn(model(x), labels)
        model.backward(loss_fn.backward())
        optimizer.step()
        return loss

    return train


def channels_last_step(net: str, task: str, x: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """Return a function that runs one step with PyTorch, images and weights in the memory format channels_last."""
    return torch_step(net, task, x, labels, channels_last=True)


def torch_step(
    net: str, task: str, x: np.ndarray, labels: np.ndarray, *, channels_last: bool = False
) -> Callable[[], object]:
    """Return a function that runs one step with PyTorch."""
    import torch

    torch.manual_seed(0)
    model, loss_fn = nets.build(net, torch.nn), torch.nn.CrossEntropyLoss()
    images, targets = torch.from_numpy(x), torch.from_numpy(labels)
    if channels_last:
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    if task in ("infer", "compile"):  # what minidl compiles, PyTorch runs as it is
        model.eval()

        def infer() -> object:
            with torch.inference_mode():
                return model(images)

        return infer
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def train() -> object:
        optimizer.zero_grad()
        loss = loss_fn(model(images), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return train


def peer_step(side: str, net: str, task: str, x: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    """Return a function that runs one training step with a peer; with the task "check" print what it is, and end."""
    peer = importlib.import_module(f"peers.{side}")
    step, parameters = peer.make(net, x, labels)
    if task == "check":
        losses = [step() for _ in range(CHECKED_STEPS)]
        print(json.dumps({"parameters": int(parameters), "losses": losses, "differs": peer.DIFFERS}))
        sys.exit()
    return step


def main() -> None:
    """Run steps on request until the input ends."""
    side, net, task, batch = sys.argv[1:5]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((int(batch), *nets.shape(net)), dtype=np.float32)
    labels = rng.integers(0, 10, int(batch))
    steps = {"minidl": minidl_step, "torch": torch_step, "channels_last": channels_last_step}
    step = steps[side](net, task, x, labels) if side in steps else peer_step(side, net, task, x, labels)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)
    print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024), flush=True)


if __name__ == "__main__":
    main()
