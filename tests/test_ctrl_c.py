"""Ctrl-C before any line of what must not be done by halves."""

import contextlib
import sys

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl._core import threads, writing
from minidl.interop.files import npz_of
from minidl.nn import learning, modes, module, state


def interruptions(work, paths, only=()):
    """Do some work again and again, interrupted before the first line of some files that it reaches, the second, ...

    If there are names of functions, inside these only.
    """
    number, done = 0, False
    while not done:
        number += 1
        seen = 0

        def trace(frame, event, _):
            nonlocal seen
            code = frame.f_code
            if code.co_filename not in paths or (only and code.co_name not in only):
                return None
            seen += 1
            if seen == number:  # noqa: B023
                raise KeyboardInterrupt
            return trace

        before, errstate = sys.gettrace(), np.geterr()
        sys.settrace(trace)
        try:
            work()
            done = True
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
            np.seterr(**errstate)  # Python raises nothing at the end of a with block, where this does
        yield number
    assert number > 5


def test_blas_has_its_threads_again_after_the_next_operation(monkeypatch):
    setting = [3]
    blas = threads.find_blas()
    if blas is None:
        pytest.skip("a BLAS whose threads cannot be set")
    fake = blas._replace(get=lambda: setting[0], set=lambda n: setting.__setitem__(0, n), by_thread=False)
    monkeypatch.setattr(threads, "find_blas", lambda: fake)
    # Python raises nothing between the end of a with block and the lock's release, as interruptions do
    monkeypatch.setattr(threads._state, "lock", contextlib.nullcontext())

    def work():
        with threads.one_blas_thread:
            assert setting == [1]

    for number in interruptions(work, [threads.__file__]):
        work()
        assert setting == [3], number


# a file that Ctrl-C has kept a with block from closing is closed by the garbage collector, with this warning
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_partial_file_is_left(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    for number in interruptions(lambda: writing.write_atomically(path, b"new"), [writing.__file__]):
        assert [found.name for found in tmp_path.iterdir()] == ["file"], number
        assert path.read_bytes() in (b"old", b"new")
        path.write_bytes(b"old")


def test_a_state_is_loaded_whole_or_not_at_all():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    states = [{name: np.full_like(value, number) for name, value in model.state_dict().items()} for number in (0, 1)]
    model.load_state_dict(states[0])
    for number in interruptions(lambda: model.load_state_dict(states[1]), [state.__file__, module.__file__]):
        assert len({float(value.mean()) for value in model.state_dict().values()}) == 1, number
        model.load_state_dict(states[0])


def test_gradients_are_on_again_after_no_grad():
    class Interrupting(list):
        def pop(self):
            super().pop()
            raise KeyboardInterrupt  # as Python does after a call in which a signal came

    without = nn.no_grad()
    without._before = Interrupting()
    with pytest.raises(KeyboardInterrupt), without:
        assert not nn.is_grad_enabled()
    assert nn.is_grad_enabled()


def test_all_modes_are_restored():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Dropout())

    def work():
        with modes.modes_kept(model):
            model.eval()

    for number in interruptions(work, [modes.__file__, learning.__file__], ("_restore", "training")):
        assert all(module.training for module in model.modules()), number


def test_an_interrupted_archive_raises_the_interrupt_and_nothing_else(tmp_path):
    import zipfile

    arrays = {"a": np.ones(3), "b": np.ones(3)}
    for _ in interruptions(
        lambda: npz_of(arrays, {"text": "t"}), [zipfile.__file__], ("_open_to_write", "write", "_write")
    ):
        pass
    (tmp_path / "a.npz").write_bytes(npz_of(arrays))
    assert minidl.load(tmp_path / "a.npz").keys() == arrays.keys()


def test_memory_that_ends_while_an_archive_is_made_is_a_memory_error(monkeypatch):
    import io

    class Full(io.BytesIO):
        def write(self, data):
            if len(data) > 1000:
                self.close()  # as BytesIO does when it cannot grow
                raise MemoryError
            return super().write(data)

    monkeypatch.setattr(io, "BytesIO", Full)
    with pytest.raises(MemoryError):
        npz_of({"a": np.ones(1000)})
