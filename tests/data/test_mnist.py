"""MNIST's files: read, and refused when they are not what they say."""

import gzip
import shutil

import numpy as np
import pytest
from conftest import idx_bytes

from minidl.data import load_mnist, read_idx


def test_reads_gzipped_and_plain_files(fake_mnist):
    train, test = load_mnist(fake_mnist)  # train is gzipped there, test is not
    assert (len(train), len(test)) == (256, 128)
    images, labels = train.arrays
    assert images.shape == (256, 1, 28, 28)
    assert images.dtype == np.float32
    assert images.min() >= 0
    assert images.max() == 1
    assert labels.dtype == np.int64


def test_reads_the_other_spelling(fake_mnist, tmp_path):
    for path in fake_mnist.iterdir():
        shutil.copy(path, tmp_path / path.name.replace("-idx", ".idx"))
    assert len(load_mnist(str(tmp_path))[0]) == 256


def test_missing_folder_and_missing_file_are_named(fake_mnist, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder .*nowhere"):
        load_mnist(tmp_path / "nowhere")
    shutil.copytree(fake_mnist, tmp_path / "m")
    (tmp_path / "m" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="does not hold t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz"):
        load_mnist(tmp_path / "m")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_every_truncation_is_refused(suffix, tmp_path):
    content = idx_bytes(np.arange(24).reshape(2, 3, 4))
    if suffix:
        content = gzip.compress(content)
    path = tmp_path / f"images{suffix}"
    path.write_bytes(content)
    assert read_idx(path, axes=3).shape == (2, 3, 4)
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="truncated|not an IDX file"):
            read_idx(path, axes=3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"<html>404</html>",
            "not an IDX file of unsigned bytes: expected it to start with 00 00 08, got 3c 68 74 6d",
        ),
        (b"\0\0\x0d\1\0\0\0\1\0\0\0\0", "not an IDX file of unsigned bytes"),
        (idx_bytes(np.zeros(3)), r"expected 3 axes \(images\), got 1 \(labels\)"),
        (idx_bytes(np.zeros((2, 2, 2))) + b"x", "too long: sizes .* need 24 bytes, the file has 25"),
        (b"\0\0\x08\3" + b"\xff" * 12, "truncated: sizes"),
        (b"", "got nothing"),
    ],
)
def test_mislabelled_files_are_refused(content, message, tmp_path):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_idx(path, axes=3)


def test_damaged_gzip_is_refused(tmp_path):
    content = bytearray(gzip.compress(idx_bytes(np.arange(60).reshape(3, 4, 5))))
    path = tmp_path / "a.gz"
    for position in range(len(content)):
        damaged = content.copy()
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            result = read_idx(path, axes=3)
        except ValueError as error:
            assert "a.gz" in str(error)
        else:  # a flag or the time in gzip's header says nothing about the content
            assert position < 10
            assert result.shape == (3, 4, 5)


def test_images_of_two_sizes_and_empty_files_are_refused(fake_mnist, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(fake_mnist, folder)
    for images in (np.zeros((128, 5, 9)), np.zeros((0, 28, 28))):
        (folder / "t10k-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(len(images))))
        with pytest.raises(ValueError, match="expected images of one size for training and test"):
            load_mnist(folder)


def test_images_and_labels_must_match(fake_mnist, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(fake_mnist, folder)
    labels = folder / "t10k-labels-idx1-ubyte"
    labels.write_bytes(idx_bytes(np.zeros(127)))
    with pytest.raises(ValueError, match="t10k-images-idx3-ubyte holds 128 images, t10k-labels-idx1-ubyte 127 labels"):
        load_mnist(folder)
    labels.write_bytes(idx_bytes(np.full(128, 12)))
    with pytest.raises(ValueError, match="expected labels from 0 to 9, got 12"):
        load_mnist(folder)
