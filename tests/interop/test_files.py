"""Weights in files: round trips, damage, atomic writes."""

import os
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import nn


def model():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def test_round_trip(tmp_path):
    first, second = model(), model()
    minidl.save(first, tmp_path / "m.npz")
    minidl.load(second, str(tmp_path / "m.npz"))
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(second.state_dict()[name], value)
    with np.load(tmp_path / "m.npz", allow_pickle=False) as archive:  # an ordinary archive
        assert archive.files == list(first.state_dict())


def test_any_parameter_name_can_be_saved(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.file = nn.Parameter(np.ones(2))

    minidl.save(Odd(), tmp_path / "m.npz")
    minidl.load(Odd(), tmp_path / "m.npz")


def test_unknown_suffix_and_missing_file(tmp_path):
    with pytest.raises(ValueError, match=r"unknown file format '.pt' of .*m.pt; known: .npz"):
        minidl.save(model(), tmp_path / "m.pt")
    with pytest.raises(FileNotFoundError):
        minidl.load(model(), tmp_path / "none.npz")


def test_names_that_do_not_match_change_nothing(tmp_path):
    minidl.save(nn.Linear(3, 4), tmp_path / "m.npz")
    target = model()
    before = target.state_dict()
    with pytest.raises(ValueError, match=r"missing 0.weight; .*unexpected weight"):
        minidl.load(target, tmp_path / "m.npz")
    np.testing.assert_array_equal(target.state_dict()["0.weight"], before["0.weight"])


def test_every_truncation_and_every_flipped_byte_is_refused_or_harmless(tmp_path):
    saved = nn.Linear(2, 1)
    minidl.save(saved, tmp_path / "m.npz")
    content = (tmp_path / "m.npz").read_bytes()
    path, target = tmp_path / "bad.npz", nn.Linear(2, 1)
    before, expected = target.state_dict(), saved.state_dict()
    variants = [content[:length] for length in range(len(content))]
    for position in range(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 0xFF
        variants.append(bytes(flipped))
    for variant in variants:
        path.write_bytes(variant)
        try:
            minidl.load(target, path)
        except ValueError:
            for name, value in target.state_dict().items():
                np.testing.assert_array_equal(value, before[name])
        else:  # a byte that does not matter, such as a date in the archive
            for name, value in target.state_dict().items():
                np.testing.assert_array_equal(value, expected[name])
            target.load_state_dict(before)


def test_a_pickle_is_not_executed(tmp_path):
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(ran),)

    np.savez(tmp_path / "evil.npz", weight=np.array([Evil()], dtype=object), bias=np.zeros(1))
    with pytest.raises(ValueError, match="not an archive that minidl.save wrote"):
        minidl.load(nn.Linear(2, 1), tmp_path / "evil.npz")
    assert not ran.exists()


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    minidl.save(nn.Linear(2, 1), path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    for target, name in ((os, "fsync"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(target, name, fail)
            with pytest.raises(OSError, match="disk full"):
                minidl.save(nn.Linear(2, 1), path)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]
