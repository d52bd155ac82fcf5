"""Prefetching: the same items, in order; threads that end whatever becomes of the iterator."""

import threading
import time

import pytest

from minidl.data.prefetching import prefetched


def prefetching():
    return [thread for thread in threading.enumerate() if thread.name == "minidl-prefetch"]


def ended(within=2.0):
    """Wait until no thread prefetches; return whether that came to be."""
    deadline = time.monotonic() + within
    while prefetching() and time.monotonic() < deadline:
        time.sleep(0.005)
    return not prefetching()


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_the_same_items_in_order(count):
    assert list(prefetched(iter(range(50)), count)) == list(range(50))
    assert list(prefetched(iter([]), count)) == []
    assert list(prefetched(iter([None, 0, ()]), count)) == [None, 0, ()]
    assert ended()


def test_so_many_are_prepared_and_no_more():
    made = []

    def items():
        for n in range(100):
            made.append(n)
            yield n

    taken = prefetched(items(), 3)
    assert next(taken) == 0
    assert ended()
    assert made == [0, 1, 2, 3]
    assert next(taken) == 1
    assert ended()
    assert made == [0, 1, 2, 3, 4]


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield from range(5)
        raise KeyError("the sixth")

    taken = []
    with pytest.raises(KeyError, match="the sixth"):
        for n in prefetched(items(), 3):
            taken.append(n)
    assert taken == [0, 1, 2, 3, 4]
    assert ended()


def test_no_thread_waits_for_an_iterator_that_is_kept_and_not_used():
    """As a traceback keeps it after Ctrl-C."""
    kept = prefetched(iter(range(100)), 2)
    next(kept)
    assert ended()
    assert list(kept) == list(range(1, 100))


def test_closing_it_waits_for_the_item_that_is_being_prepared():
    def items():
        for n in range(100):
            time.sleep(0.02)
            at.append(n)
            yield n

    at = []
    taken = prefetched(items(), 5)
    next(taken)
    taken.close()
    assert not prefetching()
    before = list(at)
    time.sleep(0.06)
    assert at == before


def test_where_no_thread_can_be_started_items_are_prepared_when_they_are_wanted(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(prefetched(iter(range(20)), 3)) == list(range(20))
