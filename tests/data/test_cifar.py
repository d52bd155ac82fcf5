"""CIFAR: both layouts, archives, and pickles that would like to run something."""

import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from minidl.data import load_cifar10, load_cifar100

RNG = np.random.default_rng(0)
FILES10 = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]


def parts(names, classes):
    return {
        name: (RNG.integers(0, 256, (4, 3072)).astype(np.uint8), RNG.integers(0, classes, 4).astype(np.uint8))
        for name in names
    }


def binary(images, labels, coarse=False):
    columns = [np.zeros((4, 1), np.uint8)] * coarse + [labels[:, None], images]
    return np.concatenate(columns, axis=1).tobytes()


def python2(images, labels, key):
    """As Python 2 and an old NumPy wrote it: byte strings throughout."""
    table = {key.encode(): [int(v) for v in labels], b"data": images, b"batch_label": b"x"}
    content = pickle.dumps(table, protocol=2)
    return content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray").replace(b"numpy._core", b"numpy.core")


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def check(datasets, made, names):
    for dataset, own in zip(datasets, names, strict=True):
        images, labels = dataset.arrays
        assert images.dtype == np.float32
        assert labels.dtype == np.int64
        np.testing.assert_allclose(images.reshape(-1, 3072), np.concatenate([made[n][0] for n in own]) / 255, rtol=1e-6)
        np.testing.assert_array_equal(labels, np.concatenate([made[n][1] for n in own]))


@pytest.mark.parametrize("place", ["", "cifar-10-batches-bin"])
def test_binary(place, tmp_path):
    made = parts(FILES10, 10)
    write(tmp_path / place, {f"{name}.bin": binary(*part) for name, part in made.items()})
    check(load_cifar10(tmp_path), made, (FILES10[:5], FILES10[5:]))


@pytest.mark.parametrize("place", ["", "cifar-10-batches-py"])
def test_python(place, tmp_path):
    made = parts(FILES10, 10)
    write(tmp_path / place, {name: python2(*part, "labels") for name, part in made.items()})
    check(load_cifar10(tmp_path), made, (FILES10[:5], FILES10[5:]))


def archive(path, contents):
    with tarfile.open(path, "w:gz") as file:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))


def test_archives(tmp_path):
    made = parts(FILES10, 10)
    archive(
        tmp_path / "cifar-10-binary.tar.gz",
        {f"cifar-10-batches-bin/{name}.bin": binary(*part) for name, part in made.items()},
    )
    check(load_cifar10(tmp_path), made, (FILES10[:5], FILES10[5:]))
    path = tmp_path / "cifar-10-binary.tar.gz"
    content = bytearray(path.read_bytes())
    for place in range(2000, len(content), 5000):  # flipped bytes do not become other pixels
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        with pytest.raises(ValueError, match="truncated or damaged archive"):
            load_cifar10(tmp_path)
    path.write_bytes(content)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match="truncated or damaged archive"):
        load_cifar10(tmp_path)
    archive(path, {"cifar-10-batches-bin/other": b""})
    with pytest.raises(ValueError, match="does not hold data_batch_1"):
        load_cifar10(tmp_path)


def test_cifar100(tmp_path):
    made = parts(["train", "test"], 100)
    write(tmp_path / "a", {f"{name}.bin": binary(*part, coarse=True) for name, part in made.items()})
    check(load_cifar100(tmp_path / "a"), made, (["train"], ["test"]))
    write(tmp_path / "b" / "cifar-100-python", {n: python2(*part, "fine_labels") for n, part in made.items()})
    check(load_cifar100(tmp_path / "b"), made, (["train"], ["test"]))


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def test_a_pickle_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = parts(FILES10, 10)
    contents = {name: python2(*part, "labels") for name, part in made.items()}
    for bad in (
        pickle.dumps({"data": Evil(), "labels": [0]}),
        pickle.dumps({"data": np.array([Evil()], object), "labels": [0]}),
        b"\x80\x02c__builtin__\neval\n(S'1'\ntR.",
        pickle.dumps([1, 2]),
        contents["data_batch_1"][:-100],
        b"",
    ):
        write(tmp_path, {**contents, "data_batch_3": bad})
        with pytest.raises(ValueError, match="data_batch_3 is not one of CIFAR's Python files, or it is damaged"):
            load_cifar10(tmp_path)
    assert not (tmp_path / "evil").exists()


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"load_cifar10: .* holds none of cifar-10-batches-bin, cifar-10-batch"):
        load_cifar10(tmp_path)
    made = parts(FILES10, 10)
    contents = {f"{name}.bin": binary(*part) for name, part in made.items()}
    write(tmp_path, {**contents, "test_batch.bin": contents["test_batch.bin"][:-1]})
    with pytest.raises(ValueError, match="test_batch: truncated or too long: 12291 bytes are not a multiple of 3073"):
        load_cifar10(tmp_path)
    write(tmp_path, {"test_batch.bin": bytes([77]) + bytes(3072)})
    with pytest.raises(ValueError, match="expected labels from 0 to 9, got 77"):
        load_cifar10(tmp_path)
