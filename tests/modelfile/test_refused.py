"""What save_model and load_model refuse, by name and with what to do instead."""

import json
import zipfile

import numpy as np
import pytest

import minidl
from minidl import models, nn
from minidl.nn import functional as F


class Scale(nn.Module):
    """A layer with a backward of its own, whose argument is kept."""

    def __init__(self, features):
        super().__init__()
        self.features = features
        self.weight = nn.Parameter(np.full(features, 2, np.float32))

    def forward(self, x):
        self.save_for_backward(x)
        return x * self.weight.data

    def backward(self, grad_output):
        self.weight.add_grad((grad_output * self.take_saved()).sum(axis=0))
        return grad_output * self.weight.data


class Forgetful(Scale):
    """It does not keep its argument."""

    def __init__(self, size):
        super().__init__(size)


def forward_of(function, **members):
    """A module whose forward is a function of it and its input."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 3)
            for name, value in members.items():
                setattr(self, name, value)

        def forward(self, x):
            return function(self, x)

    return Net()


def odd(net, x):
    return net.fc(x) * 2 if len(x) % 2 else net.fc(x)


def by_value(net, x):
    return net.fc(x) if float(x.sum()) > 0 else -net.fc(x)


def constant_of_value(net, x):
    return net.fc(x) * float(x.data.max())


def depends_on_half(net, x):
    return net.fc(x)[: len(x) // 2]


def noise(net, x):
    return net.fc(x) + minidl.default_rng().standard_normal(3).astype(np.float32)


def counting(net, x):
    net.calls += 1
    return net.fc(x) * net.calls


class OfALayer(nn.Linear):
    """A forward around that of a layer that it derives from."""

    def forward(self, x):
        return F.relu(super().forward(x))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (forward_of(odd), "Net: its forward makes other calls for other values, or another batch size"),
        (forward_of(by_value), "Net: its forward makes other calls|depends on the batch size or on the values"),
        (
            forward_of(constant_of_value),
            "Net: its forward depends on the batch size or on the values: call 2, multiply",
        ),
        (forward_of(depends_on_half), "depends on the batch size or on the values: call 2, getitem"),
        (forward_of(noise), "depends on the batch size or on the values: call 2, add"),
        (forward_of(counting, calls=0), "depends on the batch size or on the values: call 2, multiply"),
        (nn.Sequential(nn.ReLU(), forward_of(odd)), 'save_model: Net "1": its forward makes other calls'),
        (OfALayer(4, 3), "OfALayer: its forward calls that of a layer which it derives from: make that layer a child"),
        (
            nn.Sequential(Forgetful(4)),
            r'Forgetful "0": its argument .size. is not an attribute .*keep it: self.size = size',
        ),
    ],
)
def test_what_cannot_be_stored_is_named(model, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        minidl.save_model(model, tmp_path / "net.minidl", (2, 4))
    assert list(tmp_path.iterdir()) == []


def test_a_forward_of_ones_own_needs_the_shape_of_its_input(tmp_path):
    with pytest.raises(
        ValueError, match=r"Net: its forward is stored as what it does, for which it is run: give the shape"
    ):
        minidl.save_model(forward_of(odd), tmp_path / "net.minidl")


def test_a_model_for_one_batch_size_is_refused(tmp_path):
    net = forward_of(lambda net, x: net.fc(x.view(2, 4)))
    with pytest.raises(ValueError, match="of 7 samples it fails"):
        minidl.save_model(net, tmp_path / "net.minidl", (2, 4))


def test_a_layer_of_ones_own_is_given_to_load_model(tmp_path):
    net = nn.Sequential(nn.Linear(3, 4), Scale(4), Scale(4))
    net[1].weight.data[:] = [1, 2, 3, 4]
    minidl.save_model(net, tmp_path / "net.minidl", (1, 3))
    with pytest.raises(
        ValueError, match=r"layer of the class Scale, which is not minidl's: .* layers=\{'Scale': Scale\}"
    ):
        minidl.load_model(tmp_path / "net.minidl")
    again = minidl.load_model(tmp_path / "net.minidl", layers={"Scale": Scale}).model
    assert type(again[1]) is Scale
    (tmp_path / "net.minidl").rename(tmp_path / "model.minidl")
    assert type(minidl.load_run(tmp_path, layers={"Scale": Scale}).model[1]) is Scale
    (tmp_path / "model.minidl").rename(tmp_path / "net.minidl")
    x = np.ones((2, 3), np.float32)
    assert np.array_equal(again(x), net(x))
    with pytest.raises(TypeError, match="layers must be a dict of classes"):
        minidl.load_model(tmp_path / "net.minidl", layers={"Scale": Scale(4)})


def test_an_option_that_was_changed_later_is_stored_or_refused(tmp_path):
    conv = nn.Conv2d(2, 2, 3)
    conv.stride = (2, 2)  # an argument: it is stored as it is
    minidl.save_model(conv, tmp_path / "conv.minidl")
    assert minidl.load_model(tmp_path / "conv.minidl").model.stride == (2, 2)
    layer = Scale(4)
    layer.features = 3
    with pytest.raises(ValueError, match="weight"):
        minidl.save_model(layer, tmp_path / "net.minidl")
    again = Doubled(4)
    again.factor = 3
    with pytest.raises(ValueError, match="Doubled has factor=3, which its arguments do not give: they give 2"):
        minidl.save_model(again, tmp_path / "net.minidl")


class Doubled(Scale):
    """It has an option that is no argument."""

    def __init__(self, features):
        super().__init__(features)
        self.factor = 2


CLASSES = ["no", "yes"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"classes": "no"}, TypeError, "classes must be a list of names, got 'no'"),
        ({"classes": [1, 2]}, TypeError, "classes must be a list of names"),
        ({"classes": CLASSES, "input_shape": (1, 4)}, ValueError, r"2 classes need outputs \(N, 2\), got \(2, 3\)"),
        ({"preprocess": {"mean": 0.5}}, ValueError, "of which shape is needed; 'shape' is missing"),
        ({"preprocess": {"shape": (1, 8, 8), "flip": True}}, ValueError, "got 'flip'"),
        ({"preprocess": {"shape": (8, 8)}}, ValueError, r"shape must be \(C, H, W\), got \(8, 8\)"),
        ({"preprocess": {"shape": (1, 8, 8), "std": 0}}, ValueError, "std must be greater than 0"),
        (
            {"preprocess": {"shape": (3, 8, 8), "mean": (1, 2)}},
            ValueError,
            "mean must be a number for each of 3 channels",
        ),
        ({"preprocess": {"shape": (1, 8, 8), "fit": "tight"}}, ValueError, "fit must be one of"),
        ({"preprocess": 3}, TypeError, "preprocess must be a dict"),
    ],
)
def test_wrong_arguments_are_named(options, error, message, tmp_path):
    with pytest.raises(error, match=f"save_model: .*{message}"):
        minidl.save_model(nn.Linear(4, 3), tmp_path / "net.minidl", **options)


def test_probabilities_are_refused_where_predict_would_compute_them_again(tmp_path):
    net = nn.Sequential(nn.Linear(4, 2), nn.Softmax(dim=1))
    with pytest.raises(ValueError, match="must give logits, .* leave out its last Softmax"):
        minidl.save_model(net, tmp_path / "net.minidl", (1, 4), classes=CLASSES)


def test_another_suffix_is_refused(tmp_path):
    for call in (lambda path: minidl.save_model(nn.ReLU(), path), minidl.load_model):
        with pytest.raises(ValueError, match="the name of a model's file ends in .minidl, got .*npz"):
            call(tmp_path / "net.npz")
    with pytest.raises(FileNotFoundError):
        minidl.load_model(tmp_path / "net.minidl")
    with pytest.raises(FileNotFoundError, match="has no model.minidl, which minidl train writes"):
        minidl.load_run(tmp_path)


def written(path, change=lambda manifest: None, more=None):
    """Write the file of a small net anew with a changed manifest, and further members."""
    rng = np.random.default_rng(0)
    net = models.resnet20(rng=rng)
    minidl.save_model(net, path, (1, 3, 32, 32))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members["manifest.json"])
    change(manifest)
    members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**members, **(more or {})}.items():
            archive.writestr(name, content)


def set_first(entry, **values):
    entry["architecture"]["members"][0].update(values)


HUGE = {"in_channels": 10**6, "out_channels": 10**6, "kernel_size": 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(version=2), "its format is 'minidl model', version 2; this version of minidl reads"),
        (lambda m: m.update(format="zip"), "its format is 'zip'"),
        (lambda m: m.pop("architecture"), "architecture"),
        (
            lambda m: set_first(m, **{"class": "os.system", "options": {"command": "true"}}),
            "class os.system, which is not",
        ),
        (lambda m: set_first(m, **{"class": "Module", "options": {}}), "class Module, which is not"),
        (lambda m: set_first(m, **{"class": "init", "options": {}}), "class init, which is not"),
        (lambda m: set_first(m, options={"rng": 3, "command": 1}), "Conv2d has no argument command"),
        (lambda m: set_first(m, options=HUGE), "its layers take 36,000.0 GB, and allowed are"),
        (lambda m: set_first(m, name="__class__"), "__class__"),
        (lambda m: set_first(m, name="forward"), "'forward' cannot be the name of a layer"),
        (lambda m: set_first(m, shared="9.9"), "9.9"),
        (lambda m: m["architecture"]["members"].pop(), "its arrays do not fit its layers"),
        (lambda m: m.update(constants=1), "constants/0"),
        (lambda m: m.update(tied=[["0.weight", "0"]]), "are not Parameters"),
        (lambda m: m.update(classes=[1]), "classes must be a list of names"),
    ],
)
def test_a_changed_manifest_is_refused(change, message, tmp_path):
    path = tmp_path / "net.minidl"
    written(path, change)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        minidl.load_model(path)


def step_of(manifest):
    """The first record in the file of a resnet20: that of a shortcut, which subsamples and pads."""
    return json.loads(json.dumps(manifest)), manifest["architecture"]["members"][9]["members"][1]["record"]["steps"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operation": "eval"}, "a function that this version does not have: operation 'eval'"),
        ({"operation": "__class__"}, "a function that this version does not have"),
        ({"with": {"tuple": [{"value": 99}]}}, "uses the value 99 before it is there"),
        ({"with": {"tuple": [{"at": "__class__"}]}}, "there is nothing at '__class__'"),
        ({"with": {"tuple": [{"at": "_forward_hooks"}]}}, "there is nothing at"),
        ({"with": {"tuple": [{"import": "os"}]}}, "an object that is nothing: import"),
        ({"with": {"tuple": [{"array": 5}]}}, "IndexError|index out of range"),
    ],
)
def test_a_changed_record_is_refused(change, message, tmp_path):
    path = tmp_path / "net.minidl"
    written(path, lambda manifest: step_of(manifest)[1].update(change))
    with pytest.raises(ValueError, match=message):
        minidl.load_model(path)


def test_members_that_belong_to_nothing_are_refused(tmp_path):
    path = tmp_path / "net.minidl"
    written(path, more={"code.py": b"print(1)"})
    with pytest.raises(ValueError, match="it holds code.py, which does not belong to a model"):
        minidl.load_model(path)


def test_a_damaged_file_is_an_error_or_the_same_model(tmp_path):
    seed = int(np.random.default_rng().integers(2**31))
    print("seed", seed)
    rng = np.random.default_rng(seed)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    path = tmp_path / "net.minidl"
    minidl.save_model(net, path, preprocess={"shape": (1, 8, 8)}, classes=["a", "b", "c"])
    content, state = path.read_bytes(), net.state_dict()
    refused = 0
    for trial in range(300):
        damaged = bytearray(content)
        if trial % 3 == 0:
            damaged = damaged[: int(rng.integers(len(content)))]
        else:
            for place in rng.integers(0, len(content), int(rng.integers(1, 4))):
                damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            loaded = minidl.load_model(path)
        except ValueError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            found = loaded.model.state_dict()
            assert list(found) == list(state)
            assert all(np.array_equal(found[name], state[name]) for name in state)
            assert loaded.classes == ["a", "b", "c"]
    assert refused > 200


def test_a_file_that_claims_too_much_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "net.minidl"
    minidl.save_model(nn.Linear(200, 200), path)
    monkeypatch.setenv("MINIDL_MAX_BYTES", "1000")
    minidl.load_model(path)  # what it holds is as large as what it claims
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["state/weight.npy"] = members["state/weight.npy"][:128] + bytes(4 * 200 * 200)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="MINIDL_MAX_BYTES"):
        minidl.load_model(path)


def test_a_file_is_not_a_run(tmp_path):
    minidl.save_model(nn.Linear(4, 3), tmp_path / "net.minidl", (2, 4))
    with pytest.raises(ValueError, match=r"load_run: .*net\.minidl is a file, .* use load_model"):
        minidl.load_run(tmp_path / "net.minidl")
