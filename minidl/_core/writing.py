"""Writing files so that there is a whole one at any moment, whatever happens and whoever else writes it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

try:
    import fcntl
except ImportError:  # Windows, where a file that is open can be neither renamed nor deleted
    fcntl = None  # type: ignore[assignment]

__all__ = ["remove_leftovers", "through_link", "write_atomically"]

# what fsync says where it is for files only
_NOT_FOR_FOLDERS = {errno.EINVAL, errno.EACCES, errno.EPERM, errno.ENOTSUP, errno.EBADF}


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name and then rename it: ``path`` is the old file or the complete new one.

    The other name cannot be guessed and must not exist, so that nothing planted there is followed or overwritten, and
    of several that write ``path`` at a time, in threads or processes, one has written all of it. The file has the old
    one's permissions, or those of any new file. When this returns, a loss of power loses neither content nor name.
    A link at ``path`` is replaced; `through_link` gives the file it leads to.

    Raises:
        OSError: the file cannot be written; the error names ``path``.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    try:
        while not _written(path, path.with_name(f".{_short(path.name)}.{os.urandom(8).hex()}.partial"), content):
            pass
        _sync_folder(path.parent)
    except OSError as error:  # a full disk's names no file, others the one that the caller does not know
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def through_link(path: Path) -> Path:
    """Return the file that is written if a user says ``path``: if that is a link, what it leads to.

    As other programs do with a link that a person has put there. Files in a folder of minidl's own, such as a run's,
    are written without this: whoever made the folder does not say what is overwritten elsewhere.

    Raises:
        OSError: the link leads in a circle.
    """
    if not path.is_symlink():
        return path
    target = path.parent / os.path.realpath(path)  # which is absolute
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def remove_leftovers(path: Path) -> None:
    """Delete what processes that were killed while they wrote ``path`` have left beside it.

    Nothing else: neither files with other names nor those that somebody is writing, which are locked.
    """
    pattern = re.compile(re.escape(f".{_short(path.name)}.") + r"[0-9a-f]{16}\.partial")
    if not path.parent.is_dir():
        return
    for rest in path.parent.iterdir():
        if pattern.fullmatch(rest.name) and rest.is_file() and not rest.is_symlink():
            with contextlib.suppress(OSError), rest.open("r+b") as stream:  # another user's, or being written
                if fcntl is not None:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                else:
                    stream.close()
                rest.unlink()


def _written(path: Path, partial: Path, content: bytes) -> bool:
    """Write a file and rename it; return False if it was taken for a leftover, and deleted, before it was locked."""
    stream: Any = None
    try:
        with partial.open("xb") as stream:  # O_EXCL: an error if there is anything, even a link that leads nowhere
            if fcntl is not None:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(stream, fcntl.LOCK_EX)
                if not partial.exists():
                    return False
            _keep_mode(path, stream)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            if fcntl is None:
                stream.close()
            partial.replace(path)
    except BaseException as error:  # an interrupt may come when the file is there, but not yet the stream
        if stream is not None or not isinstance(error, FileExistsError):
            with contextlib.suppress(OSError):  # it may have been renamed already
                partial.unlink()
        raise
    return True


def _short(name: str) -> str:
    """Return a file's name, cut if the 255 bytes that a name may have leave no room for more beside it."""
    return name if len(os.fsencode(name)) <= 200 else name[:50]


def _keep_mode(path: Path, stream: BinaryIO) -> None:
    """Give a new file the permissions of the one whose place it takes."""
    if os.name != "posix" or not path.is_file() or path.is_symlink():
        return
    old, new = (stat.S_IMODE(found.st_mode) & 0o777 for found in (path.stat(), os.fstat(stream.fileno())))
    if old != new:
        with contextlib.suppress(PermissionError):  # a file system without permissions
            os.fchmod(stream.fileno(), old)


def _sync_folder(folder: Path) -> None:
    """Write a folder's names to disk."""
    if os.name != "posix":  # Windows opens no folders
        return
    try:
        number = os.open(folder, os.O_RDONLY)
    except PermissionError:  # files may be created in it, but it may not be listed
        return
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise
    finally:
        os.close(number)
