"""The cases of the activations."""

import numpy as np
from case import Case

INTEGERS = np.zeros((2, 4), int)
OPTIONS = {  # layer -> the options of its further cases
    "CELU": [{"alpha": 0.5}],
    "ELU": [{"alpha": 2}],
    "GELU": [{"approximate": "tanh"}],
    "GLU": [{"dim": 1}],
    "Hardshrink": [{"lambd": 0.2}],
    "Hardsigmoid": [{}],
    "Hardswish": [{}],
    "Hardtanh": [{"min_val": -0.3, "max_val": 2}],
    "LeakyReLU": [{"negative_slope": 0.2}],
    "LogSigmoid": [{}],
    "LogSoftmax": [{"dim": 1}, {"dim": -1}],
    "Mish": [{}],
    "PReLU": [{"init": -0.5}, {"num_parameters": 2}],
    "ReLU": [{}],
    "ReLU6": [{}],
    "SELU": [{}],
    "Sigmoid": [{}],
    "SiLU": [{}],
    "Softmax": [{"dim": 1}, {"dim": 2}],
    "Softmin": [{"dim": 1}],
    "Softplus": [{"beta": 2, "threshold": 1.5}],
    "Softshrink": [{"lambd": 0.2}],
    "Softsign": [{}],
    "Tanh": [{}],
    "Tanhshrink": [{}],
}
BAD = {
    "CELU": [((0,), {}, ValueError, "CELU: alpha must not be 0")],
    "ELU": [(("1",), {}, TypeError, "ELU: alpha must be a number, got '1'")],
    "GELU": [(("fast",), {}, ValueError, "GELU: approximate must be one of 'none', 'tanh', got 'fast'")],
    "GLU": [((1.0,), {}, TypeError, "GLU: dim must be an integer, got 1.0")],
    "Hardshrink": [((-1,), {}, ValueError, "Hardshrink: lambd must be at least 0, got -1")],
    "Hardtanh": [((1, -1), {}, ValueError, "Hardtanh: max_val must be above min_val, got 1 and -1")],
    "LeakyReLU": [((float("nan"),), {}, ValueError, "LeakyReLU: negative_slope must be")],
    "PReLU": [((0,), {}, ValueError, "PReLU: num_parameters must be at least 1, got 0")],
    "ReLU": [((), {"inplace": 3}, TypeError, "ReLU: inplace must be True or False, got 3")],
    "Softmax": [(("1",), {}, TypeError, "Softmax: dim must be an integer, got '1'")],
    "Softplus": [((0,), {}, ValueError, "Softplus: beta must not be 0")],
}

SOFTMAX = ("LogSoftmax", "Softmax", "Softmin")  # PyTorch warns of an axis that is not said

ACTIVATIONS = [
    case
    for layer, others in OPTIONS.items()
    for case in (
        Case(
            layer,
            options={"dim": 1} if layer in SOFTMAX else {},
            shape=(3, 2, 3, 4),
            tolerance=3e-8 if layer == "Hardsigmoid" else 0.0,  # PyTorch's 1/6 is a float32 number
            bad_options=tuple(BAD.get(layer, ())),
            bad_inputs=(((INTEGERS,), TypeError, f"{layer}: expected a float32"),),
        ),
        *(Case(layer, (), options, (4, 2, 6)) for options in others if options),
    )
]
ACTIVATIONS += [
    Case("ReLU", shape=(2, 5), ties=True),  # exact zeros
    Case("Threshold", (0.1, 20), {}, (3, 4), bad_inputs=(((INTEGERS,), TypeError, "Threshold: expected a float32"),)),
    Case(
        "Softmax2d",
        shape=(2, 3, 2, 2),
        bad_inputs=(((np.zeros((2, 3)),), ValueError, r"Softmax2d: expected an input of shape \(N, C, H, W\)"),),
    ),
    Case(
        "Squareplus",
        shape=(3, 4),
        reference=lambda layer, x: 0.5 * x + (0.25 * x**2 + layer.b / 4) ** 0.5,
        onnx=False,
        bad_options=(((-1,), {}, ValueError, "Squareplus: b must be at least 0, got -1"),),
        bad_inputs=(((INTEGERS,), TypeError, "Squareplus: expected a float32"),),
    ),
    Case("Squareplus", (0,), shape=(3, 4), reference=lambda layer, x: np.maximum(x, 0), onnx=False),
]
