"""summary and output_shape: numbers counted by hand."""

import numpy as np
import pytest

from minidl import models, nn


def test_lenet5_counted_by_hand():
    summary = models.lenet5().summary((1, 1, 28, 28))
    assert summary.total_params == summary.trainable_params == 61706
    assert summary.multiply_adds == 6 * 25 * 784 + 16 * 150 * 100 + 400 * 120 + 120 * 84 + 84 * 10
    assert summary.param_bytes == 4 * 61706
    rows = {row.name: row for row in summary.rows}
    assert rows["0"].output_shape == (1, 6, 28, 28)
    assert rows["0"].params == 156
    assert rows["2"].kind == "MaxPool2d"
    assert rows["2"].output_shape == (1, 6, 14, 14)
    assert rows["6"].output_shape == (1, 400)
    assert rows["11"].input_shape == (1, 84)
    assert "3 (Conv2d)" in summary
    assert "61,706" in summary
    assert repr(summary) == str(summary)


def test_the_batch_counts_and_frozen_parameters_are_told_apart():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    summary = model.summary((5, 4))
    assert summary.multiply_adds == 5 * (12 + 6)
    assert summary.trainable_params == 8
    assert "(15 frozen)" in summary
    assert summary.output_bytes == 4 * 5 * (3 + 2)


def test_nothing_is_left_behind():
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    model[1].eval()
    model.summary((2, 4))
    model.output_shape((2, 4))
    assert not calls
    assert model.training
    assert not model[1].training
    assert nn.is_grad_enabled()
    model(np.ones((1, 4), np.float32))
    assert calls == [1]


def test_layers_inside_a_users_module_are_listed_by_path():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
            self.gain = nn.Parameter(np.ones(3, np.float32))

        def forward(self, x):
            return self.body(x) * self.gain.data

    rows = Net().summary((2, 4)).rows
    assert [(row.name, row.kind, row.params) for row in rows] == [
        ("body.0", "Linear", 15),
        ("body.1", "ReLU", 0),
        ("", "Net", 3),
    ]


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(2, 5, (3, 2), stride=(2, 1), padding=1), (4, 2, 7, 8), (4, 5, 4, 9)),
        (nn.MaxPool2d(3, stride=2, ceil_mode=True), (4, 2, 8, 8), (4, 2, 4, 4)),
        (nn.Linear(3, 7), (4, 2, 3), (4, 2, 7)),
        (nn.Flatten(), (4, 2, 3, 5), (4, 30)),
        (nn.Flatten(0), (4, 2, 3), (24,)),
        (nn.Linear(3, 7, dtype=np.float64), (2, 3), (2, 7)),
    ],
)
def test_output_shape(layer, shape, expected):
    assert layer.output_shape(shape) == expected


class Total(nn.Module):
    """The sum of all numbers of a batch."""

    def forward(self, x):
        return x.sum()


def test_output_shape_of_a_single_number():
    assert Total().output_shape((4, 3)) == ()


def test_a_shape_that_does_not_fit_names_the_layer():
    model = nn.Sequential(nn.Flatten(), nn.Linear(10, 3))
    with pytest.raises(ValueError, match=r'Linear "1": expected 10 input features, got 12'):
        model.output_shape((1, 3, 2, 2))
    with pytest.raises(ValueError, match="expected a batch"):
        nn.Conv2d(1, 1, 3).summary((1, 28, 28))
    with pytest.raises(TypeError, match="input_shape must be a tuple"):
        model.summary(28)
    with pytest.raises(ValueError, match="input_shape must be at least 1"):
        model.output_shape((0, 12))


class TwoInputs(nn.Module):
    """An image and features; the same layer sees both halves of the image's channels."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(2, 3, 3), nn.ReLU()
        self.head = nn.Linear(7, 5)

    def forward(self, image, features):
        left, right = (self.act(self.conv(half)) for half in image.chunk(2, dim=1))
        pooled = (left * right).mean(dim=(2, 3))
        return self.head(np.concatenate([pooled, features], axis=1))


def test_several_inputs_and_a_layer_that_is_called_twice():
    net = TwoInputs()
    summary = net.summary((2, 4, 5, 5), (2, 4))
    assert [(row.name, row.params, row.again) for row in summary.rows] == [
        ("conv", 57, False),
        ("act", 0, False),
        ("conv", 0, True),
        ("act", 0, True),
        ("head", 40, False),
    ]
    assert summary.total_params == 57 + 40 == sum(row.params for row in summary.rows)
    assert summary.multiply_adds == 2 * (2 * 9 * 18 * 3 + 35)
    assert "Input shapes: (2, 4, 5, 5), (2, 4)" in summary
    assert summary.count("(again)") == 2
    assert summary == net.summary([(2, 4, 5, 5), (2, 4)])  # torchinfo's form
    assert net.output_shape((7, 4, 5, 5), (7, 4)) == (7, 5)
    with pytest.raises(ValueError, match='Linear "head": expected 7 input features, got 6'):
        net.summary((2, 4, 5, 5), (2, 3))


def test_structures_of_inputs_and_outputs():
    class Structured(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(9, 4)

        def forward(self, parts, ids):
            both = parts["a"] + parts["b"][0]
            return {"sum": both, "rows": [self.embed(ids), ids], "total": both.sum()}

    net = Structured()
    shapes = {"a": (6, 4), "b": [(6, 4)]}
    expected = {"sum": (6, 4), "rows": [(6, 3, 4), (6, 3)], "total": ()}
    assert net.output_shape(shapes, (6, 3), dtype=[None, None, int]) == expected
    (row,) = net.summary(shapes, (6, 3), dtype=[None, None, int]).rows
    assert (row.input_shape, row.output_shape) == ((6, 3), (6, 3, 4))
    with pytest.raises(ValueError, match="got 2 dtypes for 3 inputs"):
        net.output_shape(shapes, (6, 3), dtype=[None, int])
    with pytest.raises(TypeError, match="got <class 'int'>; give a dtype by name"):
        net.output_shape(shapes, int)


def test_a_first_axis_of_one_is_not_always_the_batch():
    class Center(nn.Module):
        def forward(self, x):
            return x.mean(axis=0, keepdims=True)

    class Rows(nn.Module):
        def forward(self, x):
            return x, x.reshape(-1, 1)

    assert Center().output_shape((64, 3)) == (1, 3)
    assert Rows().output_shape((64, 1)) == ((64, 1), (64, 1))
    assert Rows().output_shape((64, 3)) == ((64, 3), (192, 1))


def test_a_call_by_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x):
            return self.linear(x=x)

    (row,) = Named().summary((4, 3)).rows
    assert row.output_shape == (4, 2)

    net = Named()
    x = np.ones((4, 3), np.float32)
    net(x=x)
    dx = net.backward(np.ones((4, 2), np.float32))
    np.testing.assert_allclose(dx, np.tile(net.linear.weight.data.sum(0), (4, 1)), rtol=1e-6)
    with pytest.raises(TypeError, match="unexpected keyword argument 'y'"):
        net(x, y=2)
