"""Where memory ends: a MemoryError that says for what, never another error, and nothing is damaged by it."""

import errno
import mmap

import numpy as np
import pytest

from minidl import nn
from minidl._core.memory import empty, held, release

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


@pytest.mark.skipif(not hasattr(mmap, "MADV_HUGEPAGE"), reason="Linux")
def test_a_system_without_huge_pages_is_no_error(monkeypatch):
    class Plain(mmap.mmap):
        def madvise(self, *_):
            raise OSError(errno.EINVAL, "Invalid argument")

    release()
    monkeypatch.setattr(mmap, "mmap", Plain)
    assert empty((2048, 1024), np.dtype(np.float32)).shape == (2048, 1024)
    release()
