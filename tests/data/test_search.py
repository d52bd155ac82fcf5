"""The layouts in which datasets come, torchvision's and Kaggle's; more than one; where files are that are not found."""

import gzip
import shutil
import tarfile

import numpy as np
import pytest
from conftest import idx_bytes
from idx_files import IDX

from minidl import data
from minidl.data.search import find_files

TORCHVISION = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST", "emnist-letters": "EMNIST"}


def check(name, root):
    source = IDX[name]
    parts = source.write(root.parent / "made")
    for dataset, (images, labels) in zip(source.load(root, **source.options), parts, strict=True):
        np.testing.assert_allclose(dataset.arrays[0][:, 0], images / 255, rtol=1e-6)
        np.testing.assert_array_equal(dataset.arrays[1], labels)


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_layout_of_torchvision(name, tmp_path):
    root = tmp_path / "root"
    for other, folder in TORCHVISION.items():  # all in one root, whose files have the same names
        IDX[other].write(root / folder / "raw", (20, 10) if other != name else (90, 30))
    shutil.copytree(root / TORCHVISION[name] / "raw", root / TORCHVISION[name] / "raw" / "gzip")  # as EMNIST has it
    check(name, root)
    check(name, root / TORCHVISION[name])
    check(name, root / TORCHVISION[name] / "raw")
    (tmp_path / "above").mkdir()
    root.rename(tmp_path / "above" / "data")
    check(name, tmp_path / "above")


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "emnist-digits"])
def test_the_layout_of_kaggle(name, dot, tmp_path):
    IDX[name].write(tmp_path / "files")
    for path in (tmp_path / "files").iterdir():
        plain = path.name.removesuffix(".gz")
        spelled = plain.replace("-idx", ".idx") if dot else plain
        place = tmp_path / "root" / "archive" / plain / spelled
        place.parent.mkdir(parents=True)
        place.write_bytes(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    check(name, tmp_path / "root")
    check(name, tmp_path / "root" / "archive")
    for path in list((tmp_path / "root" / "archive").glob("*/*")):  # Kaggle has each file twice, once with a dot
        shutil.copy(path, tmp_path / "root" / "archive" / path.name.replace("-idx", ".idx"))
    if not dot:
        check(name, tmp_path / "root")
    with pytest.raises(FileNotFoundError, match=f"such files are in .*{tmp_path / 'root' / 'archive'}"):
        IDX[name].load(place.parent, **IDX[name].options)


def test_files_that_are_there_twice_are_refused(tmp_path):
    for folder in ("MNIST/raw", "mnist2/raw"):
        IDX["mnist"].write(tmp_path / folder)
    with pytest.raises(ValueError, match="load_mnist: .* more than once: MNIST/raw, mnist2/raw; give the folder that"):
        data.load_mnist(tmp_path)
    shutil.rmtree(tmp_path / "mnist2")
    (tmp_path / "mnist2").symlink_to(tmp_path / "MNIST")  # the same folder
    check("mnist", tmp_path)
    (tmp_path / "mnist2").unlink()
    for path in list((tmp_path / "MNIST" / "raw").iterdir()):  # each file in a folder of its own, one of them twice
        for folder in ("data", "archive") if "t10k-labels" in path.name else ("data",):
            place = tmp_path / folder / path.name.removesuffix(".gz") / path.name
            place.parent.mkdir(parents=True)
            shutil.copy(path, place)
    shutil.rmtree(tmp_path / "MNIST")
    with pytest.raises(
        ValueError, match="more than once: archive/t10k-labels-idx1-ubyte.*, data/t10k-labels-idx1-ubyte"
    ):
        data.load_mnist(tmp_path)


def test_the_files_of_another_dataset_are_not_taken(tmp_path):
    IDX["fashion_mnist"].write(tmp_path / "FashionMNIST" / "raw")
    place = tmp_path / "FashionMNIST" / "raw"
    for load in (data.load_mnist, data.load_kmnist):
        with pytest.raises(
            FileNotFoundError, match=f"does not hold train-images-idx3-ubyte or .*; such files are in {place}"
        ):
            load(tmp_path)
    check("fashion_mnist", tmp_path)


def test_messages_say_where_the_files_are(tmp_path):
    IDX["mnist"].write(tmp_path / "some" / "where")
    with pytest.raises(FileNotFoundError, match=f"download=True fetches them; such files are in {tmp_path}/some/where"):
        data.load_mnist(tmp_path)
    (tmp_path / "some" / "where" / "low").mkdir()
    with pytest.raises(FileNotFoundError, match=f"such files are in {tmp_path}/some/where"):
        data.load_mnist(tmp_path / "some" / "where" / "low")
    file = tmp_path / "some" / "where" / "train-images-idx3-ubyte.gz"
    with pytest.raises(
        FileNotFoundError, match=f"there is no folder {file}; .* is a file: give the folder that holds it"
    ):
        data.load_mnist(file)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "mnist.npz").write_bytes(b"")  # as Keras has it
    (tmp_path / "tables" / "mnist_train.csv").write_text("label,1x1\n5,0\n")
    with pytest.raises(
        FileNotFoundError, match=r"mnist.npz, mnist_train.csv cannot be read, only the dataset's own files"
    ):
        data.load_mnist(tmp_path / "tables")


