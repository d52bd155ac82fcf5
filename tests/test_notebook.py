"""Notebooks: the one in examples runs; what objects show there; a fit has one table. Also without IPython at all."""

import json
import os
import re
import subprocess
import sys
import types
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from minidl import data, models, nn, optim
from minidl.data import ArrayDataset, DataLoader, Dataset, transforms
from minidl.training import History, Trainer
from minidl.training.metrics import ConfusionMatrix, F1Score

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
EVIL = "<script>alert('&')</script>\x1b"


class _Balance(HTMLParser):
    """Notes the tags that are open at the end, and the text."""

    def __init__(self, page):
        super().__init__()
        self.opened, self.words = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag not in ("br", "img", "meta"):
            self.opened.append(tag)

    def handle_endtag(self, tag):
        assert self.opened.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def words(page):
    found = _Balance(page)
    assert not found.opened
    assert "<script" not in page
    assert "\x1b" not in page
    return found.words


def trainer_of(**options):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    return Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.params(), lr=0.1), **options)


def loaders():
    train, test = data.load_digits()
    return DataLoader(train, 64, shuffle=True, rng=np.random.default_rng(0)), DataLoader(test, 256)


def history_of(rows):
    history = History()
    history.rows = rows
    return history


def test_a_history_shows_its_curves_and_rows():
    rows = [{"epoch": n, "lr": 0.1 / n, "train_loss": 1 / n, "val_loss": 2 / n, "train_acc": 0.5} for n in (1, 2, 3)]
    page = history_of(rows)._repr_html_()
    assert words(page)[:2] == ["loss", "loss"]
    charts = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page)]
    assert [chart.find("title").text for chart in charts] == ["loss", "acc", "learning rate"]
    assert [len(chart.findall("polyline")) for chart in charts] == [2, 1, 1]
    under_the_pointer = [circle.find("title").text for circle in charts[0].findall("circle")]
    assert under_the_pointer[:2] == ["training, epoch 1: 1", "training, epoch 2: 0.5"]
    # where the points are: the larger the value, the higher; epochs from left to right at equal distances
    x, y = ([float(circle.get(a)) for circle in charts[0].findall("circle")[:3]] for a in ("cx", "cy"))
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert (y[1] - y[0]) / (y[2] - y[0]) == pytest.approx((1 - 1 / 2) / (1 - 1 / 3), abs=0.01)
    assert "3 epochs" in words(page)
    assert "0.3333" in words(page)


def test_a_history_without_rows_or_with_odd_numbers():
    assert "no epochs" in "".join(words(History()._repr_html_()))
    odd = history_of([{"epoch": 1, "train_loss": float("nan")}, {"epoch": 2, f"train_{EVIL}": float("inf")}])
    assert "nan" in words(odd._repr_html_())
    one = history_of([{"epoch": 7, "train_loss": 0.5}])._repr_html_()
    assert "epoch 7" in words(one)
    many = history_of([{"epoch": n, "train_loss": 1.0} for n in range(1, 40)])._repr_html_()
    assert "<details>" in many
    assert "<details open>" in one


def test_a_summary_is_a_table():
    summary = models.lenet5().summary((1, 1, 28, 28))
    found = words(summary._repr_html_())
    assert found[:4] == ["Layer", "Output shape", "Parameters", "Multiply-adds"]
    assert found[4:8] == ["0 (Conv2d)", "(1, 6, 28, 28)", "156", "117,600"]
    assert "Parameters: 61,706" in found
    kind = type(EVIL, (nn.Module,), {"forward": lambda self, x: x, "backward": lambda self, g: g})
    words(nn.Sequential(kind()).summary((1, 2))._repr_html_())


