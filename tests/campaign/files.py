"""Damaged, spliced and lying files of every kind: refused with a clear error, or read; never wrong by a checksum."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
import pickle
import struct
import unicodedata
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl import nn, optim
from minidl.cli import main
from minidl.data import ArrayDataset, DataLoader, load_cifar10, load_mnist, read_image
from minidl.data.idx import read_idx
from minidl.data.images import image_batches
from minidl.training import ModelCheckpoint, Trainer
from minidl.training.checkpoint import latest_checkpoint, read_checkpoint, write_checkpoint

from .damage import damaged
from .frame import attack

LIMIT = 5.0  # seconds, for a draw of several files
REFUSED = (ValueError, TypeError)  # what the functions that read say they raise for a file that is there


def read(counts: Counter[str], work: Callable[[], Any], errors: tuple[type[Exception], ...] = REFUSED) -> Any:
    """Return what is read from a damaged file, None if it is refused; anything but a documented error is a finding."""
    counts["files"] += 1
    try:
        result = work()
    except errors as error:
        message = str(error)
        assert message, f"{type(error).__name__} without a message"
        assert not raw(message), f"control characters in {message!r}"
        counts["refused"] += 1
        return None
    counts["read"] += 1
    return result


def raw(text: str) -> bool:
    """Return whether a terminal would obey something in a text."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text if character != "\n")


def net() -> nn.Module:
    """A small model with a buffer of each kind."""
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(value, other[name], equal_nan=value.dtype.kind == "f") for name, value in one.items()
    )


@functools.cache
def saved(suffix: str, seed: int = 0) -> tuple[bytes, dict[str, Any]]:
    """A file of weights, and what it holds."""
    minidl.manual_seed(seed)
    model, path = net(), Path(f"saved{suffix}")
    minidl.save(model, path)
    content = path.read_bytes()
    path.unlink()
    return content, model.state_dict()


def into_a_model(path: Path, counts: Counter[str]) -> dict[str, Any] | None:
    """Load a file into a model; a refusal must leave the model as it was."""
    model = net()
    before = model.state_dict()

    def load() -> dict[str, Any]:
        minidl.load(model, path)
        return model.state_dict()

    state = read(counts, load)
    assert state is not None or same(model.state_dict(), before), "a refused file has changed the model"
    return state


