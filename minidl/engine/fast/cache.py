"""Where machine code is kept between processes: a file for each function, in a folder that only its owner may write to.

numba reads machine code by unpickling, which may run anything. So the folder and each file must belong to the user, or
to the system's administrator, and nobody else may be allowed to write to them. A file begins with a checksum: a damaged
one counts as missing, and its function is compiled again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import re
import shutil
import stat
import sys
import tempfile
import time
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from ..._core import printable, user_path
from ..._version import __version__

__all__ = ["Cache", "place"]

_DIGEST = hashlib.sha256().digest_size
_UNUSED = 30 * 24 * 3600  # seconds after which the folder of another version is removed
_OURS = re.compile(r"fast-[0-9a-f]{16}")
_complaints: list[str] = []


class Cache(NullCache):  # type: ignore[misc]
    """The kept machine code of one function: numba asks for it before it compiles, and hands it over afterwards."""

    def __init__(self, function: Any) -> None:
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"

    @property
    def cache_path(self) -> str:
        """The folder."""
        return str(place())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what was kept for these types of arguments and this CPU, or None."""
        target_context.refresh()
        content = _attempt(_read, self._file(sig, target_context.codegen()))
        return None if content is None else CompileResult._rebuild(target_context, *pickle.loads(content))

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled."""
        _attempt(_write, self._file(sig, data.codegen), dumps(data._reduce()))

    def _file(self, sig: Any, codegen: Any) -> str:
        key = repr((sig, codegen.magic_tuple()))  # the latter names the CPU and its features
        return f"{self._name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}"


@cache
def place() -> Path | None:
    """Return the folder of this version, whether it exists or not; None if the user has no home.

    It is in the folder that NUMBA_CACHE_DIR names, else in that of the user's caches.
    """
    if numba.config.CACHE_DIR:
        caches = os.path.abspath(numba.config.CACHE_DIR)
    elif sys.platform == "win32":
        caches = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~\\AppData\\Local")
    elif sys.platform == "darwin":
        caches = os.path.expanduser("~/Library/Caches")
    else:
        named = os.environ.get("XDG_CACHE_HOME", "")
        caches = named if os.path.isabs(named) else os.path.expanduser("~/.cache")
    return user_path(caches) / "minidl" / f"fast-{_version()}" if os.path.isabs(caches) else None


def _version() -> str:
    """Return a checksum of all that machine code depends on, but for the CPU and the types of arguments."""
    versions = (__version__, numba.__version__, llvmlite.__version__, np.__version__, sys.version)
    digest = hashlib.sha256(repr(versions).encode())
    for source in _sources(resources.files(__package__.rpartition(".")[0])):  # of the functions that are called, too
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _sources(folder: Any) -> list[Any]:
    entries = sorted(folder.iterdir(), key=lambda entry: entry.name)
    inside = [source for entry in entries if entry.is_dir() for source in _sources(entry)]
    return [entry for entry in entries if entry.name.endswith(".py")] + inside


def _attempt(action: Any, *args: Any) -> Any:
    """Read or write; if that fails, say so once and go on without."""
    try:
        return action(*args)
    except OSError as error:
        _complain(printable(error))
        return None


def _complain(text: str) -> None:
    if not _complaints and sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):  # nobody is left to read it
            print(f"minidl: what the fast engine compiles is not kept for other processes: {text}", file=sys.stderr)
    _complaints.append(text)


def _read(name: str) -> bytes | None:
    folder = place()
    if folder is None or not os.path.lexists(folder):
        return None
    _check(folder)
    try:
        with (folder / name).open("rb") as file:
            _check_owner(folder / name, os.fstat(file.fileno()))
            found = file.read()
    except FileNotFoundError:
        return None
    content = found[_DIGEST:]
    return content if found[:_DIGEST] == _digest(name, content) else None


def _write(name: str, content: bytes) -> None:
    folder = place()
    if folder is None:
        raise OSError("there is no home folder; NUMBA_CACHE_DIR names another place")
    if not os.path.lexists(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # another process was faster
            folder.mkdir(0o700)
        _remove_unused(folder)
    _check(folder)
    number, part = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(_digest(name, content) + content)
        try:
            os.replace(part, folder / name)
        except PermissionError:  # Windows: another process is reading the same
            if not (folder / name).exists():
                raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + content).digest()


def _check(folder: Path) -> None:
    """Raise PermissionError if somebody else could have put something into the folder."""
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise PermissionError(f"{folder} is a link or a file, not a folder")
    _check_owner(folder, found)


def _check_owner(path: Path, found: os.stat_result) -> None:
    if os.name == "posix":  # elsewhere the folder's own rights hold, which it has from the user's
        if found.st_uid not in (0, os.geteuid()):
            raise PermissionError(f"{path} belongs to another user")
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"others may write to {path}")


def _remove_unused(folder: Path) -> None:
    """Remove folders of other versions that nothing has been written to for a while."""
    for other in folder.parent.iterdir():
        with contextlib.suppress(OSError):  # it is being used, or somebody else's
            old = other.lstat()
            if _OURS.fullmatch(other.name) and stat.S_ISDIR(old.st_mode) and time.time() - old.st_mtime > _UNUSED:
                _check_owner(other, old)
                shutil.rmtree(other)
