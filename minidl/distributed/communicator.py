"""Communicator: what minidl uses of mpi4py's communicators."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Communicator", "check_comm"]


class Communicator(Protocol):
    """The part of ``mpi4py.MPI.Intracomm`` that minidl uses; capitals move arrays, small letters pickle objects."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""

    @property
    def size(self) -> int:
        """The number of processes."""

    def Dup(self) -> Any: ...  # noqa: D102

    def Abort(self, errorcode: int = 0) -> Any: ...  # noqa: D102

    def Allreduce(self, sendbuf: Any, recvbuf: Any, op: Any) -> Any: ...  # noqa: D102

    def Iallreduce(self, sendbuf: Any, recvbuf: Any, op: Any) -> Any: ...  # noqa: D102

    def Allgather(self, sendbuf: Any, recvbuf: Any) -> Any: ...  # noqa: D102

    def Bcast(self, buf: Any, root: int = 0) -> Any: ...  # noqa: D102

    def bcast(self, obj: Any, root: int = 0) -> Any: ...  # noqa: D102

    def allgather(self, sendobj: Any) -> list[Any]: ...  # noqa: D102

    def Create_keyval(self) -> int: ...  # noqa: D102

    def Get_attr(self, keyval: int) -> Any: ...  # noqa: D102

    def Set_attr(self, keyval: int, attrval: Any) -> None: ...  # noqa: D102


def check_comm(owner: str, comm: Any) -> Communicator | None:
    """Return a communicator, or None for None.

    Raises:
        TypeError: it is something else.
    """
    if comm is None:
        return None
    if isinstance(comm, type) or not all(hasattr(comm, name) for name in ("rank", "size", "Allreduce", "Dup")):
        kind = comm.__name__ if isinstance(comm, type) else type(comm).__name__
        raise TypeError(f"{owner}: comm must be a communicator of mpi4py, such as MPI.COMM_WORLD, got {kind}")
    return comm  # type: ignore[no-any-return]
