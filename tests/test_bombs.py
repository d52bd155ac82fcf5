"""What small files claim is compared with a limit before it is unpacked; the limit can be raised."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bombs import BOMBS, bombs, gzipped

import minidl
from minidl import models, nn
from minidl._core import TooLargeError, allowed_size, check_size
from minidl.cli import main
from minidl.cli.recipe import Recipe
from minidl.data import read_idx


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What the bombs came to in a process of their own, by name."""
    folder = tmp_path_factory.mktemp("bombs")
    bombs(folder)
    program = Path(__file__).with_name("bombs.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, program, folder], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(found) == len(BOMBS), result.stderr
    return {outcome["name"]: outcome for outcome in found}


@pytest.mark.parametrize("name", BOMBS)
def test_small_files_take_no_gigabytes(name, outcomes):
    if name.startswith("safetensors"):
        pytest.importorskip("safetensors")
    outcome = outcomes[name]
    assert outcome["message"].startswith(("ValueError", "TooLargeError")), outcome
    assert outcome["seconds"] < 1, outcome
    assert outcome["bytes"] < 200e6, outcome


def test_the_message_says_what_to_do(outcomes):
    text = outcomes["npz, 4 GB of zeros"]["message"]
    for part in (
        "a.npz: unpacked it takes 4.2 GB",
        "allowed are 268.4 MB for 4.1 MB of data",
        "MINIDL_MAX_BYTES to 41943",
    ):
        assert part in text
    assert "members overlap" in outcomes["npz, twice the same"]["message"]


def test_the_limit_can_be_raised(tmp_path, monkeypatch):
    path = tmp_path / "x.gz"
    path.write_bytes(gzipped(b"\0\0\x08\x02\0\0\4\0\0\0\4\0", 2**20))
    monkeypatch.setenv("MINIDL_MAX_BYTES", "1000000")
    with pytest.raises(ValueError, match=r"x.gz: unpacked it takes 1.0 MB, and allowed are 1.0 MB for"):
        read_idx(path)
    monkeypatch.setenv("MINIDL_MAX_BYTES", "1048588")
    with pytest.raises(ValueError, match="CRC"):  # all of it was unpacked
        read_idx(path)
    monkeypatch.setenv("MINIDL_MAX_BYTES", "lots")
    with pytest.raises(ValueError, match="MINIDL_MAX_BYTES must be a number of bytes, got 'lots'"):
        read_idx(path)


def test_what_is_as_large_as_it_claims_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIDL_MAX_BYTES", "0")
    state = {f"layer{n}.weight": np.zeros((64, 64), np.float32) for n in range(4)}
    minidl.save(state, tmp_path / "a.npz")
    np.testing.assert_array_equal(minidl.load(tmp_path / "a.npz")["layer3.weight"], 0)
    with pytest.raises(TooLargeError, match="it claims 33 bytes, and allowed are 32 bytes for 1 bytes of data"):
        check_size("a", 33, 1, "it claims")
    assert allowed_size(10**9) == 32 * 10**9


def test_compressed_weights_are_read(tmp_path):
    model = models.small_vgg()
    state = model.state_dict()
    zeros = {f"moment.{name}": np.zeros_like(value) for name, value in state.items()}
    np.savez_compressed(tmp_path / "a.npz", **state, **zeros, nothing=np.zeros((0, 3)), number=np.float64(3))
    again = minidl.load(tmp_path / "a.npz")
    assert set(again) == {*state, *zeros, "nothing", "number"}
    minidl.load(model, tmp_path / "a.npz", strict=False)
    np.savez_compressed(tmp_path / "b.npz", w=np.zeros((20, 10**6), np.float32))  # a thousand times smaller
    assert minidl.load(tmp_path / "b.npz")["w"].shape == (20, 10**6)


def test_arrays_in_every_order_and_form(tmp_path):
    arrays = {
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "scalar": np.array(2.0),
        "empty": np.zeros((0, 5), np.int16),
        "flags": np.array([True, False]),
        "big": np.arange(3, dtype=">f8"),
        "text": np.array(["a", "bcd"]),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    for name, value in minidl.load(tmp_path / "a.npz").items():
        np.testing.assert_array_equal(value, arrays[name])
        assert value.dtype == arrays[name].dtype


def test_objects_are_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", w=np.array([nn.ReLU], object))
    with pytest.raises(ValueError, match="w.npy holds Python objects, which are not read"):
        minidl.load(tmp_path / "a.npz")


CLAIMS = {  # a file of a run's folder, what is put into it, and what is said
    "a dry run on a huge image": (
        "environment.json",
        '{"classes": ["a"], "input_shape": [1, 100000, 100000]}',
        "environment.json: a dry run on an image of shape (1, 100000, 100000) takes 640.0 GB, and allowed are",
    ),
    "deep JSON": ("environment.json", "[" * 10**5, "environment.json is damaged"),
    "deep TOML": ("config.toml", "a = " + "[" * 10**5, "config.toml is not a TOML file"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_files_of_a_run_that_claim_too_much(name, tmp_path, capsys):
    file, content, message = CLAIMS[name]
    recipe = Recipe()
    lines = [f"{key} = {json.dumps(value)}" for key, value in recipe.as_dict().items()]
    (tmp_path / "config.toml").write_text("\n".join(lines))
    (tmp_path / "environment.json").write_text('{"classes": ["a"], "input_shape": [1, 8, 8]}')
    (tmp_path / file).write_text(content)
    assert main(["evaluate", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