def test_a_circle_of_links_ends(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "raw").symlink_to(tmp_path)
    assert find_files(tmp_path, {"a": ["a"]}, lambda name: True) == {}


def cifar_files(folder):
    folder.mkdir(parents=True)
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"):
        (folder / name).write_bytes(bytes([3]) + bytes(3072))


def test_cifar_below_a_folder_above_it_and_twice(tmp_path):
    cifar_files(tmp_path / "data" / "cifar10" / "cifar-10-batches-bin")
    for root in (tmp_path, tmp_path / "data"):
        assert data.load_cifar10(root)[1].arrays[1].tolist() == [3]
    with pytest.raises(FileNotFoundError, match=f"such files are in {tmp_path}/data/cifar10/cifar-10-batches-bin"):
        (tmp_path / "data" / "cifar10" / "cifar-10-batches-bin" / "low").mkdir()
        data.load_cifar10(tmp_path / "data" / "cifar10" / "cifar-10-batches-bin" / "low")
    with pytest.raises(FileNotFoundError, match="load_cifar100: .* holds none of"):
        data.load_cifar100(tmp_path)
    for name in ("cifar", "other-cifar"):
        cifar_files(tmp_path / "data" / name)
    with pytest.raises(ValueError, match="load_cifar10: .* more than once: cifar, other-cifar"):
        data.load_cifar10(tmp_path / "data")


def test_an_archive_that_a_browser_has_unpacked(tmp_path):
    cifar_files(tmp_path / "made" / "cifar-10-batches-bin")
    for name in ("cifar-10-binary.tar.gz", "cifar-10-binary.tar"):  # neither is gzipped
        root = tmp_path / name.replace(".", "_")
        root.mkdir()
        with tarfile.open(root / name, "w") as archive:
            archive.add(tmp_path / "made" / "cifar-10-batches-bin", "cifar-10-batches-bin")
        assert data.load_cifar10(root)[0].arrays[1].tolist() == [3] * 5


@pytest.mark.parametrize(
    ("load", "name"),
    [(data.load_emnist, "gzip.zip"), (data.load_cifar10, "cifar-10-binary.tar.gz")],
)
def test_a_web_page_in_the_place_of_an_archive_is_named(load, name, tmp_path):
    (tmp_path / name).write_bytes(b"<!DOCTYPE html>" + bytes(1000))
    with pytest.raises(
        ValueError, match=rf"{load.__name__}: .*{name}: truncated or damaged archive .*; it is a web page$"
    ):
        load(tmp_path)


ARRAY = np.arange(24).reshape(2, 3, 4)


@pytest.mark.parametrize(("name", "zipped"), [("a.gz", False), ("a", True), ("a-idx3-ubyte.gz", True)])
def test_a_file_is_read_for_what_it_is(name, zipped, tmp_path):
    content = idx_bytes(ARRAY)
    (tmp_path / name).write_bytes(gzip.compress(content) if zipped else content)
    np.testing.assert_array_equal(data.read_idx(tmp_path / name, axes=3), ARRAY)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<!DOCTYPE html>", "a web page"),
        (b"\n<html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS, without its content"),
        (gzip.compress(gzip.compress(idx_bytes(ARRAY))), "a gzip file"),
        (b"PK\3\4" + bytes(30), "a zip archive"),
        (b"BZh91AY", "a bzip2 file"),
        (b"\x93NUMPY\1\0", "a .npy file"),
    ],
)
@pytest.mark.parametrize("name", ["a.gz", "a"])
def test_a_file_of_another_kind_is_named(name, content, kind, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"not an IDX file of unsigned bytes: .*; it is {kind}$"):
        data.read_idx(tmp_path / name)
