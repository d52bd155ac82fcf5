"""The command line: what it prints, what it saves, how it fails."""

import functools
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import minidl
from minidl import models, nn
from minidl.cli import main


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_prints_rows_and_the_test_accuracy_and_saves_the_weights(in_tmp, capsys):
    assert main(["train", "--epochs", "2"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith(
        "digits: 1,442 training and 355 test images; digits_cnn with 9,930 parameters; SGD, lr 0.05"
    )
    assert lines[1].startswith("epoch 1/2  train_loss ")
    assert lines[2].startswith("epoch 2/2  ")
    assert re.fullmatch(r"test accuracy: \d\d\.\d\d % \(\d+ of 355\)", lines[3])
    assert lines[4] == "weights saved to minidl-digits.npz"
    assert err == ""
    minidl.load(models.digits_cnn(), "minidl-digits.npz")


def test_defaults_reach_98_5_percent(in_tmp, capsys):
    """The figure of the first issue; the default seed, all 20 epochs."""
    assert main(["train"]) == 0
    accuracy = float(re.search(r"test accuracy: (\S+) %", capsys.readouterr().out).group(1))
    assert accuracy >= 98.5


def test_the_same_seed_gives_the_same_weights(in_tmp, capsys):
    for name in ("a.npz", "b.npz"):
        assert main(["train", "--epochs", "1", "--seed", "3", "--out", name]) == 0
    assert main(["train", "--epochs", "1", "--seed", "4", "--out", "c.npz"]) == 0
    first, second, third = (np.load(name) for name in ("a.npz", "b.npz", "c.npz"))
    for key in first.files:
        np.testing.assert_array_equal(first[key], second[key])
        assert not np.array_equal(first[key], third[key])


def test_train_on_mnist_files(in_tmp, fake_mnist, capsys):
    arguments = ["train", "--data", "mnist", "--root", str(fake_mnist), "--epochs", "2", "--lr", "0.02"]
    assert main([*arguments, "--batch-size", "16", "--out", "m.npz"]) == 0
    assert "mnist: 256 training and 128 test images; lenet5 with 61,706 parameters" in capsys.readouterr().out
    minidl.load(models.lenet5(), "m.npz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--speed", "9"], "minidl: error: unrecognized arguments: --speed 9 (try 'minidl --help')"),
        (["train", "--epochs", "many"], "minidl train: error: argument --epochs: invalid int value: 'many'"),
        (["train", "--epochs", "0"], "minidl train: error: --epochs must be at least 1, got 0"),
        (["train", "--batch-size", "0"], "minidl train: error: DataLoader: batch_size must be at least 1, got 0"),
        (["train", "--lr", "-1"], "minidl train: error: SGD: lr must be at least 0.0, got -1.0"),
        (["train", "--seed", "-1"], "minidl train: error: manual_seed: seed must not be negative, got -1"),
        (["train", "--data", "cifar"], "minidl train: error: argument --data: invalid choice: 'cifar'"),
        (["train", "--data", "mnist"], "minidl train: error: --data mnist needs --root DIR"),
        (
            ["train", "--data", "mnist", "--root", "nowhere"],
            "minidl train: error: load_mnist: there is no folder nowhere",
        ),
        (["train", "--out", "no/such/m.npz"], "minidl train: error: --out no/such/m.npz: there is no folder no/such"),
        (["train", "--out", "m.pt"], "minidl train: error: unknown file format '.pt' of m.pt; known: .npz"),
        (["train", "--lr", "1e30", "--epochs", "1"], "minidl train: error: the loss is "),
        (
            ["train", "--lr", "1e38", "--batch-size", "2000", "--epochs", "1"],
            "minidl train: error: the validation loss is nan",
        ),
        (["train", "--root", "x"], "minidl train: error: --root is for --data mnist"),
        (["fly"], "minidl: error: argument COMMAND: invalid choice: 'fly'"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_errors_are_one_line_and_exit_code_2(arguments, message, in_tmp, capsys):
    try:
        code = main(arguments)
    except SystemExit as stop:  # argparse's own
        code = stop.code
    err = capsys.readouterr().err
    assert code == 2
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert not list(in_tmp.iterdir())


def test_a_folder_in_the_files_place_is_found_before_training(in_tmp, capsys):
    (in_tmp / "m.npz").mkdir()
    assert main(["train", "--out", "m.npz"]) == 2
    assert "--out m.npz: this is a folder" in capsys.readouterr().err


def test_a_traceback_can_be_asked_for(in_tmp, monkeypatch):
    monkeypatch.setenv("MINIDL_TRACEBACK", "1")
    with pytest.raises(ValueError, match="epochs"):
        main(["train", "--epochs", "0"])


def test_version_help_and_info(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"minidl {minidl.__version__}\n"
    assert main([]) == 0
    assert "train a small CNN" in capsys.readouterr().out
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for name in ("minidl", "Python", "NumPy", "BLAS", "CPUs", "Threads"):
        assert re.search(rf"^{name}: +\S", out, re.MULTILINE)
    assert np.__version__ in out


@pytest.fixture
def digits(in_tmp):
    minidl.save(models.digits_cnn(), "digits.npz")
    return in_tmp


def test_export(digits, capsys):
    pytest.importorskip("onnx")
    assert main(["export", "digits.npz", "digits.onnx", "--model", "digits_cnn"]) == 0
    assert "digits_cnn with the weights of digits.npz written to digits.onnx" in capsys.readouterr().out
    x = np.random.default_rng(0).standard_normal((2, 1, 8, 8)).astype(np.float32)
    model = models.digits_cnn().eval()
    minidl.load(model, "digits.npz")
    np.testing.assert_allclose(minidl.from_onnx("digits.onnx").eval()(x), model(x), rtol=1e-5, atol=1e-5)


def test_export_a_model_of_ones_own(in_tmp, capsys):
    pytest.importorskip("onnx")
    (in_tmp / "my_nets.py").write_text(
        "from minidl import nn\nnumber = 1\nclass Net(nn.Linear):\n"
        "    def __init__(self):\n        super().__init__(3, 2)\ndef text():\n    return 'net'\n"
    )
    minidl.save(nn.Linear(3, 2), "own.npz")
    own = ["export", "own.npz", "own.onnx", "--model"]
    assert main([*own, "my_nets:Net", "--input-shape", "3"]) == 0
    capsys.readouterr()
    for arguments, message in (
        (["my_nets:Net"], "--input-shape C,H,W is needed for --model my_nets:Net"),
        (["my_nets:Net", "--input-shape", "3x3"], "--input-shape must be numbers such as 1,28,28, got '3x3'"),
        (["my_nets:number"], "--model my_nets:number: my_nets has no function 'number'"),
        (["my_nets:text"], "--model my_nets:text: expected a Module, got str"),
        (["no_such:net"], "--model no_such:net: cannot import no_such: No module named 'no_such'"),
        (["net"], "--model: there is no net; known: all_cnn_c, digits_cnn"),
        (["lenet5"], "Sequential: cannot load state dict: missing 0.weight"),
    ):
        assert main([*own, *arguments]) == 2
        assert capsys.readouterr().err.startswith(f"minidl export: error: {message}")


@pytest.mark.parametrize("command", ["train", "export", "info"])
def test_the_example_in_each_help_runs(command, digits, capsys):
    pytest.importorskip("onnx")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    example = re.search(r"^example: minidl (.*)$", capsys.readouterr().out, re.MULTILINE).group(1)
    assert main(example.split()) == 0


def test_threads_that_are_limited_are_shown():
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "minidl", "info"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "Threads:    1, BLAS by itself " in shown


def test_python_dash_m(tmp_path):
    run = subprocess.run([sys.executable, "-m", "minidl", "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("minidl ")


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_keeps_the_weights(tmp_path):
    command = [sys.executable, "-u", "-m", "minidl", "train", "--epochs", "1000", "--out", str(tmp_path / "m.npz")]
    # a process started in the background may inherit that SIGINT is ignored
    restore = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, preexec_fn=restore, **pipes)  # noqa: PLW1509 - there are no threads here
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted in epoch" in out
    assert "weights saved to" in out
    assert "Traceback" not in err
    minidl.load(models.digits_cnn(), tmp_path / "m.npz")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("where", ["| head -n 2", "> /dev/full", ">&-", "2>&-"])
def test_nobody_reading_costs_nothing(where, tmp_path):
    if "/dev/full" in where and not os.path.exists("/dev/full"):
        where = "> /dev/null"
    command = f"set -o pipefail; {sys.executable} -u -m minidl train --epochs 3 --out {tmp_path / 'm.npz'} {where}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    minidl.load(models.digits_cnn(), tmp_path / "m.npz")
