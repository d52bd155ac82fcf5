"""The engine on the command line: chosen, shown, kept in the run, told when it changes; what is said without numba."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import minidl
from minidl.cli import main

TRAIN = ["train", "--epochs", "1", "--batch-size", "128", "--model", "tiny_net:tiny_net", "--run", "r"]
HINT = "a faster engine is installed: --engine fast, or MINIDL_ENGINE=fast, chooses it"


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    shutil.copy(Path(__file__).with_name("old_run") / "tiny_net.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIDL_ENGINE", raising=False)
    before = minidl.get_engine()
    yield tmp_path
    minidl.set_engine(before)


def engine_of(run):
    return json.loads(Path(run, "environment.json").read_text())["environment"]["Engine"]


def python(code, **variables):
    """Standard output, standard error and exit code of a command line, in a process where numba may be missing."""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )
    return result.stdout, result.stderr, result.returncode


# as if the extra were not installed: it can be neither imported nor found
WITHOUT = """
import sys, importlib.metadata as metadata
sys.modules["numba"] = None
found = metadata.version
def version(name):
    if name == "numba":
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.version = version
from minidl.cli import main
sys.exit(main(%r))
"""


def test_a_run_with_another_engine_and_one_that_goes_on_with_it(in_tmp, capsys):
    assert main([*TRAIN, "--engine", "im2col"]) == 0
    assert HINT not in capsys.readouterr().out
    assert engine_of("r").startswith("im2col (")
    assert 'engine = "im2col"' in Path("r", "config.toml").read_text()
    minidl.set_engine("numpy")
    assert main(["train", "--resume", "r", "--epochs", "2", "--trust"]) == 0
    assert minidl.get_engine() == "im2col"
    assert "resumed with engine" not in capsys.readouterr().out
    assert main(["train", "--resume", "r", "--epochs", "3", "--trust", "--engine", "numpy"]) == 0
    assert "resumed with engine numpy; it was im2col\n" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["evaluate", "r", "--trust"], ["predict", "r", "x.npy", "--trust"]])
def test_a_trained_run_is_used_with_the_engine_that_is_named(in_tmp, capsys, command):
    assert main([*TRAIN, "--quiet"]) == 0
    import numpy as np

    np.save("x.npy", np.zeros((1, 1, 8, 8)))
    assert main([*command, "--engine", "im2col"]) == 0
    assert minidl.get_engine() == "im2col"
    assert main([*command, "--engine", "quick"]) == 2
    assert "error: --engine must be one of numpy, im2col, fast, got 'quick'" in capsys.readouterr().err


def test_the_compiled_engine_trains_and_is_shown(in_tmp, capsys):
    pytest.importorskip("numba")
    assert main([*TRAIN, "--engine", "fast"]) == 0
    out = capsys.readouterr().out
    assert HINT not in out
    assert engine_of("r").startswith("fast (numba ")
    assert main(["info"]) == 0
    assert "\nEngine:     fast (numba " in capsys.readouterr().out


def test_that_it_is_installed_is_said_in_one_line_without_importing_it(in_tmp):
    pytest.importorskip("numba")
    code = "import sys; from minidl.cli import main; main({}); print('numba' in sys.modules, 'llvmlite' in sys.modules)"
    out, err, _ = python(code.format(TRAIN))
    assert out.count(HINT) == 1
    assert out.endswith("False False\n")
    assert err == ""
    for silent in (["--quiet"], ["--json"], ["--engine", "numpy"]):
        assert HINT not in python(code.format([*TRAIN[:-1], f"r{silent[0]}", *silent]))[0]


def test_without_numba_the_extra_is_named(in_tmp):
    message = "error: the engine 'fast' needs an extra: pip install 'minidl[fast]'\n"
    for command, variables in (
        ([*TRAIN, "--engine", "fast"], {}),
        (TRAIN, {"MINIDL_ENGINE": "fast"}),
        (["info"], {"MINIDL_ENGINE": "fast"}),
        (["evaluate", "r", "--engine", "fast"], {}),
    ):
        out, err, code = python(WITHOUT % command, **variables)
        assert (out, err, code) == ("", f"minidl {command[0]}: {message}", 2)
    assert not Path("r").exists()
    out, err, code = python(WITHOUT % TRAIN)
    assert "a faster engine" not in out
    assert (err, code) == ("", 0)
    assert "Engine:     numpy ('fast' needs the extra fast)\n" in python(WITHOUT % ["info"])[0]
