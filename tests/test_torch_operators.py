"""PyTorch's own sample inputs for its operators, run through minidl's functions in float64: every batched case."""

import warnings

import numpy as np
import pytest

from minidl import functional as f

pytest.importorskip("torch")
pytest.importorskip("expecttest")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import torch
    from torch.testing._internal.common_methods_invocations import op_db

CONVOLUTIONS = {"conv1d": 3, "conv2d": 4, "conv_transpose2d": 4}
POOLINGS = {"max_pool1d": 3, "max_pool2d": 4, "avg_pool2d": 4, "adaptive_avg_pool2d": 4, "adaptive_max_pool2d": 4}
AXES = CONVOLUTIONS | POOLINGS
OPERATORS = {op.name.removeprefix("nn.functional."): op for op in op_db if not op.variant_test_name}
NAMES = {
    "conv1d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv2d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv_transpose2d": ("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
    "avg_pool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"),
    "max_pool1d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "max_pool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"),
    "adaptive_avg_pool2d": ("output_size",),
    "adaptive_max_pool2d": ("output_size", "return_indices"),
}


def samples(name):
    for sample in OPERATORS[name].sample_inputs("cpu", torch.float64, requires_grad=False):
        if sample.input.ndim == AXES[name]:
            yield sample.input, dict(zip(NAMES[name], sample.args, strict=False)) | sample.kwargs


def singles(name, options):
    """minidl's functions over sequences take a number where PyTorch also takes a tuple of one."""
    sequences = name.endswith("1d")
    return {k: v[0] if sequences and isinstance(v, (tuple, list)) else v for k, v in options.items()}


def close(actual, expected):
    np.testing.assert_allclose(actual, expected.detach().numpy(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.filterwarnings("ignore")
def test_every_batched_sample_of_a_convolution(name):
    count = 0
    for given, options in samples(name):
        tensors = [given, options.pop("weight"), options.pop("bias", None)]
        tensors = [t if t is None else t.detach().clone().requires_grad_() for t in tensors]
        out = getattr(torch.nn.functional, name)(*tensors, **options)
        arrays = [t if t is None else t.detach().numpy() for t in tensors]
        ours, cache = getattr(f, f"{name}_forward")(*arrays, **singles(name, options))
        close(ours, out)
        grad = torch.randn_like(out)
        out.backward(grad)
        for mine, tensor in zip(getattr(f, f"{name}_backward")(grad.numpy(), cache), tensors, strict=True):
            if tensor is not None:
                close(mine, tensor.grad)
        count += 1
    assert count >= 5


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.filterwarnings("ignore")
def test_every_batched_sample_of_a_pooling(name):
    count = 0
    for given, options in samples(name):
        x = given.detach().clone().requires_grad_()
        out = getattr(torch.nn.functional, name)(x, **options)
        indices = options.pop("return_indices", False)
        ours, cache = getattr(f, f"{name}_forward")(given.detach().numpy(), **singles(name, options))
        if indices:
            found = f.adaptive_max_pool2d_indices(cache) if "adaptive" in name else f.max_pool2d_indices(cache)
            np.testing.assert_array_equal(found.reshape(ours.shape), out[1].numpy())
            out = out[0]
        close(ours, out)
        grad = torch.randn_like(out)
        out.backward(grad)
        close(getattr(f, f"{name}_backward")(grad.numpy(), cache), x.grad)
        count += 1
    assert count >= 3