def test_a_confusion_matrix_is_a_table():
    metric = ConfusionMatrix()
    assert metric._repr_html_() is None
    metric.update(np.eye(3, dtype=np.float32)[[0, 1, 1, 2]], np.array([0, 1, 2, 2]))
    page = metric._repr_html_()
    assert [word for word in words(page) if word.strip()] == list("0120111211")
    shades = re.findall(r"background:#(\w{6})(\w\w)", page)
    assert [colour for colour, _ in shades] == ["059669", "059669", "dc2626", "059669"]
    assert [round(int(depth, 16) / 255, 2) for _, depth in shades] == [0.75, 0.75, 0.53, 0.53]  # 0.75 * sqrt(share)
    metric.update(np.full((1, 3), np.nan, np.float32), np.array([0]))
    assert "NaN" in words(metric._repr_html_())
    score = F1Score(average=None)
    score.update(np.eye(3, dtype=np.float32), np.arange(3))
    assert score._repr_html_() is None


def test_a_trainer_says_what_it_is_made_of():
    trainer = trainer_of(metrics=[ConfusionMatrix()], progress="none")
    assert repr(trainer) == (
        "Trainer(model: Sequential, 650 parameters, loss: CrossEntropyLoss(), optimizer: SGD, lr 0.1, "
        f"metrics: {', '.join(type(m).__name__ for m in trainer.metrics)}, epochs: 0)"
    )
    trainer.fit(*loaders(), epochs=2)
    page = trainer._repr_html_()
    assert {"Sequential, 650 parameters", "CrossEntropyLoss()", "2 epochs"} <= set(words(page))
    assert page.count("<svg") == 3
    trainer.model[1].requires_grad_(False)
    assert "650 parameters, 650 of them frozen" in repr(Trainer(trainer.model, nn.MSELoss()))


def test_loaders_datasets_and_transforms_say_what_they_are():
    x = np.zeros((10, 1, 4, 4), np.float32)
    dataset = ArrayDataset(x, np.zeros(10, int))
    kept = transforms.Compose(transforms.RandomCrop(4, padding=1), transforms.Normalize(0.5, 0.25))
    assert repr(kept) == "Compose(RandomCrop(size=(4, 4), padding=(1, 1)), Normalize(mean=0.5, std=0.25))"
    assert repr(transforms.Normalize((0.1, 0.2, 0.3), 1.0)) == "Normalize(mean=(0.1, 0.2, 0.3), std=1.0)"
    loader = DataLoader(dataset, 4, shuffle=True, transform=transforms.RandomHorizontalFlip())
    assert repr(loader) == (
        "DataLoader(ArrayDataset((10, 1, 4, 4) float32, (10,) int64), batch_size=4, shuffle=True, "
        "transform=RandomHorizontalFlip(p=0.5): 3 batches)"
    )

    class Squares(Dataset):
        def __len__(self):
            return 1200

        def __getitem__(self, index):
            return np.float32(index), np.float32(index**2)

    assert repr(Squares()) == "Squares(1,200 samples)"
    every = [getattr(transforms, name) for name in transforms.__all__]
    assert all("__repr__" in dir(kind) for kind in every)


@pytest.fixture
def notebook(monkeypatch):
    """What IPython has in a notebook, as far as minidl may use it; returns the list of what was displayed."""
    shown = []

    class Handle:
        def update(self, value):
            shown.append(value._repr_html_())

    def display(value, display_id):
        shown.append(value._repr_html_())
        return Handle()

    package, inner = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    package.get_ipython = lambda: types.SimpleNamespace(config={"IPKernelApp": {}})
    package.display, inner.display = inner, display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    return shown


def test_a_fit_in_a_notebook_has_one_table(notebook, capsys, monkeypatch):
    monkeypatch.setattr("minidl.training.live_table._SECONDS", 0)
    trainer = trainer_of()
    trainer.fit(*loaders(), epochs=3)
    assert capsys.readouterr() == ("", "")
    last = notebook[-1]
    assert words(last) == words(last[: last.rindex("</table>")] + "</table>")  # nothing goes on below it
    assert last.count("<tr>") == 4
    assert words(last)[:3] == ["epoch", "lr", "train loss"]
    during = [page for page in notebook if "epoch 2/3" in page]
    assert during
    assert all(page.count("<tr>") == 2 for page in during)
    assert all("<progress" in page for page in during)
    assert any("evaluating" in page for page in notebook)


