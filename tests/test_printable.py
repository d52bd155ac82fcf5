"""Names with escape codes, control characters, marks of direction and lone surrogates never reach a terminal raw."""

import json
import os
import unicodedata
import zipfile

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl._core import printable, write_atomically
from minidl.cli import main
from minidl.data import ImageFolder, load_emnist, load_image_folder, load_mnist
from minidl.interop.files import npz_of
from minidl.training import Trainer
from minidl.training.checkpoint import read_checkpoint
from minidl.training.metrics import classification_report

EVIL = "\x1b[2J\x1b]0;t\x07\u202egnp\u2066\x9b31m\x7f\u2028"
SHOWN = r"\x1b[2J\x1b]0;t\x07\u202egnp\u2066\x9b31m\x7f\u2028"


def is_raw(text):
    kinds = {unicodedata.category(character) for character in text if character != "\n"}
    turned = {unicodedata.bidirectional(character) for character in text}
    return bool(
        kinds & {"Cc", "Cs", "Zl", "Zp"} or turned & {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    )


def test_what_is_not_shown_is_written_out_and_the_rest_stays():
    assert printable(EVIL) == SHOWN
    assert printable(SHOWN) == SHOWN
    assert printable("a\nb\tc", keep="\n") == r"a" + "\n" + r"b\tc"
    assert printable("Käse 日本 עברית 👩\u200d🔬") == "Käse 日本 עברית 👩\u200d🔬"
    assert printable(os.fsdecode(b"\xff.png")) == r"\udcff.png"
    assert not any(is_raw(printable(chr(code))) for code in range(0x11000))


@pytest.fixture
def pictures(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for name in (EVIL, "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(5):
            image.new("L", (8, 8), 40 * number).save(tmp_path / "pictures" / name / f"{number}.png")
    (tmp_path / "pictures" / "b" / f"{EVIL}x.png").write_bytes(b"broken")
    return tmp_path / "pictures"


posix = pytest.mark.skipif(os.name != "posix", reason="names that other systems do not allow")


@posix
def test_errors_of_image_folders_do_not_show_them_raw(pictures):
    folder = ImageFolder(pictures)
    assert folder.classes == [EVIL, "b"]
    assert SHOWN in repr(folder)
    broken = next(number for number, path in enumerate(folder.files) if path.name.startswith("\x1b"))
    with pytest.raises(ValueError, match="cannot read the image") as caught:
        folder[broken]
    assert SHOWN in str(caught.value)
    assert not is_raw(str(caught.value))
    for path in pictures.rglob("*.png"):
        if path.parent.name == EVIL:
            path.rename(path.with_suffix(f".{EVIL}"))
    with pytest.raises(FileNotFoundError) as caught:
        load_image_folder(pictures)
    assert not is_raw(str(caught.value))
    (pictures / "b").rename(pictures / EVIL / "b")
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        load_image_folder(pictures)
    assert not is_raw(str(caught.value))


@posix
def test_errors_of_a_search_do_not_show_them_raw(tmp_path):
    folder = tmp_path / "within" / "this"  # not beside the folders of other tests
    folder.mkdir(parents=True)
    (folder / f"a{EVIL}.csv").write_text("")
    with pytest.raises(FileNotFoundError, match="cannot be read") as caught:
        load_mnist(folder)
    assert not is_raw(str(caught.value))


def test_reports_and_states_do_not_show_them_raw():
    report = str(classification_report(np.eye(2, dtype=np.int64), [EVIL, "b\nc"]))
    assert SHOWN in report
    assert not is_raw(report)
    assert len(report.splitlines()) == 6
    with pytest.raises(ValueError, match="unexpected") as caught:
        nn.ReLU().load_state_dict({EVIL: np.ones(1)})
    assert not is_raw(str(caught.value))


def test_lines_and_notes_of_a_fit_do_not_show_them_raw(capsys):
    model = nn.Linear(1, 1)
    progress = Trainer(model, nn.MSELoss(), minidl.optim.SGD(model.params(), lr=0.1), progress="lines").progress
    progress.line(EVIL)
    progress.style = "none"
    with pytest.warns(RuntimeWarning, match=r"\\x1b\[2J"):
        progress.note(EVIL)
    assert capsys.readouterr().out == SHOWN + "\n"


@posix
def test_commands_do_not_show_the_names_of_classes_and_files_raw(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (pictures / "b" / f"{EVIL}x.png").rename(pictures / "b" / f"{EVIL}x.txt{EVIL}")
    options = ["--data", "folder", "--root", "pictures", "--model", "small_vgg", "--size", "32", "--epochs", "1"]
    assert main(["train", *options, "--val-fraction", "0", "--augment", "none", "--run", "run"]) == 0
    assert main(["evaluate", "run"]) == 0
    assert main(["predict", "run", "pictures"]) == 0
    assert main(["compare", "run", "run"]) == 0
    assert main(["predict", "run", f"{EVIL[5:]}.png"]) == 2
    out, err = capsys.readouterr()
    assert SHOWN in out
    assert not is_raw(out)
    assert err
    assert not is_raw(err)
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert SHOWN in page
    assert not is_raw(page)
    assert main(["predict", "run", "pictures", "--json"]) == 0
    out = capsys.readouterr().out
    assert not is_raw(out)
    assert any(EVIL in guess["class"] for row in json.loads(out)["predictions"] for guess in row["top"])


def test_an_argument_is_not_shown_raw_either(capsys):
    with pytest.raises(SystemExit):
        main([EVIL])
    assert not is_raw(capsys.readouterr().err)


def test_a_figure_shows_them_without_a_warning():
    pytest.importorskip("matplotlib")
    figure = minidl.plotting.confusion_matrix(np.eye(2, dtype=np.int64), [EVIL, "b"])
    figure.canvas.draw()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [SHOWN, "b"]


def test_what_is_read_in_a_damaged_file_is_not_shown_raw(tmp_path):
    write_atomically(tmp_path / "x.npz", npz_of({}, {"tree.json": "{}", f"{EVIL}.npy": "no array"}))
    write_atomically(tmp_path / "x.ckpt", npz_of({}, {"state.json": json.dumps({"format": EVIL})}))
    for read, name in ((minidl.load, "x.npz"), (read_checkpoint, "x.ckpt")):
        with pytest.raises(ValueError, match=name) as caught:
            read(tmp_path / name)
        assert not is_raw(str(caught.value))


def test_a_checkpoint_that_does_not_fit_is_not_shown_raw(tmp_path):
    def trainer():
        model = nn.Linear(1, 1)
        return Trainer(model, nn.MSELoss(), minidl.optim.SGD(model.params(), lr=0.1), progress="none")

    state = trainer().state_dict()
    state["made_of"]["optimizer"] = EVIL
    with pytest.raises(ValueError, match="cannot resume") as caught:
        trainer().load_state_dict(state)
    assert SHOWN in str(caught.value)
    assert not is_raw(str(caught.value))


def test_names_within_an_archive_are_not_shown_raw(tmp_path):
    with zipfile.ZipFile(tmp_path / "gzip.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr(EVIL, "x")
    with pytest.raises(ValueError, match="damaged archive") as caught:
        load_emnist(tmp_path)
    assert SHOWN in str(caught.value)
    assert not is_raw(str(caught.value))
