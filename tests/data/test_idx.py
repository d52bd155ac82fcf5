"""IDX files: read, and refused when they are not what they say."""

import gzip

import numpy as np
import pytest
from conftest import idx_bytes

from minidl.data import read_idx


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
    with pytest.raises(ValueError, match=message) as error:
        read_idx(path, axes=3)
    assert str(error.value).startswith(f"read_idx: {path}: ")


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


def test_any_number_of_axes_is_read_if_none_is_expected(tmp_path):
    for shape in ((5,), (2, 3), (2, 3, 4), (2, 1, 2, 2)):
        values = np.arange(np.prod(shape)).reshape(shape)
        (tmp_path / "a").write_bytes(idx_bytes(values))
        np.testing.assert_array_equal(read_idx(str(tmp_path / "a")), values)
        assert read_idx(tmp_path / "a").dtype == np.uint8
    (tmp_path / "a").write_bytes(b"\0\0\x08\xc8" + bytes(4 * 200))  # 200 axes, more than NumPy has
    with pytest.raises(ValueError, match="read_idx: "):
        read_idx(tmp_path / "a")


def test_what_is_not_a_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="read_idx: there is no file .*nothing"):
        read_idx(tmp_path / "nothing")
    with pytest.raises(TypeError, match="read_idx: "):
        read_idx(None)
