"""Threads of the user's own, forked and spawned processes, at any moment: the same numbers as alone, and no hang."""

from __future__ import annotations

import multiprocessing
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

import minidl
from minidl import nn
from minidl._core.blas import find_blas
from minidl.training import Trainer

from .frame import attack
from .interrupts import equal
from .processes import check, ended, forked, killed
from .trainings import Plan, digests


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """Return the results of functions that run at the same time, each in a thread."""
    results: list[Any] = [None] * len(works)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            results[number] = works[number]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(works))]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    finally:
        sys.setswitchinterval(before)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    return results


def _two_blas_threads() -> None:
    blas = find_blas()
    if blas is not None:
        blas.set(2)


def _check_blas() -> None:
    blas = find_blas()
    assert blas is None or blas.get() == 2, f"BLAS has {blas.get()} threads instead of 2"


@attack(limit=60)
def predict(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Several threads predict with one model, which is in training mode."""
    _two_blas_threads()
    plan = replace(Plan.drawn(rng), dropout=True)
    minidl.set_num_threads(plan.threads)
    model = plan.model()
    xs = [rng.standard_normal((int(rng.integers(1, 40)), 1, 6, 6)).astype(np.float32) for _ in range(8)]

    def work(x: np.ndarray) -> Callable[[], Any]:
        return lambda: [Trainer(model, nn.CrossEntropyLoss(), progress="none").predict(x, 16) for _ in range(5)]

    expected = [work(x)() for x in xs]
    buffers = [buffer.copy() for _, buffer in model.named_buffers()]
    got = at_once([work(x) for x in xs])
    assert all(equal(a, b) for a, b in zip(got, expected, strict=True)), f"{plan}: other outputs"
    assert equal([buffer for _, buffer in model.named_buffers()], buffers), f"{plan}: statistics changed"
    assert all(module.training for module in model.modules()), f"{plan}: modes changed"
    _check_blas()
    counts["predictions"] += 40


@attack(limit=60)
def trainings(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Trainings of different models in several threads."""
    _two_blas_threads()
    threads = int(rng.integers(1, 4))
    plans = [replace(Plan.drawn(rng), threads=threads) for _ in range(int(rng.integers(2, 5)))]

    def work(plan: Plan) -> Callable[[], dict[str, str]]:
        trainer, loader, val = plan.trainer(None)
        for module in trainer.model.modules():  # the order in which threads draw from minidl's own is not fixed
            if isinstance(module, nn.Dropout):
                module.rng = np.random.default_rng(1)
        loader.rng = np.random.default_rng(2)

        def fit() -> dict[str, str]:
            trainer.fit(loader, val, epochs=plan.epochs)
            return {name: digest for name, digest in digests(trainer).items() if name in ("weights", "history")}

        return fit

    expected = [work(plan)() for plan in plans]
    got = at_once([work(plan) for plan in plans])
    wrong = [str(plan) for plan, a, b in zip(plans, got, expected, strict=True) if a != b]
    assert not wrong, f"other numbers: {wrong}"
    _check_blas()
    counts["trainings"] += len(plans)


@contextmanager
def busy(plan: Plan, rng: np.random.Generator) -> Iterator[None]:
    """Let another thread train, and make and drop modules and large arrays, inside a with block."""
    stopped = threading.Event()
    seed = int(rng.integers(1000))

    def work() -> None:
        while not stopped.is_set():
            model = plan.model()
            x = np.random.default_rng(seed).standard_normal((64, 1, 6, 6)).astype(np.float32)
            for _ in range(3):
                model.backward(np.ones_like(model(x)))
            nn.Linear(300, 300)(np.zeros((200, 300), np.float32))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(10)
        assert not thread.is_alive(), "the other thread hangs"


@attack(limit=90)
def forks(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Forked children train while a thread of their parent works; some are killed."""
    plan = replace(Plan.drawn(rng), prefetch=0, epochs=1)

    def numbers() -> dict[str, str]:
        trainer, loader, val = plan.trainer(None)
        trainer.fit(loader, val, epochs=1)
        trainer.predict(val)
        return digests(trainer)

    expected = numbers()
    trainer, x = plan.trainer(None)[0], np.zeros((2, 1, 6, 6), np.float32)
    with busy(plan, rng):
        for _ in range(10):

            def work() -> None:
                assert numbers() == expected, f"{plan}: other numbers in a forked child"

            def endless() -> None:
                while True:
                    trainer.predict(x)

            time.sleep(0.003 * rng.random())
            doomed, child = [forked(endless) for _ in range(3)], forked(work)
            for process in doomed:
                time.sleep(0.01 * rng.random())
                killed(process)
                counts["killed"] += 1
            code = ended(child, 15)
            if code is None:
                killed(child)
            check(code, 15)
            counts["forked"] += 1
    assert numbers() == expected, f"{plan}: other numbers afterwards"


def _numbers_of(plan: Plan) -> dict[str, str]:
    trainer, loader, val = plan.trainer(None)
    trainer.fit(loader, val, epochs=1)
    return digests(trainer)


@attack(limit=60)
def start_methods(rng: np.random.Generator, counts: Counter[str]) -> None:
    """After predicting, the start method of multiprocessing can still be chosen, and its processes compute the same."""
    plan, method = replace(Plan.drawn(rng), epochs=1), str(rng.choice(["spawn", "forkserver", "fork"]))

    def work() -> None:
        expected = _numbers_of(plan)
        multiprocessing.set_start_method(method)
        with multiprocessing.Pool(1) as pool:
            assert pool.apply(_numbers_of, (plan,)) == expected, f"{plan}: other numbers after {method}"

    process = forked(work)
    code = ended(process, 40)
    if code is None:
        killed(process)
    check(code, 40)
    counts[method] += 1
