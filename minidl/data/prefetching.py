"""Prefetching: a thread prepares the next batches while the model works on this one."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from threading import RLock, Thread, current_thread
from typing import Generic, TypeVar

__all__ = ["prefetched"]

Item = TypeVar("Item")


def prefetched(items: Iterator[Item], count: int) -> Iterator[Item]:
    """Yield what ``items`` yields, up to ``count`` of them prepared in advance by a thread.

    The thread ends when that many are ready, and another is started when one is taken: whatever becomes of this
    iterator, forgotten or kept alive by a traceback after Ctrl-C, no thread waits for it. Where none can be started,
    items are prepared when they are wanted.
    """
    store = _Store(items, count)
    try:
        while (item := store.take()) is not None:
            error, value = item
            if error is not None:
                raise error
            yield value[0]
    finally:
        store.end()


class _Store(Generic[Item]):
    """The items that are ready, and the thread that prepares more; at most one at a time."""

    def __init__(self, items: Iterator[Item], count: int) -> None:
        self.items, self.count = items, count
        self.ready: SimpleQueue[tuple[BaseException | None, list[Item]] | None] = SimpleQueue()
        self.lock = RLock()
        self.thread: Thread | None = None  # while one prepares
        self.over = False

    def take(self) -> tuple[BaseException | None, list[Item]] | None:
        """Return (None, [item]) or (error, []), when it is ready; None at the end."""
        self._start()
        if self.thread is None and self.ready.empty() and not self.over:
            self._prepare()  # no thread could be started
        item = self.ready.get()
        self._start()  # the next is prepared while this one is used
        return item

    def end(self) -> None:
        """Let the thread end with the item that it prepares, and wait for it."""
        self.over = True
        thread = self.thread
        if thread is not None and thread is not current_thread():  # which may collect what was forgotten
            thread.join()

    def _start(self) -> None:
        with self.lock:
            working = self.thread is not None and self.thread.is_alive()  # which it is not in a forked child
            if not working and not self.over and self.ready.qsize() < self.count:
                thread = Thread(target=self._fill, name="minidl-prefetch", daemon=True)
                try:
                    thread.start()
                except (RuntimeError, MemoryError):  # the system has no more threads to give
                    return
                self.thread = thread  # which waits for the lock

    def _fill(self) -> None:
        while True:
            with self.lock:
                if self.over or self.ready.qsize() >= self.count:
                    self.thread = None
                    return
            self._prepare()

    def _prepare(self) -> None:
        try:
            for item in self.items:
                return self.ready.put((None, [item]))
            self.over = True
            self.ready.put(None)
        except BaseException as error:  # raised again where the items are used
            self.over = True
            self.ready.put((error, []))
