"""Ctrl-C at any moment of a step, a fit, predicting, saving and loading: nothing works on, and all is as it was."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl import nn, optim
from minidl._core.blas import find_blas
from minidl.data import ArrayDataset, DataLoader
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.callbacks import EarlyStopping

from .frame import attack
from .processes import check, ended, forked, killed

QUIET = 0.004  # seconds in which other threads may show that they are still at work
LATE = 0.1  # seconds after which a person notices


class Lab:
    """A model large enough for several threads, and what is done with it."""

    def __init__(self, rng: np.random.Generator, folder: Path) -> None:
        minidl.set_num_threads(int(rng.integers(1, 4)))
        minidl.manual_seed(0)
        self.folder, self.rng = folder, rng
        kind = rng.choice(["wide", "conv"])
        if kind == "wide":
            layers = [nn.Linear(64, 1024), nn.BatchNorm1d(1024), nn.ReLU(), nn.Linear(1024, 256), nn.Linear(256, 4)]
            shape: tuple[int, ...] = (64,)
        else:
            layers = [nn.Conv2d(4, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
            layers += [nn.Dropout(0.1), nn.Linear(32 * 64, 4)]
            shape = (4, 16, 16)
        self.model = nn.Sequential(*layers)
        make = getattr(optim, str(rng.choice(["Adam", "SGD", "RMSprop"])))
        self.optimizer = make(self.model.params(), lr=0.001)
        self.loss = nn.CrossEntropyLoss()
        self.x = rng.standard_normal((32, *shape)).astype(np.float32)
        self.y = rng.integers(0, 4, 32)
        data = ArrayDataset(self.x, self.y)
        self.loader = DataLoader(data, 16, shuffle=True, prefetch=int(rng.choice([0, 2])))
        self.val = DataLoader(data, 16)
        self.step()  # the optimiser makes its state in the first step
        self.start = self.model.state_dict(), self.optimizer.state_dict()
        self.files = [folder / "a.npz", folder / "b.npz"]
        for path in self.files:
            minidl.save(self.model, path)
            self.step()
        self.saved = [minidl.load(path) for path in self.files]
        self.runs = 0

    def step(self) -> None:
        """Take a step."""
        self.optimizer.zero_grad()
        self.loss(self.model(self.x), self.y)
        self.model.backward(self.loss.backward())
        self.optimizer.step()

    def trainer(self, *callbacks: Any) -> Trainer:
        """Make a Trainer."""
        return Trainer(self.model, self.loss, self.optimizer, callbacks=callbacks, progress="none")

    def fit(self) -> None:
        """Fit; after Ctrl-C the model has the best weights."""
        early = EarlyStopping()
        history = self.trainer(early).fit(self.loader, self.val, epochs=3)
        best = early._weights
        if history.interrupted and best is not None:
            different = [
                name for name, value in self.model.state_dict().items() if not np.array_equal(value, best[name])
            ]
            assert not different, f"not the best weights: {different}"

    def checkpointed(self) -> None:
        """Fit with checkpoints."""
        self.runs += 1
        self.trainer(ModelCheckpoint(self.folder / f"run{self.runs}", every=1)).fit(self.loader, epochs=1)

    def predict(self) -> None:
        """Predict."""
        self.trainer().predict(self.x, batch_size=8)

    def evaluate(self) -> None:
        """Evaluate."""
        self.trainer().evaluate(self.val)

    def save(self) -> None:
        """Save over a file."""
        minidl.save(self.model, self.folder / "c.npz")

    def load(self) -> None:
        """Load one of two files, the other one next time."""
        minidl.load(self.model, self.files[self.runs % 2])
        self.runs += 1

    def arrays(self) -> list[np.ndarray]:
        """Return copies of all that a step changes."""
        state = [value for part in self.optimizer.state.values() for value in part.values()]
        arrays = [p.data for p in self.model.params()] + [value for value in state if isinstance(value, np.ndarray)]
        return [array.copy() for array in arrays] + [buffer.copy() for _, buffer in self.model.named_buffers()]

    def numbers(self) -> list[np.ndarray]:
        """Return all that a step from the beginning gives."""
        minidl.manual_seed(1)
        self.model.load_state_dict(self.start[0])
        self.optimizer.load_state_dict(self.start[1])
        self.step()
        return [*self.arrays(), *(p.grad.copy() for p in self.model.params())]


def interrupted(work: Callable[[], None], after: float) -> tuple[bool, float, float]:
    """Do some work, with a SIGINT after so many seconds; return whether it came, and the time and CPU time it took."""
    sent = [0.0, 0.0]

    def send(*_: object) -> None:
        sent[:] = time.monotonic(), time.process_time()
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGALRM, send)
    try:
        signal.setitimer(signal.ITIMER_REAL, max(after, 1e-6))
        try:
            work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        pass
    return bool(sent[0]), time.monotonic() - sent[0], time.process_time() - sent[1]


def in_thread(work: Callable[[], Any]) -> Any:
    """Return the result of some work in another thread, where a lock that this one holds would be in the way."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    thread.join(10)
    assert results, "another thread hangs" if thread.is_alive() else "another thread failed"
    return results[0]


