"""Training scripts written for PyTorch, run under PyTorch and under minidl from the same weights.

Each script in `scripts/` is an ordinary PyTorch script. Its minidl form is the same text with the imports changed, and
the few lines of `CHANGES` that do with tensors, outside of any model, what NumPy spells otherwise. The losses of both
must agree within 1e-10 in float64, at every step.
"""

import ast
import difflib
import re
from pathlib import Path

import numpy as np
import pytest

import minidl

torch = pytest.importorskip("torch")

SCRIPTS = Path(__file__).with_name("scripts")
IMPORTS = [
    (r"import torch$", "import minidl as torch"),
    (
        r"from torch\.utils\.data import DataLoader, TensorDataset",
        "from minidl.data import ArrayDataset as TensorDataset, DataLoader",
    ),
    (r"from torch\.utils\.data import", "from minidl.data import"),
    (r"(import|from) torch\b", r"\1 minidl"),
]


def images(*shape):
    return lambda rng: rng.random(shape)


def normal(*shape):
    return lambda rng: rng.standard_normal(shape)


def labels(classes, *shape):
    return lambda rng: rng.integers(0, classes, shape)


# what `train` is given after the models
DATA = {
    "accumulation": (images(12, 1, 12, 12), labels(5, 12)),
    "autoencoder": (images(8, 1, 12, 12), normal(8, 1, 12, 12)),
    "cbam": (images(4, 3, 9, 9), labels(4, 4)),
    "cifar_resnet": (images(6, 3, 12, 12), labels(10, 6)),
    "cifar_tutorial": (images(20, 3, 32, 32), labels(10, 20)),
    "dcgan": (images(8, 1, 16, 16), normal(8, 8, 1, 1)),
    "densenet": (images(4, 3, 12, 12), labels(5, 4)),
    "distillation": (images(8, 3, 8, 8), labels(10, 8)),
    "inception": (images(3, 3, 13, 13), labels(5, 3)),
    "lr_finder": (images(12, 1, 10, 10), labels(5, 12)),
    "mnist": (images(20, 1, 16, 16), labels(10, 20)),
    "multitask": (images(9, 3, 8, 8), images(9), labels(2, 9), images(9, 3)),
    "recurrent": (images(5, 8, 8), labels(5, 5), labels(11, 3, 6), labels(4, 3, 6)),
    "siamese": (*[images(6, 1, 12, 12)] * 3, labels(2, 6)),
    "transfer": (images(24, 3, 10, 10), labels(2, 24)),
    "unet": (images(2, 2, 14, 14), labels(3, 2, 14, 14)),
    "vae": (images(10, 1, 8, 8),),
    "vit": (images(4, 1, 12, 12), labels(5, 4)),
    "weight_standardization": (images(4, 2, 9, 9), labels(6, 4)),
}

# beside the imports: lines outside of the models that do something with tensors
CHANGES = {
    "autoencoder": {"p.pow(2).sum().item()": "(p.data**2).sum()"},
    "cbam": {".to(images.dtype)": ".astype(images.dtype)"},
    "cifar_resnet": {"len(p.data.size())": "p.data.ndim"},
    "cifar_tutorial": {"labels.size(0)": "len(labels)"},
    "dcgan": {"fake.detach()": "torch.detach(fake)"},
    "mnist": {
        "output.argmax(dim=1, keepdim=True)": "output.argmax(axis=1, keepdims=True)",
        "pred.eq(target.view_as(pred))": "(pred == target.reshape(pred.shape))",
    },
    "multitask": {".to(images.dtype)": ".astype(images.dtype)"},
}


def ported(name):
    """Return the text of a script for PyTorch and for minidl."""
    text = (SCRIPTS / f"{name}.py").read_text()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        for pattern, replacement in IMPORTS:
            changed = re.sub(f"^{pattern}", replacement, line)
            if changed != line:
                lines[number] = changed
                break
    new = "\n".join(lines) + "\n"
    for before, after in CHANGES.get(name, {}).items():
        assert before in new, f"{name}.py has no {before!r}"
        new = new.replace(before, after)
    return text, new


def run(text, name):
    """Run a script's text; return what it defines."""
    space = {"__name__": name}
    exec(compile(text, f"{name}.py", "exec"), space)
    return space


@pytest.fixture
def same_numbers(monkeypatch):
    """Let PyTorch draw the numbers that minidl draws."""

    def seed():
        minidl.manual_seed(0)
        return minidl.default_rng()

    def begin():
        rng = seed()
        monkeypatch.setattr(torch, "randn_like", lambda x: torch.from_numpy(rng.standard_normal(x.shape)))

        def dropout(x, p=0.5, training=True, inplace=False):
            kept = minidl.functional.dropout_forward(np.ones(tuple(x.shape)), p, training=training, rng=rng)[0]
            return x * torch.from_numpy(np.ascontiguousarray(kept))

        monkeypatch.setattr(torch.nn.functional, "dropout", dropout)
        return rng

    return begin, seed


@pytest.mark.parametrize("name", DATA)
def test_same_losses(name, same_numbers):
    theirs, ours = ported(name)
    rng = np.random.default_rng(sum(map(ord, name)))
    data = [make(rng) for make in DATA[name]]

    space = run(theirs, name)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        models = space["make_models"]()
        start = [{key: value.numpy().copy() for key, value in m.state_dict().items()} for m in models]
        same_numbers[0]()
        expected = space["train"](*models, *map(torch.from_numpy, data))
        end = [{key: value.numpy() for key, value in m.state_dict().items()} for m in models]
    finally:
        torch.set_default_dtype(torch.float32)

    space = run(ours, name)
    models = [m.double() for m in space["make_models"]()]
    for model, state in zip(models, start, strict=True):
        model.load_state_dict(state)
    same_numbers[1]()
    losses = space["train"](*models, *data)

    assert len(losses) == len(expected) >= 10
    assert max(losses) > min(losses)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-10)
    for model, state in zip(models, end, strict=True):
        found = model.state_dict()
        for key, value in state.items():
            np.testing.assert_allclose(found[key], value, rtol=0, atol=1e-8, err_msg=key)


def classes(text):
    """The text of each class."""
    return {
        node.name: ast.get_source_segment(text, node) for node in ast.parse(text).body if type(node) is ast.ClassDef
    }


def counted(name):
    """Return how many lines of a script stay, and how many it has, without empty ones."""
    before, after = ([line for line in text.splitlines() if line.strip()] for text in ported(name))
    blocks = difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks), len(before)


@pytest.mark.parametrize("name", DATA)
def test_what_is_changed(name):
    theirs, ours = ported(name)
    assert classes(theirs) == classes(ours)
    assert any(issubclass(kind, minidl.nn.Module) for kind in run(ours, name).values() if isinstance(kind, type))
    same, lines = counted(name)
    assert same >= 0.9 * lines, f"{same} of {lines} lines stay"
    assert "def backward" not in ours
    assert "import torch" not in ours
    assert re.search(r"^\s*(import|from) torch", ours, re.MULTILINE) is None


def test_nearly_all_lines_stay():
    same, lines = np.sum([counted(name) for name in DATA], axis=0)
    print(f"{same} of {lines} lines")
    assert same >= 0.95 * lines


@pytest.mark.parametrize("name", DATA)
def test_the_script_itself(name, capsys):
    run(ported(name)[1], "__main__")
    assert "nan" not in capsys.readouterr().out


def test_every_script_is_run():
    assert {path.stem for path in SCRIPTS.glob("*.py")} == set(DATA)
