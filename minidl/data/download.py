"""Download a dataset's files from the first mirror that has them, and check them before they are read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from .._core import bar

__all__ = ["RemoteFile", "fetch"]


class RemoteFile(NamedTuple):
    """A file of a dataset: its name, its SHA-256, and its addresses."""

    name: str
    sha256: str
    urls: Sequence[str]


def fetch(owner: str, folder: Path, file: RemoteFile) -> Path:
    """Return the path of a file in ``folder``, downloaded with pooch (extra ``datasets``) if it is missing.

    The mirrors are tried in turn. A download gets its name only after it has been checked, so a broken transfer, a
    wrong file or a web page in its place leaves nothing behind, and the next call starts over.

    Args:
        owner: the public function that was called, for errors.
        folder: created if it does not exist.
        file: the file to fetch.

    Raises:
        ImportError: the extra is not installed.
        OSError: no mirror has the file; the message says what went wrong with each, and what to do without a network.
    """
    target = folder / file.name
    if target.is_file():
        return target
    try:
        import pooch  # noqa: PLC0415 - an extra, imported where it is used
    except ImportError as error:
        raise ImportError(f"{owner}: download=True needs an extra: pip install 'minidl[datasets]'") from error
    pooch.get_logger().setLevel("ERROR")
    shown = sys.stderr is not None and sys.stderr.isatty()
    problems = []
    for url in file.urls:
        try:
            with bar(desc=file.name, unit="B", unit_scale=True) if shown else nullcontext(False) as progress:
                downloader = _NoWebPage(pooch.HTTPDownloader(progressbar=progress, timeout=30))
                pooch.retrieve(url, f"sha256:{file.sha256}", fname=file.name, path=folder, downloader=downloader)
        except MemoryError:
            raise
        except Exception as error:  # from requests, urllib3, pooch or the operating system: try the next mirror
            problems.append(f"{url}: {_short(error)}")
        else:
            return target
    raise OSError(
        f"{owner}: could not download {file.name}: {'; '.join(problems)}. Without a network, put the file into {folder}"
    )


class _NoWebPage:
    """A downloader for pooch that refuses web pages, which some servers send with status 200 instead of a file."""

    def __init__(self, downloader: Any) -> None:
        self._downloader = downloader

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Download, then look at how the file begins."""
        self._downloader(url, output_file, pooch)
        with open(output_file, "rb") as stream:
            begin = stream.read(256).lstrip().lower()
        if begin.startswith((b"<!doctype", b"<html", b"<?xml")):
            raise ValueError("the server sent a web page, not the file")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return "its SHA-256 is not that of the file" if "hash" in text.lower() and "match" in text.lower() else text[:200]
