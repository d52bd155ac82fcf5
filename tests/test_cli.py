"""The command line: what it prints, what it saves, how it fails."""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import minidl
from minidl import models, nn
from minidl.cli import main

RESULT = r"test accuracy: \d\d\.\d\d % \(\d+ of 355; 95 % interval \d\d\.\d\d to \d\d\.\d\d %\)"


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_prints_rows_and_the_test_accuracy_and_fills_the_runs_folder(in_tmp, capsys):
    assert main(["train", "--epochs", "2"]) == 0
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if not line.startswith("a faster engine is installed: ")]
    assert lines[0].startswith(
        "digits: 1,299 training, 143 validation and 355 test images; digits_cnn with 9,930 parameters; sgd, lr 0.05"
    )
    assert lines[1].startswith("epoch 1/2  train_loss ")
    assert lines[2].startswith("epoch 2/2  ")
    assert re.fullmatch(
        r"weights of epoch [12] of 2, the best by validation: accuracy \d\d\.\d\d %, loss 0\.\d{4}", lines[3]
    )
    assert re.fullmatch(RESULT, lines[4])
    assert lines[5] == "weights saved to runs/digits-1/weights.npz; see runs/digits-1/report.html"
    assert err == ""
    names = {"best.npz", "config.toml", "environment.json", "history.csv", "last.ckpt", "previous.ckpt"}
    folder = in_tmp / "runs" / "digits-1"
    assert {path.name for path in folder.iterdir()} == names | {"report.html", "weights.npz", "model.minidl"}
    minidl.load(models.digits_cnn(), folder / "weights.npz")
    assert 'data = "digits"' in (folder / "config.toml").read_text()
    assert len((folder / "history.csv").read_text().splitlines()) == 3
    assert json.loads((folder / "environment.json").read_text())["environment"]["NumPy"] == np.__version__
    assert main(["train", "--epochs", "1", "--quiet", "--out", "copy.npz"]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(RESULT + "\n", out)  # results only
    assert err == ""
    minidl.load(models.digits_cnn(), "copy.npz")
    assert (in_tmp / "runs" / "digits-2").is_dir()


def test_defaults_reach_what_docs_results_says(in_tmp, capsys):
    """The default seed, all 30 epochs; the mean of five seeds is in docs/results.md."""
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--speed", "9"], "minidl: error: unrecognized arguments: --speed 9 (try 'minidl --help')"),
        (["train", "--epochs", "many"], "minidl train: error: argument --epochs: invalid int value: 'many'"),
        (["train", "--epochs", "0"], "minidl train: error: --epochs must be at least 1, got 0"),
        (["train", "--batch-size", "0"], "minidl train: error: --batch-size must be at least 1, got 0"),
        (["train", "--lr", "-1"], "minidl train: error: SGD: lr must be at least 0.0, got -1.0"),
        (["train", "--threads", "-1"], "minidl train: error: --threads must be at least 0, got -1"),
        (["train", "--augment", "twist"], "minidl train: error: --augment must be one of none, crop, "),
        (["train", "--optimizer", "x"], "minidl train: error: --optimizer must be one of sgd, adam"),
        (["train", "--schedule", "x"], "minidl train: error: --schedule must be one of none, onecycle"),
        (
            ["train", "--model", "lenet5"],
            'minidl train: error: --model lenet5 is for images of 28 x 28, these are 8 x 8: Conv2d "3": kernel ',
        ),
        (["train", "--model", "nothing"], "minidl train: error: --model: there is no 'nothing'; known: all_cnn_c"),
        (["train", "--size", "8"], "minidl train: error: --size is for --data folder"),
        (["train", "--config", "none.toml"], "minidl train: error: there is no file none.toml"),
        (["train", "--resume", "none"], "minidl train: error: none is not the folder of a run"),
        (["evaluate", "none"], "minidl evaluate: error: none is not the folder of a run: it holds no config.toml"),
        (["predict", "none", "x.npy"], "minidl predict: error: none is not the folder of a run"),
        (["compare", "none"], "minidl compare: error: none is not the folder of a run"),
        (["summary", "nothing", "--input-shape", "1,8,8"], "minidl summary: error: --model: there is no 'nothing'"),
        (["summary", "lenet"], "minidl summary: error: --model: there is no 'lenet'; known:"),
        (["train", "--accumulate", "0"], "minidl train: error: --accumulate must be at least 1, got 0"),
        (["train", "--momentum", "1e30"], "minidl train: error: --momentum must be from 0 to less than 1, got 1e+30"),
        (["train", "--lr", "inf"], "minidl train: error: SGD: lr must be finite, got inf"),
        (["train", "--lr", "1e30", "--epochs", "1", "--schedule", "none"], "minidl train: error: the loss is "),
        (
            ["train", "--data", "folder", "--root", ".", "--run", "x"],
            "minidl train: error: --run x: this is inside --r",
        ),
        (["summary", "lenet5", "--input-shape", "1,8,8"], 'minidl summary: error: Conv2d "3": '),
        (["export", "none.npz", "x.onnx"], "minidl export: error: --model NAME is needed with a file of weights"),
        (["train", "--seed", "-1"], "minidl train: error: manual_seed: seed must not be negative, got -1"),
        (["train", "--data", "cifar"], "minidl train: error: --data must be one of digits, mnist"),
        (["train", "--data", "mnist"], "minidl train: error: --data mnist needs --root DIR"),
        (
            ["train", "--data", "mnist", "--root", "nowhere"],
            "minidl train: error: load_mnist: there is no folder /",
        ),
        (["train", "--out", "no/such/m.npz"], "minidl train: error: --out no/such/m.npz: there is no folder no/such"),
        (["train", "--out", "m.pt"], "minidl train: error: unknown file format '.pt' of m.pt; known: .npz"),
        (["train", "--root", "x"], "minidl train: error: --root is not for --data digits, which comes with"),
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
    for name in ("minidl", "Python", "NumPy", "BLAS", "CPUs", "Engine", "Threads"):
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
        (["net"], "--model: there is no 'net'; known: all_cnn_c, digits_cnn"),
        (["lenet5"], "Sequential: cannot load state dict: missing 0.weight"),
    ):
        assert main([*own, *arguments]) == 2
        assert capsys.readouterr().err.startswith(f"minidl export: error: {message}")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with two runs and some images."""
    folder = tmp_path_factory.mktemp("finished")
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert main(["train", "--epochs", "2", "--quiet"]) == 0
        assert main(["train", "--epochs", "1", "--quiet", "--lr", "0.01", "--optimizer", "adam"]) == 0
    finally:
        os.chdir(before)
    np.save(folder / "images.npy", minidl.data.load_digits()[1].arrays[0][:5])
    return folder


@pytest.mark.parametrize("command", ["inspect", "train", "evaluate", "predict", "summary", "export", "compare", "info"])
def test_the_example_in_each_help_runs(command, finished, capsys, monkeypatch):
    if command == "export":
        pytest.importorskip("onnx")
    monkeypatch.chdir(finished)
    with pytest.raises(SystemExit):
        main([command, "--help"])
    example = re.search(r"^example: minidl (.*)$", capsys.readouterr().out, re.MULTILINE).group(1)
    assert main(example.split()) == 0
    assert capsys.readouterr().err == ""


def test_evaluate_predict_and_compare_as_json(finished, capsys, monkeypatch):
    monkeypatch.chdir(finished)
    assert main(["evaluate", "runs/digits-1", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    assert measured["samples"] == 355
    assert sum(map(sum, measured["confusion"])) == 355
    assert [entry["class"] for entry in measured["classes"]] == [str(n) for n in range(10)]
    assert main(["predict", "runs/digits-1", "images.npy", "--top", "2", "--json"]) == 0
    predictions = json.loads(capsys.readouterr().out)["predictions"]
    assert [entry["image"] for entry in predictions] == [f"images.npy[{n}]" for n in range(5)]
    model = models.digits_cnn().eval()
    minidl.load(model, "runs/digits-1/weights.npz")
    expected = model(np.load("images.npy")).argmax(1)
    assert [int(entry["top"][0]["class"]) for entry in predictions] == list(expected)
    assert all(entry["top"][0]["probability"] >= entry["top"][1]["probability"] for entry in predictions)
    assert main(["compare", "runs/digits-1", "runs/digits-2", "--json"]) == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["optimizer"] == ["sgd", "adam"]
    assert compared["epochs done"] == [2, 1]
    assert "seed" not in compared
    assert main(["summary", "lenet5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["params"] == 61706
    assert main(["train", "--epochs", "1", "--json", "--run", "other"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "other"


def test_predict_reads_images_and_folders(finished, capsys, monkeypatch):
    image = pytest.importorskip("PIL.Image")
    monkeypatch.chdir(finished)
    os.makedirs("some/deep", exist_ok=True)
    pixels = (np.load("images.npy")[0, 0] * 255).astype(np.uint8)
    image.fromarray(pixels).save("some/one.png")
    image.fromarray(pixels).resize((40, 40), image.Resampling.NEAREST).save("some/deep/large.png")
    assert main(["predict", "runs/digits-1", "some", "some/one.png", "--top", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["some/deep/large.png", "some/one.png", "some/one.png"]
    for arguments, message in (
        (["nothing.png"], "there is no file nothing.png"),
        (["images.npy", "--top", "11"], "--top must be from 1 to 10, the number of classes, got 11"),
        (["runs"], "runs: there are no images"),
        (["runs/digits-1/config.toml"], "cannot read the image runs/digits-1/config.toml"),
    ):
        assert main(["predict", "runs/digits-1", *arguments]) == 2
        assert message in capsys.readouterr().err
    np.save("wrong.npy", np.zeros((2, 1, 9, 9), np.float32))
    np.save("bytes.npy", np.zeros((2, 1, 8, 8), np.uint8))
    np.save("nan.npy", np.full((2, 1, 8, 8), np.nan, np.float32))
    np.save("large.npy", np.full((2, 1, 8, 8), 255, np.float32))
    for name, message in (
        ("wrong", "expected images of shape (N, 1, 8, 8), got (2, 1, 9, 9)"),
        ("bytes", "divide by 255"),
        ("nan", "expected numbers in [0, 1], got nan"),
        ("large", "got 255 to 255"),
    ):
        assert main(["predict", "runs/digits-1", f"{name}.npy"]) == 2
        assert message in capsys.readouterr().err


def test_a_file_of_options_and_flags_before_it(in_tmp, capsys):
    (in_tmp / "c.toml").write_text('epochs = 3\noptimizer = "adam"\nlr = 0.01\naugment = "crop"\n')
    assert main(["train", "--config", "c.toml", "--epochs", "1", "--run", "r"]) == 0
    assert "adam, lr 0.01" in capsys.readouterr().out
    assert "epochs = 1\n" in (in_tmp / "r" / "config.toml").read_text()
    for text, message in (
        ("speed = 3", "c.toml: there is no entry 'speed'; known: data, root"),
        ("epochs = 'many'", "c.toml: epochs must be of type int, got 'many'"),
        ("epochs = ", "c.toml is not a TOML file"),
    ):
        (in_tmp / "c.toml").write_text(text)
        assert main(["train", "--config", "c.toml"]) == 2
        assert message in capsys.readouterr().err


def test_going_on_with_a_run_gives_the_run_that_was_not_stopped(in_tmp, capsys):
    options = ["train", "--epochs", "3", "--schedule", "cosine", "--augment", "crop", "--quiet"]
    assert main([*options, "--run", "whole"]) == 0
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "minidl", *options, "--run", "parts"]
    process = subprocess.Popen(command, env=environment)
    while not (in_tmp / "parts" / "last.ckpt").exists():
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert main(["train", "--resume", "parts", "--quiet"]) == 0
    first, second = (np.load(f"{name}/weights.npz") for name in ("whole", "parts"))
    for key in first.files:
        np.testing.assert_array_equal(first[key], second[key])
    assert len((in_tmp / "parts" / "history.csv").read_text().splitlines()) == 4
    assert main(["train", "--resume", "parts", "--lr", "1"]) == 2
    assert "only --download, --engine, --epochs, --root and --threads can be changed, not lr" in capsys.readouterr().err
    assert main(["train", "--run", "parts"]) == 2
    assert "this is not an empty folder; continue a run with --resume parts" in capsys.readouterr().err


def test_a_run_goes_on_only_as_it_was(in_tmp, capsys):
    image = pytest.importorskip("PIL.Image")
    for name, value in (("a", 0), ("b", 200)):
        (in_tmp / "p \u263a" / name).mkdir(parents=True)
        for number in range(5):
            image.new("L", (16, 16), value + number).save(in_tmp / "p \u263a" / name / f"{number}.png")
    options = ["--data", "folder", "--root", "p \u263a", "--schedule", "none", "--quiet"]
    assert main(["train", *options, "--epochs", "2", "--run", "r"]) == 0
    before = {path.name: path.read_bytes() for path in (in_tmp / "r").iterdir()}

    def refused(arguments, message):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
        for name, content in before.items():
            assert (in_tmp / "r" / name).read_bytes() == content

    capsys.readouterr()
    assert main(["predict", "r", "p \u263a/a/0.png"]) == 0  # two classes, by default
    assert capsys.readouterr().out.count("%") == 2
    refused(["train", "--resume", "r", "--epochs", "1"], "--epochs 1: the run has 2 epochs already")
    (in_tmp / "p \u263a" / "b").rename(in_tmp / "p \u263a" / "0")
    refused(["train", "--resume", "r", "--epochs", "3"], "--resume r: the dataset has changed: images")
    (in_tmp / "p \u263a" / "0").rename(in_tmp / "p \u263a" / "b")
    for name in ("last.ckpt", "previous.ckpt"):
        before.pop(name)
        (in_tmp / "r" / name).unlink()
    refused(["train", "--resume", "r", "--epochs", "3"], "--resume r: its checkpoints are gone")
    (in_tmp / "r" / "weights.npz").unlink()
    before.pop("weights.npz")
    refused(["evaluate", "r"], "r is not finished: continue with minidl train --resume r")
    for name, content in (("history.csv", b"epoch,lr\n1,abc\n"), ("environment.json", b"{}"), ("config.toml", b"")):
        (in_tmp / "r" / name).write_bytes(content)
        before.pop(name)
        refused(["compare", "r", "r"], f"{name} is damaged")


def test_a_damaged_checkpoint_is_told_of_also_when_quiet(in_tmp, capsys):
    assert main(["train", "--epochs", "2", "--quiet", "--schedule", "none", "--run", "r"]) == 0
    (in_tmp / "r" / "last.ckpt").write_bytes(b"")
    assert main(["train", "--resume", "r", "--epochs", "3", "--quiet"]) == 0
    err = capsys.readouterr().err
    assert "last.ckpt is not a whole checkpoint" in err
    assert "the checkpoint before it is used" in err
    assert len((in_tmp / "r" / "history.csv").read_text().splitlines()) == 4


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_result_that_cannot_be_written_is_an_error(finished):
    command = f"{sys.executable} -m minidl evaluate runs/digits-1 --json > /dev/full"
    run = subprocess.run(["bash", "-c", command], cwd=finished, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "No space left on device" in run.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_result_after_a_line_that_cannot_be_written_is_an_error():
    script = "import argparse; from minidl.cli.output import say, show; "
    script += "options = argparse.Namespace(quiet=False, json=False); say(options, 'a line'); show(options, {}, 'b')"
    command = f'{sys.executable} -c "{script}" > /dev/full'
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "No space left on device" in run.stderr


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_report_is_a_page_that_needs_nothing_else(finished, tmp_path):
    page = finished / "runs" / "digits-1" / "report.html"
    text = page.read_text()
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")  # a name, not a place
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [CHROMIUM, *flags.split(), "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path}"]
    command += ["--virtual-time-budget=3000", "--dump-dom", page.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    for heading in ("Curves", "Confusion matrix", "Classes", "Worst mistakes", "Filters of the first layer", "Model"):
        assert f"<h2>{heading}</h2>" in shown
    assert "name=viewport" in text
    assert "prefers-color-scheme: dark" in text
    assert "trained for " in shown
    assert "<code>minidl" in shown
    assert shown.count("<svg") == 5  # loss, accuracy, learning rate, calibration, and the network
    assert shown.count("<polyline") == 5
    assert shown.count("<img") > 16


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
    process = subprocess.Popen(command, cwd=tmp_path, preexec_fn=restore, **pipes)  # noqa: PLW1509 - there are no threads here
    for line in process.stdout:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted in epoch" in out
    assert "weights saved to" in out
    assert out.splitlines()[-1] == f"go on with minidl train --resume runs/digits-1 --out {tmp_path / 'm.npz'}"
    assert "Traceback" not in err
    minidl.load(models.digits_cnn(), tmp_path / "m.npz")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("where", ["| head -n 2", "> /dev/full", ">&-", "2>&-"])
def test_nobody_reading_costs_nothing(where, tmp_path):
    if "/dev/full" in where and not os.path.exists("/dev/full"):
        where = "> /dev/null"
    command = f"set -o pipefail; {sys.executable} -u -m minidl train --epochs 3 --out {tmp_path / 'm.npz'} {where}"
    run = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    minidl.load(models.digits_cnn(), tmp_path / "m.npz")