@attack(limit=LIMIT)
def npz(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged .npz files of weights: refused, or what was saved."""
    content, state = saved(".npz")
    other, other_state = saved(".npz", 1)
    path = Path("bad.npz")
    for _ in range(20):
        path.write_bytes(damaged(content, rng, [other]))
        got = into_a_model(path, counts)
        if got is not None:  # a piece of another file may be whole
            wrong = [n for n in got if not any(np.array_equal(got[n], s[n]) for s in (state, other_state))]
            assert not wrong, f"{wrong} are not what was saved"
        read(counts, lambda: minidl.load(path))


@attack(limit=LIMIT)
def npz_lies(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Archives with right checksums whose members lie: headers, names, compression, texts."""
    path = Path("lie.npz")
    for _ in range(10):
        path.write_bytes(_archive(rng))
        into_a_model(path, counts)
        read(counts, lambda: minidl.load(path))
        read(counts, lambda: read_checkpoint(path))


def _archive(rng: np.random.Generator) -> bytes:
    stream = io.BytesIO()
    names = [*saved(".npz")[1], "0", "1", "a\x1b[2J", "../up", "x/y", "\u202e", ""]
    with zipfile.ZipFile(stream, "w", int(rng.choice([0, 8, 12, 14]))) as archive:
        for _ in range(int(rng.integers(1, 9))):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # two of one name
                archive.writestr(f"{rng.choice(names)}.npy", _npy(rng))
        for name in ("tree.json", "state.json"):
            if rng.random() < 0.5:
                archive.writestr(name, _text(rng))
    return stream.getvalue()


def _npy(rng: np.random.Generator) -> bytes:
    """A .npy file whose header may lie."""
    shapes = [
        "()",
        "(3,)",
        "(2, 1, 3, 3)",
        "(-1,)",
        "(4294967296, 4294967296)",
        "(0, 99999999999)",
        "(2.5,)",
        "3",
        "[3]",
    ]
    kinds = ["<f4", "<f8", "<f2", "|O", "<i8", "|b1", "<U9", "<c8", "|V4", "<M8[s]", "f4", "nonsense", "<f4,<i4"]
    header = (
        f"{{'descr': '{rng.choice(kinds)}', 'fortran_order': {rng.choice(['True', 'False', '1'])}, "
        f"'shape': {rng.choice(shapes)}}}"
    ).encode()
    if rng.random() < 0.1:
        header = [b"(" * 5000, b"{" + b"'a': [" * 300, b"x" * 70_000, b"\xff\xfe", b"None"][rng.integers(5)]
    version = int(rng.choice([1, 1, 1, 2, 3, 9]))
    size = struct.pack("<H" if version == 1 else "<I", min(len(header) + 1, 65535))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + b"\n" + rng.bytes(int(rng.choice([0, 4, 12, 72])))


def _text(rng: np.random.Generator) -> str:
    texts = [
        '{"array": 0}',
        '{"array": -1}',
        '{"array": "0"}',
        '{"array": 1e9}',
        '{"dict": 3}',
        '{"dict": [["a"]]}',
        '{"dict": [[{"dict": []}, 1]]}',
        '{"dict": [[["a"], 1]]}',
        '{"format": 1, "state": {"array": 99}}',
        '{"format": 1, "state": 1}',
        '{"format": "\\u001b[2J"}',
        '{"format": 1}',
        "[" * 100_000,
        "9" * 5000,
        "NaN",
        "",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin1"),
    ]
    return texts[rng.integers(len(texts))]


def trainer(folder: Path | None = None) -> tuple[Trainer, DataLoader]:
    """A training of a moment."""
    rng = np.random.default_rng(0)
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.1), nn.Linear(4, 2))
    optimizer = optim.Adam(model.params(), lr=0.01)
    data = ArrayDataset(rng.random((12, 3), np.float32), np.arange(12) % 2)
    callbacks = [] if folder is None else [ModelCheckpoint(folder)]
    schedule = optim.lr_scheduler.StepLR(optimizer, 2)
    made = Trainer(model, nn.CrossEntropyLoss(), optimizer, scheduler=schedule, callbacks=callbacks, progress="none")
    return made, DataLoader(data, 4, shuffle=True)


@functools.cache
def checkpoint() -> tuple[bytes, Any]:
    """A checkpoint file and the state in it."""
    folder = Path("made").absolute()
    made, loader = trainer(folder)
    made.fit(loader, loader, epochs=2)
    return (folder / "last.ckpt").read_bytes(), read_checkpoint(folder / "last.ckpt")


def flat(value: Any) -> bytes:
    """A state as bytes, to be compared."""
    return pickle.dumps(json.loads(json.dumps(value, default=lambda array: [str(array.dtype), array.tolist()])))


