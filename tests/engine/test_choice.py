"""Choosing an engine: the default, the variable, a mistake; switching between two passes is harmless."""

import os
import subprocess
import sys

import numpy as np
import pytest
from checks import assert_close
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import nn
from minidl.engine import choice


@pytest.fixture(autouse=True)
def restore():
    before = minidl.get_engine()
    yield
    minidl.set_engine(before)


def python(code, **variables):
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )


def test_the_default_and_the_variable():
    code = "import minidl; print(minidl.get_engine())"
    assert python(code, MINIDL_ENGINE="im2col").stdout.strip() == "im2col"
    variables = {name: value for name, value in os.environ.items() if name != "MINIDL_ENGINE"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=variables)
    assert result.stdout.strip() == "numpy"
    wrong = python(code, MINIDL_ENGINE="quick")
    assert "MINIDL_ENGINE: engine must be one of 'numpy', 'im2col', 'fast', got 'quick'" in wrong.stderr


def test_the_compiled_engine_without_numba_names_the_extra():
    code = "import sys; sys.modules['numba'] = None; import minidl; minidl.set_engine('fast')"
    assert "ImportError: the engine 'fast' needs an extra: pip install 'minidl[fast]'" in python(code).stderr


def test_a_numba_that_does_not_work_here_is_not_called_missing(tmp_path):
    (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 2.2 or less. Got NumPy 2.4.')")
    result = python(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import minidl; minidl.set_engine('fast')")
    reason = "cannot use the numba that is installed: Numba needs NumPy 2.2 or less. Got NumPy 2.4."
    assert f"ImportError: the engine 'fast' {reason}" in result.stderr


def test_an_unknown_engine_is_refused_and_nothing_changes():
    with pytest.raises(ValueError, match="set_engine: name must be one of 'numpy', 'im2col', 'fast', got 'quick'"):
        minidl.set_engine("quick")
    assert minidl.get_engine() == "numpy"


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.Conv1d(3, 4, 3), nn.ConvTranspose2d(3, 4, 3)])
def test_what_a_forward_pass_kept_is_served_by_its_engine(layer, monkeypatch):
    used = []
    made = {name: choice._made(name) for name in ("numpy", "im2col")}
    for name, engine in made.items():
        original = engine.weight_grad

        def noted(*args, name=name, original=original, **options):
            used.append(name)
            return original(*args, **options)

        made[name] = engine._replace(weight_grad=noted)
    monkeypatch.setattr(choice, "_made", made.__getitem__)
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6)[: 3 if isinstance(layer, nn.Conv1d) else 4])
    layer.astype(np.float64)
    for first, second in (("numpy", "im2col"), ("im2col", "numpy")):
        minidl.set_engine(first)
        out = layer(x)
        minidl.set_engine(second)
        layer.backward(out)
        assert used.pop() == first
        assert not used


@given(data=st.data())
def test_two_engines_agree(data):
    def draw(low, high):
        return data.draw(st.integers(low, high))

    groups, per_group = draw(1, 3), draw(1, 9)
    kernel, stride, dilation = ((draw(1, 3), draw(1, 3)) for _ in range(3))
    padding = draw(0, 3), draw(0, 3)
    size = [draw(max(1, d * (k - 1) + 1 - 2 * p), 9) for k, d, p in zip(kernel, dilation, padding, strict=True)]
    layer = nn.Conv2d(groups * per_group, groups * draw(1, 4), kernel, stride, padding, dilation, groups)
    layer.astype(np.float64)
    x = np.random.default_rng(draw(0, 9)).standard_normal((draw(1, 4), groups * per_group, *size))
    results = []
    for name in ("numpy", "im2col"):
        minidl.set_engine(name)
        layer.zero_grad()
        out = layer(x)
        results.append([out, layer.backward(np.cos(out)), layer.weight.grad, layer.bias.grad])
    for ours, textbook in zip(*results, strict=True):
        assert_close(ours, textbook, 1e-12)
