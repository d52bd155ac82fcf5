"""Where memory ends: a MemoryError that says for what, never another error, and nothing is damaged by it."""

import ast
import errno
import mmap
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl._core.memory import empty, held, release
from minidl.data.idx import read_idx
from minidl.data.images import image_batches
from minidl.training.checkpoint import read_checkpoint, write_checkpoint

PACKAGE = Path(minidl.__file__).parent
HUGE = 2**28  # rows and columns to pad: 2**60 bytes in all, which no system has addresses for


class Plain(nn.Module):
    """A layer whose pass allocates with NumPy."""

    def forward(self, x):
        return x + np.empty(2**60, np.float32)[0]

    def backward(self, grad):
        return grad


class Backward(nn.Module):
    def forward(self, x):
        self.save_for_backward(x)
        return x * 1

    def backward(self, grad):
        self.take_saved()
        raise MemoryError


def test_a_forward_pass_names_the_layer_and_what_it_wanted():
    net = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ZeroPad2d(HUGE)))
    with pytest.raises(MemoryError, match=r'ZeroPad2d "1\.0": there is no memory for [\d,]{20,} bytes, an array \(\d'):
        net(np.ones((1, 1, 1, 1), np.float32))
    x = np.ones((1, 1), np.float32)
    with pytest.raises(MemoryError, match=r'Plain "1": Unable to allocate 4\.00 EiB for an array with shape') as caught:
        nn.Sequential(nn.ReLU(), Plain())(x)
    assert type(caught.value) is MemoryError
    assert np.array_equal(nn.ReLU()(x), x)


@pytest.mark.parametrize("derived", [False, True])
def test_a_backward_pass_names_the_layer(derived):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.ModuleDict({"part": Backward()})

        def forward(self, x):
            return self.inner["part"](x)

    net = Net() if derived else nn.Sequential(nn.ReLU(), Backward())
    net(np.ones((1, 1), np.float32))
    where = "inner.part" if derived else "1"
    with pytest.raises(MemoryError, match=f'^Backward "{where}": there is not enough memory$'):
        net.backward(np.ones((1, 1), np.float32))


linux = pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="large arrays are mapped on Linux only")


@linux
@pytest.mark.parametrize("kind", [errno.ENOMEM, errno.EAGAIN])
def test_the_pool_is_given_back_before_memory_is_said_to_be_short(monkeypatch, kind):
    release()
    waiting = empty((1024, 1024), np.dtype(np.float32))
    del waiting
    assert held() > 0
    made = mmap.mmap

    class Short(mmap.mmap):
        def __new__(cls, *args, **kwargs):
            if held():
                raise OSError(kind, "Cannot allocate memory")
            return made(*args, **kwargs)

    monkeypatch.setattr(mmap, "mmap", Short)
    array = empty((2048, 1024), np.dtype(np.float32))
    assert held() == 0
    del array
    release()


@linux
def test_a_system_without_huge_pages_is_no_error(monkeypatch):
    class Plain(mmap.mmap):
        def madvise(self, *_):
            raise OSError(errno.EINVAL, "Invalid argument")

    release()
    monkeypatch.setattr(mmap, "mmap", Plain)
    assert empty((2048, 1024), np.dtype(np.float32)).shape == (2048, 1024)
    release()


def handlers():
    """Each `except Exception` that raises another error: (where, whether MemoryError is let through before it)."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            for number, handler in enumerate(node.handlers if isinstance(node, ast.Try) else ()):
                if "Exception" not in names(handler):
                    continue
                other = any(isinstance(inner, ast.Raise) and inner.exc is not None for inner in ast.walk(handler))
                before = {name for earlier in node.handlers[:number] for name in names(earlier)}
                if other:
                    yield f"{path.relative_to(PACKAGE)}:{handler.lineno}", "MemoryError" in before


def names(handler):
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {kind.id for kind in kinds if isinstance(kind, ast.Name)}


def test_no_handler_turns_a_memory_error_into_another():
    found = dict(handlers())
    assert len(found) > 5
    assert not [where for where, lets_through in found.items() if not lets_through and "testing.py" not in where]


@pytest.mark.parametrize("read", ["load", "checkpoint", "array", "idx", "onnx"])
def test_a_file_for_which_there_is_no_memory_is_named_and_not_called_damaged(tmp_path, monkeypatch, read):
    def end(*_, **__):
        raise MemoryError

    if read == "onnx":
        pytest.importorskip("onnx")
        minidl.export_onnx(nn.Linear(2, 1), tmp_path / "m.onnx", (1, 2))
        monkeypatch.setattr("onnx.checker.check_model", end)
        work, name = lambda: minidl.from_onnx(tmp_path / "m.onnx"), "m.onnx"
    elif read == "array":
        np.save(tmp_path / "m.npy", np.zeros((1, 1, 2, 2), np.float32))
        monkeypatch.setattr(np, "load", end)
        work, name = lambda: list(image_batches([tmp_path / "m.npy"], (1, 2, 2))), "m.npy"
    elif read == "idx":
        (tmp_path / "m").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 5]))
        monkeypatch.setattr("minidl.data.idx.parse_idx", end)
        work, name = lambda: read_idx(tmp_path / "m"), "m"
    else:
        name = "m.npz" if read == "load" else "m.ckpt"
        work = partial(minidl.load if read == "load" else read_checkpoint, tmp_path / name)
        write_checkpoint(tmp_path / "m.ckpt", {"a": np.ones(2)})
        minidl.save(nn.Linear(2, 1), tmp_path / "m.npz")
        monkeypatch.setattr(np.lib.format, "read_array", end)
    with pytest.raises(MemoryError, match=rf"there is not enough memory for reading .*{name}$"):
        work()


@pytest.mark.parametrize("name", ["m.npz", "tree.npz", "m.safetensors", "last.ckpt"])
def test_a_file_that_there_is_no_memory_to_write_is_named_and_stays(tmp_path, monkeypatch, name):
    def end(*_, **__):
        raise MemoryError

    if name == "m.safetensors":
        monkeypatch.setattr(pytest.importorskip("safetensors.numpy"), "save", end)
    (tmp_path / name).write_bytes(b"before")
    monkeypatch.setattr(np.lib.format, "write_array", end)
    content = {"w": np.ones(2)} if name.startswith("m.") else {"w": np.ones(2), "epoch": 3}
    with pytest.raises(MemoryError, match=rf"there is not enough memory for writing .*{name}$"):
        if name == "last.ckpt":
            write_checkpoint(tmp_path / name, content)
        else:
            minidl.save(content, tmp_path / name)
    assert (tmp_path / name).read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == [name]
