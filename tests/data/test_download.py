"""Downloads, from a server of our own: truncation, a wrong hash, 404 and then a mirror, a web page."""

import gzip
import hashlib
import http.server
import io
import struct
import threading
import zipfile

import numpy as np
import pytest
from idx_files import IDX

from minidl.data import load_emnist, load_fashion_mnist, load_kmnist, load_mnist, mnist
from minidl.data.download import RemoteFile, fetch

pytest.importorskip("pooch")
CONTENT = b"some bytes " * 1000
HASH = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    files = {}  # noqa: RUF012
    asked = []  # noqa: RUF012

    def do_GET(self):
        self.asked.append(self.path)
        kind, _, name = self.path[1:].partition("/")
        if kind == "missing":
            self.send_error(404)
            return
        content = self.files.get(name, CONTENT)
        self.send_response(200)
        if kind == "page":
            content = b"  <!DOCTYPE html><html>Please log in</html>"
        if kind == "wrong":
            content = content[::-1]
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if kind == "broken" else content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def get(server, folder, *kinds):
    return fetch("load_x", folder, RemoteFile("x.gz", HASH, [f"{server}/{kind}/x.gz" for kind in kinds]))


def test_a_file_that_is_there_is_not_fetched(tmp_path):
    (tmp_path / "x.gz").write_bytes(b"mine")
    assert get("http://127.0.0.1:9", tmp_path, "good").read_bytes() == b"mine"


@pytest.mark.parametrize("first", ["missing", "broken", "wrong", "page"])
def test_the_next_mirror_is_asked(first, server, tmp_path):
    path = get(server, tmp_path / "new", first, "good")
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "404"),
        ("wrong", "its SHA-256 is not that of the file"),
        ("page", "the server sent a web page, not the file"),
        ("broken", "x.gz: "),
    ],
)
def test_nothing_is_left_and_the_message_says_what_to_do(kind, message, server, tmp_path):
    with pytest.raises(
        OSError, match=r"load_x: could not download x.gz: .*Without a network, put the file into"
    ) as error:
        get(server, tmp_path, kind)
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())
    assert get(server, tmp_path, "good").read_bytes() == CONTENT  # it starts over


def test_no_server_at_all(tmp_path):
    with pytest.raises(OSError, match="could not download x.gz"):
        get("http://127.0.0.1:9", tmp_path, "good")


@pytest.mark.parametrize("load", [load_mnist, load_fashion_mnist, load_kmnist])
def test_the_four_files_are_fetched_and_read(load, server, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    hashes = {}
    for name, count in (("train", 5), ("t10k", 3)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            values = rng.integers(0, 10, shape).astype(np.uint8)
            head = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
            file = f"{name}-{kind}-ubyte"
            Handler.files[f"{file}.gz"] = gzip.compress(head + values.tobytes())
            hashes[file] = hashlib.sha256(Handler.files[f"{file}.gz"]).hexdigest()
    hosts = (f"{server}/missing/", f"{server}/good/")
    for name in ("_MNIST", "_FASHION", "_KMNIST"):
        monkeypatch.setattr(mnist, name, getattr(mnist, name)._replace(hashes=hashes, hosts=hosts))
    train, test = load(tmp_path / "data", download=True)
    assert (len(train), len(test)) == (5, 3)
    Handler.asked.clear()
    load(tmp_path / "data", download=True)
    assert not Handler.asked


def test_the_archive_of_emnist_is_fetched_and_read(server, tmp_path, monkeypatch):
    source = IDX["emnist-digits"]
    source.write(tmp_path / "files")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in (tmp_path / "files").iterdir():
            data = path.read_bytes()
            archive.writestr(f"gzip/{path.stem}.gz", data if path.suffix == ".gz" else gzip.compress(data))
    Handler.files["gzip.zip"] = content.getvalue()
    sha256 = hashlib.sha256(content.getvalue()).hexdigest()
    urls = [f"{server}/{kind}/gzip.zip" for kind in ("page", "good")]
    monkeypatch.setattr(mnist, "_EMNIST_ARCHIVE", RemoteFile("gzip.zip", sha256, urls))
    train, test = load_emnist(tmp_path / "new", "digits", download=True)
    assert (len(train), len(test)) == (90, 30)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["gzip.zip"]
    Handler.asked.clear()
    load_emnist(tmp_path / "new", "digits", download=True)
    load_emnist(tmp_path / "files", "digits", download=True)  # files that are there are enough
    assert not Handler.asked


def test_the_hashes_are_hashes():
    from minidl.data import cifar

    sources = (mnist._MNIST, mnist._FASHION, mnist._KMNIST)
    hashes = [mnist._EMNIST_ARCHIVE.sha256, *(value for source in sources for value in source.hashes.values())]
    hashes += [archive.sha256 for layout in (cifar._CIFAR10, cifar._CIFAR100) for archive in layout.archives]
    assert len(set(hashes)) == 17
    assert all(len(value) == 64 and int(value, 16) for value in hashes)


def test_a_download_shows_a_bar_without_tqdms_lock_among_processes(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)

    def make(*_):
        raise AssertionError("tqdm's own lock is made")

    monkeypatch.setattr("tqdm.std.TqdmDefaultWriteLock.__init__", make)
    monkeypatch.setattr("tqdm.std.tqdm.get_lock", classmethod(lambda cls: cls._lock))  # not one made by another test
    get(server, tmp_path, "broken", "good")
    assert "x.gz: 100%" in capsys.readouterr().err