@attack(limit=LIMIT)
def checkpoints(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged checkpoints: refused, or what was saved."""
    content, state = checkpoint()
    expected, path = flat(state), Path("bad.ckpt")
    for _ in range(20):
        path.write_bytes(damaged(content, rng))
        got = read(counts, lambda: read_checkpoint(path))
        assert got is None or flat(got) == expected, "it is read as something else than was saved"


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for name, item in value.items() for leaf in [(*path, name), *_leaves(item, (*path, name))]]
    if isinstance(value, list):
        return [leaf for number, item in enumerate(value) for leaf in _leaves(item, (*path, number))]
    return [path] if path else []


def _tampered(state: Any, rng: np.random.Generator) -> Any:
    """A copy of a state in which something is another thing."""
    state = pickle.loads(pickle.dumps(state))
    leaves = _leaves(state)
    *path, last = leaves[rng.integers(len(leaves))]
    place = functools.reduce(lambda inner, key: inner[key], path, state)
    new: list[Any] = [None, -1, 0, 2**70, 1e308, float("nan"), float("inf"), "x", "", [], {}, [[]], True]
    new += [np.zeros(3), np.full((2, 2), np.nan), np.zeros(0, np.int64), np.array(["a"]), np.float32(1.5).reshape(())]
    if rng.random() < 0.2 and isinstance(place, dict):
        del place[last]
    else:
        place[last] = new[rng.integers(len(new))]
    return state


@attack(limit=LIMIT)
def resumes(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Well-formed checkpoints in which something was changed: a fit resumes, or refuses and leaves all as it was."""
    path = Path("tampered.ckpt")
    for _ in range(5):
        write_checkpoint(path, _tampered(checkpoint()[1], rng))
        made, loader = trainer()
        before = flat([made.model.state_dict(), made.optimizer.state_dict(), made.scheduler.state_dict()])
        history = read(counts, lambda made=made, loader=loader: made.fit(loader, loader, epochs=2, resume=path))
        after = flat([made.model.state_dict(), made.optimizer.state_dict(), made.scheduler.state_dict()])
        assert history is not None or after == before, "a refused checkpoint has changed the training"
        folder = Path("folder")
        folder.mkdir(exist_ok=True)
        (folder / "last.ckpt").write_bytes(damaged(checkpoint()[0], rng))
        (folder / "previous.ckpt").write_bytes(checkpoint()[0] if rng.random() < 0.7 else damaged(checkpoint()[0], rng))
        read(counts, lambda folder=folder: latest_checkpoint(folder))


@attack(limit=LIMIT, needs=("safetensors",))
def safetensors(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged .safetensors files, which have no checksum: refused, or some numbers."""
    content, _ = saved(".safetensors")
    path = Path("bad.safetensors")
    for _ in range(20):
        path.write_bytes(damaged(content, rng, [saved(".npz")[0]]))
        into_a_model(path, counts)
        read(counts, lambda: minidl.load(path))


@functools.cache
def exported(convolution: bool) -> bytes:
    """An ONNX file."""
    rnn = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.LayerNorm(4), nn.Softmax())
    model, path = net() if convolution else rnn, Path("made.onnx")
    minidl.export_onnx(model.eval(), path, (1, 1, 4, 4) if convolution else (1, 3))
    return path.read_bytes()


@attack(limit=LIMIT, needs=("onnx",))
def onnx(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged ONNX files, which have no checksum: refused, or some network."""
    path = Path("bad.onnx")
    for _ in range(5):
        one, other = (exported(flag) for flag in rng.permutation([True, False]).tolist())
        path.write_bytes(damaged(one, rng, [other]))
        read(counts, lambda: minidl.from_onnx(path))


@attack(limit=LIMIT)
def idx(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged IDX files, gzipped, which has a checksum, and not."""
    images = np.random.default_rng(0).integers(0, 256, (9, 5, 4), np.uint8)
    content = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape) + images.tobytes()
    zipped, path = gzip.compress(content, mtime=0), Path("bad")
    for _ in range(20):
        whole = content if rng.random() < 0.4 else zipped
        hurt = damaged(whole, rng)
        path.write_bytes(hurt)
        got = read(counts, lambda: read_idx(path))
        if got is not None and hurt[:2] == zipped[:2] and whole is zipped:
            assert np.array_equal(got, images), "a gzip file is read as something else than was saved"


@attack(limit=LIMIT)
def mnist(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Folders of MNIST's files in which some are damaged."""
    folder = Path("mnist")
    folder.mkdir()
    for part, count in (("train", 12), ("t10k", 6)):
        images = rng.integers(0, 256, (count, 5, 4), np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", np.arange(count, dtype=np.uint8) % 10)):
            content = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
            (folder / f"{part}-{name}-ubyte").write_bytes(content if rng.random() < 0.6 else damaged(content, rng))
    read(counts, lambda: load_mnist(folder), (*REFUSED, FileNotFoundError))


@functools.cache
def batches(binary: bool) -> dict[str, bytes]:
    """CIFAR's files, with a few images each."""
    rng, names = np.random.default_rng(0), [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    images, labels = rng.integers(0, 256, (2, 3072), np.uint8), np.array([1, 9], np.uint8)
    if binary:
        return {f"{name}.bin": np.hstack([labels[:, None], images]).tobytes() for name in names}
    return {name: pickle.dumps({"data": images, "labels": labels.tolist()}, protocol=2) for name in names}


@attack(limit=LIMIT)
def cifar(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged files of CIFAR-10, pickles among them, of which nothing may be run."""
    for _ in range(5):
        files = batches(binary=bool(rng.random() < 0.2))
        folder = Path(str(rng.integers(10**9)))
        folder.mkdir()
        hurt = rng.choice(list(files))
        for name, content in files.items():
            (folder / name).write_bytes(damaged(content, rng) if name == hurt else content)
        read(counts, lambda folder=folder: load_cifar10(folder))


FORMATS = ("PNG", "PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP")
MODES = {"PNG": ("L", "RGB", "RGBA", "P", "1", "LA", "I;16"), "GIF": ("P", "L"), "TIFF": ("L", "RGB", "F", "CMYK")}


@functools.cache
def picture(kind: str, mode: str) -> bytes:
    """An image file."""
    from PIL import Image

    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    image.save(stream, kind, **({"compression": "tiff_lzw"} if kind == "TIFF" and mode == "RGB" else {}))
    return stream.getvalue()


@attack(limit=LIMIT, needs=("PIL",))
def images(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged image files: refused, or some image; of a PNG, whose pieces have checksums, the image that it was."""
    path = Path("bad.png")
    for _ in range(20):
        kind = str(rng.choice(FORMATS))
        content = picture(kind, str(rng.choice(MODES.get(kind, ("L", "RGB")))))
        path.write_bytes(damaged(content, rng, [picture("PNG", "L"), picture("TIFF", "RGB")]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of what it has found
            got = read(counts, lambda: read_image(path, (8, 8)))
        assert got is None or (got.shape == (3, 8, 8) and np.isfinite(got).all())


@attack(limit=LIMIT)
def arrays(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged .npy files of images."""
    stream = io.BytesIO()
    np.save(stream, np.random.default_rng(0).random((3, 1, 4, 4), np.float32))
    path = Path("bad.npy")
    for _ in range(20):
        path.write_bytes(damaged(stream.getvalue(), rng) if rng.random() < 0.7 else _npy(rng))
        read(counts, lambda: list(image_batches([path], (1, 4, 4))))


@functools.cache
def finished_run() -> dict[str, bytes]:
    """The files of a run's folder."""
    folder = Path("run").absolute()
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["train", "--epochs", "2", "--run", str(folder), "--quiet"]) == 0
    np.save("images.npy", np.random.default_rng(0).random((2, 1, 8, 8), np.float32))
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {**files, "images.npy": Path("images.npy").read_bytes()}


@attack(limit=20.0)
def runs(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Run folders in which files are damaged, changed or gone: a result, or one line and exit code 2."""
    folder = Path("bad")
    folder.mkdir()
    files = finished_run()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    names = [name for name in files if name not in ("report.html", "images.npy")]
    for name in rng.choice(names, int(rng.integers(1, 3)), replace=False):
        if rng.random() < 0.1:
            (folder / name).unlink()
        else:
            (folder / name).write_bytes(damaged(files[name], rng, [files["config.toml"]]))
    commands: list[list[str]] = [["compare", "bad", "bad"], ["predict", "bad", "bad/images.npy"]]
    commands += [["export", "bad", "bad.onnx"]] + [["evaluate", "bad"]] * (rng.random() < 0.2)
    for command in commands:
        _run(command, counts)


def _run(command: list[str], counts: Counter[str]) -> None:
    out, err = io.StringIO(), io.StringIO()
    counts["files"] += 1
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(command)
    assert code in (0, 2), f"{command}: exit code {code}"
    assert not raw(out.getvalue() + err.getvalue()), f"{command}: control characters are shown"
    if code == 2:
        assert "error: " in err.getvalue().splitlines()[-1], f"{command}: {err.getvalue()}"
    assert "Traceback" not in err.getvalue(), err.getvalue()
    counts["read" if code == 0 else "refused"] += 1