def test_evaluation_and_prediction_leave_nothing(notebook, capsys, monkeypatch):
    monkeypatch.setattr("minidl.training.live_table._SECONDS", 0)
    trainer, (_, test) = trainer_of(), loaders()
    trainer.evaluate(test)
    assert any("evaluating" in page and "1/2" in page for page in notebook)
    assert notebook[-1] == ""
    trainer.predict(test.dataset.arrays[0])
    assert any("predicting" in page for page in notebook)
    assert notebook[-1] == ""
    assert capsys.readouterr() == ("", "")


def test_a_fit_that_fails_leaves_a_table_of_what_was_measured(notebook, capsys):
    def stop(trainer):
        if trainer.epoch == 2:
            raise OSError("a full disk")

    with pytest.raises(OSError, match="a full disk"):
        trainer_of(callbacks=[stop]).fit(*loaders(), epochs=3)
    assert notebook[-1].count("<tr>") == 3
    assert "failed in epoch 2" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["lines", "none", "TQDM_DISABLE", "terminal"])
def test_where_no_table_is_wanted_there_is_none(notebook, capsys, monkeypatch, how):
    if how == "TQDM_DISABLE":
        monkeypatch.setenv("TQDM_DISABLE", "1")
    if how == "terminal":  # IPython's own
        monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: types.SimpleNamespace(config={}))
    trainer_of(progress=how if how in ("lines", "none") else "auto").fit(*loaders(), epochs=1)
    assert not notebook
    assert ("epoch 1/1  train_loss" in capsys.readouterr().out) == (how != "none")


def test_ipython_is_not_imported_for_any_of_it():
    script = (
        "import sys, numpy as np, minidl; from minidl import nn, optim; from minidl.training import Trainer\n"
        "model = nn.Linear(2, 1); x = np.zeros((4, 2), np.float32)\n"
        "trainer = Trainer(model, nn.MSELoss(), optim.SGD(model.params(), lr=0.1))\n"
        "trainer.fit((x, x[:, :1]), epochs=1, batch_size=2); trainer._repr_html_(); model.draw((1, 2))\n"
        "assert not {'IPython', 'ipykernel', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=ROOT)


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    for package in ("nbclient", "ipykernel", "matplotlib"):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    script = (  # in a process of its own: nbclient brings IPython, which would make a notebook of this one
        "import sys, nbclient, nbformat; notebook = nbformat.read(sys.argv[1], as_version=4)\n"
        "nbclient.NotebookClient(notebook, timeout=120, resources={'metadata': {'path': '.'}}).execute()\n"
        "nbformat.write(notebook, 'done.ipynb')"
    )
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))  # of the kernel
    command = [sys.executable, "-c", script, str(NOTEBOOK)]
    run = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    cells = [c for c in json.loads((tmp_path / "done.ipynb").read_text(encoding="utf-8"))["cells"] if "outputs" in c]
    source = {id(cell): "".join(cell["source"]) for cell in cells}
    shown = {
        source[id(cell)].splitlines()[-1]: "".join(
            "".join(o["data"].get("text/html", "")) for o in cell["outputs"] if "data" in o
        )
        for cell in cells
    }
    fit = next(cell for cell in cells if "trainer.fit" in source[id(cell)])
    assert len(fit["outputs"]) == 1, "one table, which is exchanged while it grows"
    assert "".join(fit["outputs"][0]["data"]["text/html"]).count("<tr>") == 6
    assert shown["model.draw((1, 1, 8, 8))"].count("<svg") == 1
    assert shown["history"].count("<svg") == 3
    assert shown["confusion"].count("<tr>") == 11
    assert shown["plotting.grad_cam(model, images[order], layer=3, labels=labels[order])"].startswith("<img")
    assert not [o for cell in cells for o in cell["outputs"] if o["output_type"] in ("error", "stream")]
