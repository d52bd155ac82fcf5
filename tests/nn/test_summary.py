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
