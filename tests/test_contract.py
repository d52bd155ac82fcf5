"""Every public layer, over the table of cases: minidl's contract, PyTorch's numbers, names and repr, the errors."""

import copy
import re

import numpy as np
import pytest
from cases import CASES, NOT_LAYERS
from checks import TORCH_TOLERANCE, assert_close

from minidl import nn
from minidl.testing import check_module

DTYPES = [np.float32, np.float64]
all_cases = pytest.mark.parametrize("case", CASES, ids=[c.id for c in CASES])


def test_every_public_layer_has_a_case_with_bad_inputs():
    layers = set(nn.__all__) - NOT_LAYERS
    assert layers == {case.layer for case in CASES}
    assert layers == {case.layer for case in CASES if case.bad_inputs}


@all_cases
def test_contract(case, engine):
    assert check_module(case.make(), *case.draw())


def grads(value):
    """What backward returned, as a tuple; None for an input without a gradient."""
    return value if isinstance(value, tuple) else (value,)


twins = pytest.mark.parametrize("case", [c for c in CASES if c.reference is None], ids=lambda c: c.id)


@twins
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")  # PyTorch's own
def test_same_numbers_as_pytorch(case, dtype, torch, engine):
    ours = case.make().astype(dtype)
    theirs = case.make_torch(torch).to(torch.from_numpy(np.zeros(0, dtype)).dtype)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    if case.random:
        ours.eval()
        theirs.eval()
    inputs = case.draw(dtype)
    tensors = [torch.from_numpy(x) for x in inputs]
    learnt = [t for t in tensors[: 1 if case.target else None] if t.is_floating_point()]
    for tensor in learnt:
        tensor.requires_grad_()

    out, expected = ours(*inputs), theirs(*tensors)
    tolerance = max(case.tolerance, TORCH_TOLERANCE[np.dtype(dtype)])
    assert_close(out, expected.detach().numpy(), tolerance, "output")
    grad = np.random.default_rng(1).standard_normal(expected.shape).astype(dtype)
    expected.backward(torch.from_numpy(np.asarray(grad)))
    back = [g for g in grads(ours.backward(grad if isinstance(out, np.ndarray) else float(grad))) if g is not None]
    for dx, tensor in zip(back, learnt, strict=True):
        assert_close(dx, tensor.grad.numpy(), tolerance, "input gradient")
    theirs_by_name = dict(theirs.named_parameters())
    for name, parameter in ours.named_params():
        assert_close(parameter.grad, theirs_by_name[name].grad.numpy(), tolerance, f"gradient of {name}")
        assert parameter.grad.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [c for c in CASES if c.reference is not None], ids=lambda c: c.id)
def test_same_numbers_as_the_reference(case, dtype, engine):
    layer = case.make().astype(dtype).eval()
    inputs = case.draw(dtype)
    tolerance = max(case.tolerance, TORCH_TOLERANCE[np.dtype(dtype)])
    assert_close(layer(*inputs), case.reference(layer, *inputs), tolerance, "output")


@twins
def test_same_repr_as_pytorch(case, torch):
    expected = repr(case.make_torch(torch)).replace(", inplace=False", "")
    assert repr(case.make()) == expected
    assert repr(case.make().eval()) == expected + "  # eval mode"


@twins
def test_state_dict_has_pytorchs_names_and_shapes(case, torch):
    expected = {name: tuple(value.shape) for name, value in case.make_torch(torch).state_dict().items()}
    assert {name: value.shape for name, value in case.make().state_dict().items()} == expected


@all_cases
def test_nothing_is_kept_inside_no_grad(case):
    layer, inputs = case.make().astype(np.float64), case.draw()
    layer(*inputs)
    with nn.no_grad():
        layer(*inputs)
    with pytest.raises(RuntimeError, match=f"{case.layer}: backward\\(\\) has no forward pass to work on"):
        layer.backward(1.0)


@all_cases
def test_a_new_forward_replaces_what_was_kept(case):
    layer, inputs = case.make().astype(np.float64).eval(), case.draw()
    other = (inputs[0][::-1] * (0.9 if inputs[0].dtype.kind == "f" else 1), *inputs[1:])
    fresh = copy.deepcopy(layer)
    out = fresh(*other)
    grad = np.ones_like(out) if isinstance(out, np.ndarray) else 1.0
    expected = fresh.backward(grad)
    layer(*inputs)
    layer(*other)
    for again, first in zip(grads(layer.backward(grad)), grads(expected), strict=True):
        assert (again is first is None) or (again == first).all()


@all_cases
def test_backward_refuses_a_gradient_of_another_shape(case):
    layer, inputs = case.make().astype(np.float64), case.draw()
    layer(*inputs)
    with pytest.raises(ValueError, match="expected grad_output of the (output|loss)'s shape"):
        layer.backward(np.zeros((1, 2, 3, 4, 5)))


@pytest.mark.parametrize(
    ("layer", "bad"),
    [(c.layer, bad) for c in CASES for bad in c.bad_options],
    ids=lambda v: v if isinstance(v, str) else f"{v[0]}{v[1]}",
)
def test_bad_options_are_refused_at_once(layer, bad):
    args, options, error, message = bad
    with pytest.raises(error, match=message):
        getattr(nn, layer)(*args, **options)


@pytest.mark.parametrize(
    ("case", "bad"),
    [(c, bad) for c in CASES for bad in c.bad_inputs],
    ids=lambda v: v.layer if hasattr(v, "layer") else re.sub(r"\W+", "-", v[2])[:50],
)
def test_bad_inputs_are_refused_with_the_layers_name(case, bad):
    inputs, error, message = bad
    layer = case.make()
    with pytest.raises(error, match=message) as caught:
        layer(*inputs)
    assert str(caught.value).startswith(f"{case.layer}: ")
    with pytest.raises(RuntimeError, match="no forward pass"):
        layer.backward(1.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [c for c in CASES if c.target is None], ids=lambda c: c.id)
def test_output_and_gradients_keep_the_dtype(case, dtype):
    layer = case.make().astype(dtype)
    out = layer(*case.draw(dtype))
    assert out.dtype == dtype
    back = [g for g in grads(layer.backward(out)) if g is not None]
    assert all(g.dtype == dtype for g in (*back, *(p.grad for p in layer.params())))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", [c for c in CASES if c.target is None], ids=lambda c: c.id)
def test_backward_refuses_a_gradient_of_another_dtype(case, dtype):
    layer = case.make().astype(dtype)
    out = layer(*case.draw(dtype))
    other = np.float64 if dtype == np.float32 else np.float32
    with pytest.raises(TypeError, match=f"expected grad_output in the output's dtype {np.dtype(dtype)}"):
        layer.backward(np.ones(out.shape, other))
