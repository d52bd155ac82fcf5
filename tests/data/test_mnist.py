"""The datasets in MNIST's format: read, and refused when their files do not fit together."""

import gzip
import shutil
import zipfile

import numpy as np
import pytest
from conftest import idx_bytes
from idx_files import IDX

from minidl.data import load_emnist, load_mnist, mnist


def test_every_loader_has_an_entry():
    assert {source.load.__name__ for source in IDX.values()} == set(mnist.__all__)
    splits = {source.options["split"] for source in IDX.values() if source.options}
    assert splits == set(mnist._EMNIST_CLASSES)


@pytest.mark.parametrize("name", IDX)
def test_images_and_labels_are_those_of_the_files(name, tmp_path):
    source = IDX[name]
    parts = source.write(tmp_path, (90, 64))
    for dataset, (images, labels) in zip(source.load(tmp_path, **source.options), parts, strict=True):
        own, own_labels = dataset.arrays
        assert (own.dtype, own_labels.dtype) == (np.float32, np.int64)
        assert own.flags.c_contiguous
        np.testing.assert_allclose(own[:, 0], images / 255, rtol=1e-6)  # upright
        np.testing.assert_array_equal(own_labels, labels)  # from 0
        assert len(dataset.classes) == len(set(dataset.classes)) == source.classes


@pytest.mark.parametrize("name", IDX)
def test_labels_out_of_range_and_missing_files_are_named(name, tmp_path):
    source = IDX[name]
    source.write(tmp_path)
    labels, first = tmp_path / f"{source.test}-labels-idx1-ubyte", source.first_label
    for wrong in (first + source.classes, *([first - 1] if first else [])):
        labels.write_bytes(idx_bytes(np.array([first] * 29 + [wrong])))
        last = first + source.classes - 1
        with pytest.raises(ValueError, match=f"{source.load.__name__}: expected labels from {first} to {last}, got"):
            source.load(tmp_path, **source.options)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=f"{source.load.__name__}: .* does not hold {labels.name}"):
        source.load(tmp_path, **source.options)


@pytest.mark.parametrize("name", IDX)
def test_what_is_wrong_with_a_file_is_told_by_the_loader(name, tmp_path):
    source = IDX[name]
    source.write(tmp_path)
    path = tmp_path / f"{source.train}-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=f"{source.load.__name__}: .*{path.name}: truncated or damaged gzip file"):
        source.load(tmp_path, **source.options)
    with pytest.raises(TypeError, match=f"{source.load.__name__}: .*NoneType"):
        source.load(None, **source.options)


def test_the_classes_of_emnist():
    source = IDX["emnist-balanced"]
    assert mnist._EMNIST_CLASSES["letters"] == "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    balanced = mnist._EMNIST_CLASSES["balanced"]
    assert len(balanced) == source.classes
    # the code of a class is in emnist-balanced-mapping.txt; here are some of its lines
    for label, code in ((0, 48), (9, 57), (10, 65), (35, 90), (36, 97), (38, 100), (42, 104), (44, 113), (46, 116)):
        assert ord(balanced[label]) == code
    with pytest.raises(ValueError, match="load_emnist: split must be one of 'balanced', 'byclass', .* got 'odd'"):
        load_emnist(".", "odd")


def test_emnist_is_read_from_its_archive(tmp_path):
    source = IDX["emnist-letters"]
    (_, (images, labels)) = source.write(tmp_path / "files")
    for path in list((tmp_path / "files").iterdir()):
        if path.suffix != ".gz":  # all files are gzipped in the archive
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    archive = tmp_path / "gzip.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in (tmp_path / "files").glob("*.gz"):
            zipped.write(path, f"gzip/{path.name}")
    test = load_emnist(tmp_path, "letters")[1]
    np.testing.assert_allclose(test.arrays[0][:, 0], images / 255, rtol=1e-6)
    np.testing.assert_array_equal(test.arrays[1], labels)
    with pytest.raises(ValueError, match=r"load_emnist: .*gzip.zip does not hold emnist-digits-train-images-idx3-uby"):
        load_emnist(tmp_path, "digits")
    content = bytearray(archive.read_bytes())
    for place in range(500, len(content), 4000):
        archive.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        with pytest.raises(ValueError, match="load_emnist: .*gzip.zip"):
            load_emnist(tmp_path, "letters")
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="load_emnist: .*gzip.zip: truncated or damaged archive"):
        load_emnist(tmp_path, "letters")
    archive.unlink()
    with pytest.raises(FileNotFoundError, match="does not hold .*idx3-ubyte, .*.gz or gzip.zip; download=True fetches"):
        load_emnist(tmp_path, "letters")


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
