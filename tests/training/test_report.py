"""Trainer.report, and the page in a browser: nothing sticks out on a phone, and it follows the reader's setting."""

import html
import re
import shutil
import subprocess
from datetime import datetime

import numpy as np
import pytest

from minidl import data, models, nn, optim
from minidl.data import ArrayDataset, DataLoader
from minidl.training import Trainer
from minidl.training.report_page import made

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
EVIL = "<script>alert('&')</script>"


@pytest.fixture(scope="module")
def trained():
    train, test = data.load_digits()
    model = models.digits_cnn(rng=np.random.default_rng(0))
    optimizer = optim.SGD(model.params(), lr=0.05, momentum=0.9)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, progress="none")
    loader = DataLoader(train, 32, shuffle=True, rng=np.random.default_rng(0))
    trainer.fit(loader, DataLoader(test, 256), epochs=2)
    return trainer, test


def written(trainer, path, *given, **options):
    trainer.report(path, *given, **options)
    return path.read_text(encoding="utf-8")


def test_the_page_has_what_was_measured(trained, tmp_path):
    trainer, test = trained
    before = {name: value.copy() for name, value in trainer.model.state_dict().items()}
    names = [f"digit {n}" for n in range(9)] + [EVIL]
    page = written(trainer, tmp_path / "report.html", test, batch_size=100, classes=names)
    for heading in ("Curves", "Measured", "Confusion matrix", "Classes", "Worst mistakes", "Model", "Trainer"):
        assert f"<h2>{heading}</h2>" in page
    assert "<script" not in page
    assert html.escape(EVIL) in page
    assert str(datetime.now().year) in page
    assert f"<td>accuracy</td><td>{trainer.evaluate(test)['accuracy']:.4f}</td>" in page
    assert "<td>95 % interval of the accuracy</td><td>0." in page
    assert "<details><summary>Layers as a table</summary>" in page
    assert all(np.array_equal(before[name], value) for name, value in trainer.model.state_dict().items())
    # the mistakes, found independently: the largest losses first, with the probability of what was said
    images, labels = test.arrays
    logits = trainer.predict(images).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = np.flatnonzero(logits.argmax(axis=1) != labels)
    worst = wrong[np.argsort(shares[wrong, labels[wrong]], kind="stable")][:24]
    shown = re.findall(r'alt="sample (\d+)".*?class=right>(.*?)</span>.*?class=wrong>(.*?) \((\d+) %\)', page)
    assert [int(number) for number, *_ in shown] == worst.tolist()
    assert [label for _, label, *_ in shown] == [html.escape(names[n]) for n in labels[worst]]
    assert [int(percent) for *_, percent in shown] == [round(100 * shares[n].max()) for n in worst]
    assert f"{len(wrong):,} in all" in page


def test_names_of_the_dataset_are_used_and_must_be_complete(trained, tmp_path):
    trainer, test = trained
    named = ArrayDataset(*test.arrays, classes=[f"n{n}" for n in range(10)])
    assert "<th>n7</th>" in written(trainer, tmp_path / "a.html", named)
    with pytest.raises(ValueError, match="2 names for 10 classes"):
        trainer.report(tmp_path / "b.html", test, classes=["a", "b"])
    assert not (tmp_path / "b.html").exists()


def test_without_data_or_without_classes(trained, tmp_path):
    trainer, _ = trained
    page = written(trainer, tmp_path / "a.html")
    assert "<h2>Curves</h2>" in page
    assert "<h2>Measured</h2>" not in page
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    model = nn.Linear(3, 1)
    regression = Trainer(model, nn.MSELoss(), optim.SGD(model.params(), lr=0.1), progress="none")
    page = written(regression, tmp_path / "b.html", (x, x[:, :1]))
    assert "<td>loss</td>" in page
    assert "<h2>Model</h2>" in page
    assert "Confusion" not in page
    assert "<h2>Curves</h2>" not in page
    words = Trainer(nn.Linear(3, 2), nn.CrossEntropyLoss(), progress="none")
    page = written(words, tmp_path / "c.html", (x, (x[:, 0] > 0).astype(int)))
    assert "Worst mistakes" in page
    assert "<img" not in page
    assert "sample " in page


def test_a_net_of_words_and_batches_that_come_once(tmp_path):
    words = np.random.default_rng(0).integers(0, 9, (30, 5))
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3))
    trainer = Trainer(model, nn.CrossEntropyLoss(), progress="none")
    page = written(trainer, tmp_path / "a.html", (words, words[:, 0] % 3))
    assert "Embedding" in page
    assert "Worst mistakes" in page
    page = written(trainer, tmp_path / "b.html", ((words, words[:, 0] % 3) for _ in range(2)))
    assert "<td>accuracy</td>" in page
    assert "Worst mistakes" not in page


def test_a_class_with_a_draw_of_its_own(tmp_path):
    class Painter(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 2)

        def forward(self, x):
            return self.inner(x)

        def draw(self, canvas):
            raise AssertionError("it is not for the report")

    x = np.ones((4, 3), np.float32)
    trainer = Trainer(Painter(), nn.CrossEntropyLoss(), progress="none")
    assert "<svg" in written(trainer, tmp_path / "a.html", (x, np.zeros(4, int)))


def test_how_long_it_took_and_the_command():
    assert "trained for 12.3 s" in made(12.34)
    assert "trained for 2 min 5 s" in made(125.4)
    assert "trained for 1 h 2 min" in made(3725)
    assert "<code>minidl train --root &#x27;my &lt;files&gt;&#x27;</code>" in made(
        1, ["minidl", "train", "--root", "my <files>"]
    )


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_reader(trained, tmp_path, width, scheme):
    trainer, test = trained
    page = written(
        trainer, tmp_path / "report.html", test, classes=[f"a class with a long name, {n}" for n in range(10)]
    )
    look = (
        "<script>onload = () => { const d = document.querySelector('iframe').contentDocument, "
        "s = d.defaultView.getComputedStyle(d.body), e = d.documentElement; document.title = "
        "[e.scrollWidth, d.querySelectorAll('.halves')[0].children[1].offsetTop > "
        "d.querySelectorAll('.halves')[0].children[0].offsetTop, s.color, s.backgroundColor].join('|') }</script>"
    )
    frame = f'<iframe width={width} height=900 style="border:0" srcdoc="{html.escape(page)}"></iframe>'
    (tmp_path / "frame.html").write_text(f"<meta charset=utf-8>{look}{frame}", encoding="utf-8")
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [CHROMIUM, *flags.split(), f"--blink-settings=preferredColorScheme={int(scheme == 'light')}"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,1000", "--virtual-time-budget=3000"]
    command += ["--dump-dom", (tmp_path / "frame.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r"<title>(\d+)\|(true|false)\|(.*?)\|(.*?)</title>", shown)
    assert found, shown[:300]
    assert int(found[1]) <= width
    assert (found[2] == "true") == (width == 400), "two columns where there is room"
    ink, paper = (sum(map(int, re.findall(r"\d+", found[n])[:3])) for n in (3, 4))
    assert (ink < paper) == (scheme == "light")
