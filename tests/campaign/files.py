"""Damaged and spliced files of every kind: refused with a clear error, or read; never wrong by a checksum."""

from __future__ import annotations

import functools
import gzip
import io
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np

import minidl
from minidl.data import load_cifar10, load_emnist, load_mnist, read_image
from minidl.data.idx import read_idx
from minidl.data.images import image_batches
from minidl.training.checkpoint import latest_checkpoint, read_checkpoint

from .damage import damaged
from .frame import attack
from .samples import LIMIT, REFUSED, checkpoint, command, exported, finished_run, flat, into_a_model, read, saved


@attack(limit=LIMIT)
def npz(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged .npz files of weights: refused, or what was saved."""
    content, state = saved(".npz")
    other, other_state = saved(".npz", 1)
    path = Path("bad.npz")
    for _ in range(20):
        path.write_bytes(damaged(content, rng, [other]))
        counts["files"] += 1
        got = into_a_model(path, counts)
        if got is not None:  # a piece of another file may be whole
            wrong = [n for n in got if not any(np.array_equal(got[n], s[n]) for s in (state, other_state))]
            assert not wrong, f"{wrong} are not what was saved"
        read(counts, lambda: minidl.load(path))


@attack(limit=LIMIT)
def checkpoints(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged checkpoints: refused, or what was saved."""
    content, state = checkpoint()
    expected, path = flat(state), Path("bad.ckpt")
    for _ in range(20):
        path.write_bytes(damaged(content, rng))
        counts["files"] += 1
        got = read(counts, lambda: read_checkpoint(path))
        assert got is None or flat(got) == expected, "it is read as something else than was saved"
        folder = Path("folder")
        folder.mkdir(exist_ok=True)
        for name in ("last.ckpt", "previous.ckpt"):
            (folder / name).write_bytes(content if rng.random() < 0.4 else damaged(content, rng))
        found = read(counts, lambda folder=folder: latest_checkpoint(folder))
        assert found is None or flat(found[0]) == expected


@attack(limit=LIMIT, needs=("safetensors",))
def safetensors(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged .safetensors files, which have no checksum: refused, or some numbers."""
    content, _ = saved(".safetensors")
    path = Path("bad.safetensors")
    for _ in range(20):
        path.write_bytes(damaged(content, rng, [saved(".npz")[0]]))
        counts["files"] += 1
        into_a_model(path, counts)
        read(counts, lambda: minidl.load(path))


@attack(limit=LIMIT, needs=("onnx",))
def onnx(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged ONNX files, which have no checksum: refused, or some network."""
    path = Path("bad.onnx")
    for _ in range(5):
        one, other = (exported(flag) for flag in rng.permutation([True, False]).tolist())
        path.write_bytes(damaged(one, rng, [other]))
        counts["files"] += 1
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
        counts["files"] += 1
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
    counts["folders"] += 1
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
        counts["files"] += 1
        read(counts, lambda folder=folder: load_cifar10(folder))


@functools.cache
def archive(zipped: bool) -> tuple[bytes, np.ndarray]:
    """EMNIST's archive, or CIFAR-10's, with a few images each; and the pixels for training in it."""
    stream, rng = io.BytesIO(), np.random.default_rng(0)
    if not zipped:
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            for name, content in batches(binary=True).items():
                entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        rows = [np.frombuffer(content, np.uint8).reshape(2, 3073)[:, 1:] for content in batches(binary=True).values()]
        return stream.getvalue(), np.concatenate(rows[:5]).reshape(-1, 3, 32, 32)
    made = {part: rng.integers(0, 256, (count, 28, 28), np.uint8) for part, count in (("train", 12), ("test", 6))}
    with zipfile.ZipFile(stream, "w") as whole:
        for part, pictures in made.items():
            labels = np.arange(len(pictures), dtype=np.uint8) % 10
            for kind, array in (("images-idx3", pictures), ("labels-idx1", labels)):
                content = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
                whole.writestr(f"gzip/emnist-digits-{part}-{kind}-ubyte.gz", gzip.compress(content, mtime=0))
    return stream.getvalue(), made["train"].transpose(0, 2, 1)[:, None]


@attack(limit=LIMIT)
def archives(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged archives of datasets, whose contents have checksums: refused, or what was in them."""
    for number in range(5):
        zipped, folder = bool(rng.random() < 0.5), Path(str(number))
        folder.mkdir()
        content, expected = archive(zipped)
        (folder / ("gzip.zip" if zipped else "cifar-10-binary.tar.gz")).write_bytes(damaged(content, rng))
        counts["files"] += 1
        load = partial(load_emnist, folder, "digits") if zipped else partial(load_cifar10, folder)
        got = read(counts, load)
        right = got is None or np.array_equal(np.rint(got[0].arrays[0] * 255), expected)
        assert right, "an archive is read as something else than was in it"


FORMATS = ("PNG", "PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP", "MPO")
MODES = {"PNG": ("L", "RGB", "RGBA", "P", "1", "LA", "I;16"), "GIF": ("P", "L"), "TIFF": ("L", "RGB", "F", "CMYK", "1")}
PACKED = {"L": "tiff_deflate", "RGB": "tiff_lzw", "CMYK": "jpeg", "1": "group4", "F": "packbits"}


@functools.cache
def picture(kind: str, mode: str) -> bytes:
    """An image file."""
    from PIL import Image

    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), np.uint8)
    image = Image.fromarray(pixels)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    options: dict[str, object] = {"compression": PACKED[mode]} if kind == "TIFF" else {}
    if kind in ("GIF", "MPO") or (kind == "PNG" and mode == "RGBA"):  # several images
        options |= {"save_all": True, "append_images": [image.rotate(180)]}
    if kind in ("JPEG", "PNG", "WEBP"):
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6  # turned by a quarter
    image.save(stream, kind, **options)
    return stream.getvalue()


@attack(limit=LIMIT, needs=("PIL",))
def images(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged image files: refused, or some image; of a PNG, whose pieces have checksums, the image that it was."""
    path = Path("bad.png")
    for _ in range(20):
        kind = str(rng.choice(FORMATS))
        mode = str(rng.choice(MODES.get(kind, ("L", "RGB"))))
        path.write_bytes(damaged(picture(kind, mode), rng, [picture("PNG", "L"), picture("TIFF", "RGB")]))
        counts["files"] += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of what it has found
            got = read(counts, lambda: read_image(path, (9, 7)))
        assert got is None or (got.shape == (3, 9, 7) and np.isfinite(got).all())
        if kind == "PNG" and got is not None and path.read_bytes()[:4] == b"\x89PNG":
            known = (pixels(kind, mode), pixels("PNG", "L"), pixels("TIFF", "RGB"))
            assert any(np.array_equal(got, own) for own in known), f"a PNG {mode} is read as another image"


@functools.cache
def pixels(kind: str, mode: str) -> np.ndarray:
    """What is read of `picture`."""
    Path("good").write_bytes(picture(kind, mode))
    return read_image("good", (9, 7))


@attack(limit=LIMIT)
def arrays(rng: np.random.Generator, counts: Counter[str]) -> None:
    """Damaged .npy files of images."""
    stream = io.BytesIO()
    np.save(stream, np.random.default_rng(0).random((3, 1, 4, 4), np.float32))
    path = Path("bad.npy")
    for _ in range(20):
        path.write_bytes(damaged(stream.getvalue(), rng))
        counts["files"] += 1
        read(counts, lambda: list(image_batches([path], (1, 4, 4))))


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
        counts["files"] += 1
    commands: list[list[str]] = [["compare", "bad", "bad"], ["predict", "bad", "bad/images.npy"]]
    commands += [["export", "bad", "bad.onnx"]] + [["evaluate", "bad"]] * (rng.random() < 0.2)
    commands += [["train", "--resume", "bad", "--epochs", "2"]] * (rng.random() < 0.2)
    for words in commands:
        command(words, counts)