def others_worked() -> float:
    """Return for how many seconds Python's other threads have worked, where the system tells."""
    worked = 0
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            with contextlib.suppress(OSError):  # it has just ended
                worked += int(Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text().split()[0])
    return worked / 1e9


def equal(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    """Return whether arrays are equal bit for bit."""
    return len(left) == len(right) and all(a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True))


def _attack(rng: np.random.Generator, counts: Counter[str], names: tuple[str, ...]) -> None:
    def swallowed(problem: Any) -> None:
        counts["swallowed by a finaliser"] += problem.exc_type is KeyboardInterrupt

    sys.unraisablehook = swallowed  # Python raises nothing from there, and says so
    lab, blas = Lab(rng, Path.cwd()), find_blas()
    if blas is not None:
        blas.set(2)
    expected, modes = lab.numbers(), [module.training for module in lab.model.modules()]
    lengths = {}
    for name in names:
        start = time.monotonic()
        getattr(lab, name)()
        lengths[name] = time.monotonic() - start
    for _ in range(20):
        name = str(rng.choice(names))
        before = lab.model.state_dict()
        came, seconds, cpu = interrupted(getattr(lab, name), float(rng.random() * lengths[name]))
        then, worked = lab.arrays(), others_worked()
        time.sleep(QUIET)
        now, worked = lab.arrays(), others_worked() - worked
        counts["interrupts" if came else "too late"] += 1
        if not came:
            continue
        what = f"{name}, {minidl.get_num_threads()} threads"
        assert equal(then, now), f"{what}: written to after the interrupt was seen"
        assert worked < QUIET / 4, f"{what}: other threads worked for {1000 * worked:.1f} ms after it"
        assert seconds < 5 and not (seconds > LATE and cpu > 2 * LATE), f"{what}: raised after {seconds:.2f} s"
        counts["seen later than 0.1 s"] += seconds > LATE
        assert [module.training for module in lab.model.modules()] == modes, f"{what}: modes changed"
        assert nn.is_grad_enabled(), f"{what}: gradients are off"
        late = blas is not None and blas.get() != 2
        counts["BLAS's threads restored by the next step only"] += late
        left = [str(path) for path in Path.cwd().rglob("*") if "partial" in path.name or "tmp" in path.name]
        assert not left, f"{what}: {left} left"
        if name == "load":
            held = lab.model.state_dict()
            states = (before, *lab.saved)
            whole = any(all(np.array_equal(held[key], state[key]) for key in state) for state in states)
            assert whole, f"{what}: half loaded"
        if name == "save" and (lab.folder / "c.npz").exists():
            minidl.load(lab.folder / "c.npz")
        got = lab.numbers() if late or rng.random() < 0.5 else in_thread(lab.numbers)
        assert equal(got, expected), f"{what}: the next step gives other numbers"
        assert blas is None or blas.get() == 2, f"{what}: BLAS has {blas.get()} threads instead of 2"
        counts["unharmed"] += 1


@attack(limit=30)
def step(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Ctrl-C during training steps by hand."""
    _attack(rng, counts, ("step",))


@attack(limit=30)
def fit(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Ctrl-C during fits, with the best weights restored, or with checkpoints."""
    _attack(rng, counts, ("fit", "checkpointed"))


@attack(limit=30)
def others(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Ctrl-C while predicting, evaluating, saving and loading."""
    _attack(rng, counts, ("predict", "evaluate", "save", "load"))


@attack(limit=30)
def first(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Ctrl-C during the first fit or prediction of a process, which imports and makes what later ones find."""
    name, after = str(rng.choice(["fit", "predict", "evaluate"])), float(10 ** rng.uniform(-4, -1.2))

    def work() -> None:
        sys.unraisablehook = lambda problem: None
        lab = Lab(rng, Path.cwd())
        expected = lab.numbers()
        came, _, _ = interrupted(getattr(lab, name), after)
        (Path.cwd() / "came").write_text(str(int(came)))
        assert equal(lab.numbers(), expected), f"{name}: other numbers afterwards"
        lab.trainer().predict(lab.x)
        in_thread(lab.evaluate)
        lab.fit()

    process = forked(work)
    code = ended(process, 20)
    if code is None:
        killed(process)
    check(code, 20)
    counts["interrupts" if (Path.cwd() / "came").read_text() == "1" else "too late"] += 1
