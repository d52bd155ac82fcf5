"""PyTorch's own sample inputs for its modules, run through minidl's in float64: every batched case."""

import warnings

import numpy as np
import pytest

from minidl import nn

pytest.importorskip("torch")
pytest.importorskip("expecttest")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch.testing._internal.common_modules import module_db

INFOS = [info for info in module_db if hasattr(nn, info.module_cls.__name__)]
# minidl takes batches only
IMAGES = {"Conv2d", "ConvTranspose2d", "AvgPool2d", "LPPool2d", "MaxPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d"}
IMAGES |= {"BatchNorm2d", "InstanceNorm2d", "Softmax2d", "ZeroPad2d", "ConstantPad2d", "ReflectionPad2d"}
IMAGES |= {"ReplicationPad2d", "CircularPad2d"}
AXES = {**dict.fromkeys(IMAGES, 4), "Conv1d": 3, "MaxPool1d": 3, "Linear": 2, "CrossEntropyLoss": 2, "NLLLoss": 2}
AXES |= {"MultiMarginLoss": 2, "Bilinear": 2, "LocalResponseNorm": 3}


def numbers(value):
    return value.detach().numpy() if isinstance(value, torch.Tensor) else value


def samples(info, training):
    drawn = info.module_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=False, training=training)
    for sample in drawn:
        inputs = (*sample.forward_input.args, *sample.forward_input.kwargs.values())
        options = {k: v for k, v in sample.constructor_input.kwargs.items() if k not in ("device", "dtype")}
        # PyTorch draws negative weights too, which no loss of minidl takes
        options = {k: v.abs() if k in ("weight", "pos_weight") else v for k, v in options.items()}
        if inputs[0].ndim >= AXES.get(info.module_cls.__name__, 0):
            yield sample.constructor_input.args, options, inputs


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("info", INFOS, ids=lambda info: info.module_cls.__name__)
@pytest.mark.filterwarnings("ignore")
def test_every_batched_sample_as_pytorch(info, training):
    name, count = info.module_cls.__name__, 0
    for args, options, inputs in samples(info, training):
        theirs = info.module_cls(*args, **options).double().train(training)
        ours = getattr(nn, name)(*map(numbers, args), **{k: numbers(v) for k, v in options.items()})
        ours.astype(np.float64).train(training)
        ours.load_state_dict(theirs.state_dict())
        loss = isinstance(ours, nn.Loss)
        tensors = [value.detach().clone() for value in inputs]
        learned = [value for value in tensors[: 1 if loss else None] if value.is_floating_point()]
        for value in learned:
            value.requires_grad_()
        out = theirs(*tensors)
        mine = ours(*(np.array(numbers(value)) for value in inputs))
        if isinstance(out, tuple):  # return_indices
            np.testing.assert_array_equal(mine[1], numbers(out[1]))
            out, mine = out[0], mine[0]
        np.testing.assert_allclose(mine, numbers(out), rtol=1e-7, atol=1e-9)
        grad = torch.randn_like(out)
        out.backward(grad)
        dx = ours.backward(np.array(numbers(grad)))
        back = [g for g in (dx if isinstance(dx, tuple) else (dx,)) if g is not None]
        for g, value in zip(back, learned, strict=True):
            np.testing.assert_allclose(g, value.grad.numpy(), rtol=1e-7, atol=1e-9)
        parameters, buffers = dict(ours.named_params()), dict(ours.named_buffers())
        for path, parameter in theirs.named_parameters():
            np.testing.assert_allclose(parameters[path].grad, parameter.grad.numpy(), rtol=1e-7, atol=1e-9)
        for path, buffer in theirs.named_buffers():
            np.testing.assert_allclose(buffers[path], buffer.numpy(), rtol=1e-7)
        count += 1
    assert count
