"""Modes: no_grad, which is a state of its thread."""

import threading

import numpy as np
import pytest

import minidl
from minidl import nn


def test_one_no_grad_object_can_be_nested():
    guard = minidl.no_grad()
    with guard:
        with guard:
            assert not nn.is_grad_enabled()
        assert not nn.is_grad_enabled()
    assert nn.is_grad_enabled()


def test_no_grad_nests_decorates_and_survives_exceptions():
    @minidl.no_grad()
    def run(depth):
        assert not nn.is_grad_enabled()
        return run(depth - 1) if depth else None

    run(2)
    assert nn.is_grad_enabled()
    with pytest.raises(ZeroDivisionError), minidl.no_grad(), minidl.no_grad():
        _ = 1 / 0
    assert nn.is_grad_enabled()


def test_grad_is_switched_as_in_pytorch():
    with minidl.no_grad(), minidl.enable_grad():
        assert nn.is_grad_enabled()
    with minidl.inference_mode():
        assert not minidl.is_grad_enabled()
        with minidl.inference_mode(False):
            assert minidl.is_grad_enabled()
    with minidl.set_grad_enabled(False):
        assert not minidl.is_grad_enabled()
        with minidl.set_grad_enabled(True):
            assert minidl.is_grad_enabled()
        assert not minidl.is_grad_enabled()
    assert minidl.is_grad_enabled()
    minidl.set_grad_enabled(False)
    try:
        assert not minidl.is_grad_enabled()
    finally:
        minidl.set_grad_enabled(True)
    assert minidl.is_grad_enabled()


@pytest.mark.parametrize("guard", [minidl.inference_mode, minidl.no_grad, lambda: minidl.set_grad_enabled(False)])
def test_guards_decorate(guard):
    @guard()
    def run(depth):
        assert not minidl.is_grad_enabled()
        return run(depth - 1) if depth else nn.is_grad_enabled()

    assert minidl.is_grad_enabled()
    assert run(2) is False
    assert minidl.is_grad_enabled()

    @minidl.enable_grad()
    def enabled():
        return minidl.is_grad_enabled()

    with minidl.no_grad():
        assert enabled()


def test_no_grad_is_a_state_of_its_thread():
    inside, done, seen = threading.Event(), threading.Event(), []

    def work():
        inside.wait(10)
        layer = nn.Linear(3, 2)
        out = layer(np.ones((1, 3), np.float32))
        seen.append((nn.is_grad_enabled(), layer.backward(out).shape))
        done.set()

    other = threading.Thread(target=work)
    other.start()
    with nn.no_grad():
        inside.set()
        assert done.wait(10)
        assert not nn.is_grad_enabled()
    other.join()
    assert seen == [(True, (1, 3))]
