"""Weights in files: round trips, damage, atomic writes."""

import io
import os
import zipfile
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
    with pytest.raises(ValueError, match=r"unknown file format '.pt' of .*m.pt; known: .npz, .safetensors"):
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
    with pytest.raises(ValueError, match="is not a file that minidl.save wrote"):
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


def test_safetensors_round_trip_and_pytorchs_reader(tmp_path, torch):
    from safetensors.torch import load_file, save_file

    ours, theirs = (
        nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)),
        torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)),
    )
    minidl.save(ours, tmp_path / "m.safetensors")
    theirs.load_state_dict(load_file(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(theirs[0].weight.detach().numpy(), ours[0].weight.data)
    theirs(torch.ones(4, 3) * torch.arange(4)[:, None])
    save_file(theirs.state_dict(), tmp_path / "t.safetensors")
    minidl.load(ours, tmp_path / "t.safetensors")
    np.testing.assert_array_equal(ours[1].running_mean, theirs[1].running_mean.numpy())
    assert int(ours[1].num_batches_tracked) == 1


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_hostile_files_are_refused_and_change_nothing(suffix, tmp_path):
    pytest.importorskip("safetensors")
    layer = nn.Linear(2, 1)
    path = tmp_path / f"m{suffix}"
    minidl.save(layer, path)
    content, before = path.read_bytes(), layer.state_dict()
    huge = b'{"weight":{"dtype":"F32","shape":[1152921504606846976,2],"data_offsets":[0,8]}}'
    variants = {
        "a header that claims 2**60 bytes": (2**60).to_bytes(8, "little") + content[8:],
        "a shape of 2**60 numbers": len(huge).to_bytes(8, "little") + huge + b"12345678",
        "another format": b"PK" + content if suffix == ".safetensors" else b"GGUF" + content[4:],
        "nothing": b"",
        "a pickle": b"\x80\x04K*.",
    }
    if suffix == ".npz":
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive, archive.open("weight.npy", "w") as member:
            header = {"descr": "<f4", "fortran_order": False, "shape": (2**30, 2**30)}
            np.lib.format.write_array_header_1_0(member, header)
        variants["a shape of 2**60 numbers"] = stream.getvalue()
    for name, bad in variants.items():
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="is not a file that minidl.save wrote, or it is damaged"):
            minidl.load(layer, path)
        np.testing.assert_array_equal(layer.weight.data, before["weight"], err_msg=name)


def test_every_truncation_and_flip_of_a_safetensors_file(tmp_path):
    pytest.importorskip("safetensors")
    layer = nn.Linear(2, 1)
    path = tmp_path / "m.safetensors"
    minidl.save(layer, path)
    content, before = path.read_bytes(), layer.state_dict()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="damaged"):
            minidl.load(layer, path)
    header = 8 + int.from_bytes(content[:8], "little")
    for position in range(header):  # the numbers themselves carry no checksum
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        try:
            minidl.load(layer, path)
        except (ValueError, TypeError):
            np.testing.assert_array_equal(layer.weight.data, before["weight"])
        layer.load_state_dict(before)


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'minidl\[safetensors\]'"):
        minidl.save(nn.Linear(1, 1), tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_round_trip(tmp_path):
    net = model()
    optimizer = minidl.optim.Adam(net.params())
    net.backward(np.ones_like(net(np.ones((2, 3), np.float32))))
    optimizer.step()
    checkpoint = {
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "best": np.float64(0.75),
        "name": "ü",
        "history": [(1, 0.5), (2, float("inf")), [], None, True],
        7: {"deep": [{"array": np.arange(3, dtype=np.uint8)}]},
        "empty": {},
        "parameter": net[0].bias,
    }
    minidl.save(checkpoint, tmp_path / "c.npz")
    loaded = minidl.load(tmp_path / "c.npz", map_location="cpu")
    assert list(loaded) == list(checkpoint)
    assert (loaded["epoch"], loaded["best"], loaded["name"], loaded["empty"]) == (3, 0.75, "ü", {})
    assert loaded["history"] == [[1, 0.5], [2, float("inf")], [], None, True]
    np.testing.assert_array_equal(loaded[7]["deep"][0]["array"], np.arange(3, dtype=np.uint8))
    np.testing.assert_array_equal(loaded["parameter"], net[0].bias.data)
    other = model()
    other.load_state_dict(loaded["net"])
    fresh = minidl.optim.Adam(other.params())
    fresh.load_state_dict(loaded["optimizer"])
    for mine, theirs in zip(optimizer.state.values(), fresh.state.values(), strict=True):
        assert mine["step"] == theirs["step"]
        np.testing.assert_array_equal(mine["exp_avg"], theirs["exp_avg"])
    with pytest.raises(ValueError, match=r"holds a dict of 'net', 'optimizer'.*not a state dict: checkpoint ="):
        minidl.load(model(), tmp_path / "c.npz")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_state_dict_is_the_same_file_as_its_module(suffix, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    net = model()
    minidl.save(net, tmp_path / f"a{suffix}")
    minidl.save(net.state_dict(), tmp_path / f"b{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    minidl.load(other := model(), tmp_path / f"b{suffix}")
    for name, value in minidl.load(tmp_path / f"a{suffix}").items():
        np.testing.assert_array_equal(value, other.state_dict()[name])


def test_what_cannot_be_saved_is_named(tmp_path):
    for wrong, message in (
        ({"a": [1, {"b": {1, 2}}]}, r"cannot save a set, which state\['a'\]\[1\]\['b'\] is: \{1, 2\}"),
        ({"net": model()}, r"cannot save a Sequential, which state\['net'\] is; give its state_dict\(\)"),
        ({"x": np.array([object()])}, r"cannot save a ndarray, which state\['x'\] is"),
        ("m.npz", r"save: the model or state comes first, then the path"),
    ):
        with pytest.raises(TypeError, match=message):
            minidl.save(wrong, tmp_path / "c.npz")
    with pytest.raises(ValueError, match=r"a .safetensors file holds arrays by name and nothing else"):
        minidl.save({"epoch": 3}, tmp_path / "c.safetensors")
    with pytest.raises(ValueError, match=r"'.pth' of .*known: .npz, .safetensors; PyTorch's own files are pickles"):
        minidl.load(tmp_path / "c.pth")
    with pytest.raises(TypeError, match=r"load: expected load\(model, path\) or load\(path\)"):
        minidl.load({"a": 1}, tmp_path / "c.npz")
    with pytest.raises(TypeError, match=r"load: expected a path after the module"):
        minidl.load(model())
    with pytest.raises(ValueError, match=r"load: minidl computes on the CPU"):
        minidl.load(tmp_path / "c.npz", map_location="cuda")
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_refused(tmp_path):
    minidl.save({"epoch": 3, "w": np.arange(4.0), "more": [np.ones(2)]}, tmp_path / "c.npz")
    content = (tmp_path / "c.npz").read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "bad.npz").write_bytes(content[:length])
        with pytest.raises(ValueError, match="not a file that minidl.save wrote, or it is damaged"):
            minidl.load(tmp_path / "bad.npz")


def test_one_flipped_bit_is_noticed_or_harms_nothing(tmp_path):
    """The length and the dtype in a member's header, too: NumPy does not read as far as the checksum."""
    model, path = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64)), tmp_path / "model.npz"
    minidl.save(model, path)
    whole, expected = path.read_bytes(), model.state_dict()
    headers = [i for i in range(len(whole)) if whole[i : i + 6] == b"\x93NUMPY"]
    bits = [8 * (start + byte) + bit for start in headers[:2] for byte in range(6, 80) for bit in range(8)]
    bits += list(np.random.default_rng(14).integers(0, 8 * len(whole), 300))
    refused = 0
    for number in bits:
        damaged = bytearray(whole)
        damaged[number // 8] ^= 1 << (number % 8)
        path.write_bytes(damaged)
        twin = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64))
        try:
            minidl.load(twin, path)
        except ValueError:
            refused += 1
        else:
            state = twin.state_dict()
            assert all(np.array_equal(state[name], value) for name, value in expected.items()), number
    assert refused > len(bits) / 2


def test_files_of_numpys_savez_load(tmp_path):
    model = nn.Linear(5, 3)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "model.npz", **model.state_dict())
        twin = nn.Linear(5, 3)
        minidl.load(twin, tmp_path / "model.npz")
        np.testing.assert_array_equal(twin.weight.data, model.weight.data)


def test_arrays_without_axes_stay_so_in_safetensors(tmp_path):
    pytest.importorskip("safetensors")
    model = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    model(np.ones((4, 5), np.float32))
    minidl.save(model, tmp_path / "model.safetensors")
    twin = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    minidl.load(twin, tmp_path / "model.safetensors")
    assert twin[1].num_batches_tracked.shape == ()
    assert twin[1].num_batches_tracked == 1
