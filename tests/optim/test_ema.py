"""The moving average of weights, beside PyTorch's AveragedModel."""

import numpy as np
import pytest

from minidl import nn, optim


def test_as_pytorchs_averaged_model(torch):
    ours, theirs = nn.Linear(3, 2).astype(np.float64), torch.nn.Linear(3, 2).double()
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    ema = optim.EMA(ours, decay=0.9)
    averaged = torch.optim.swa_utils.AveragedModel(theirs, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    averaged.update_parameters(theirs)  # its first update copies
    for _ in range(5):
        ours.weight.data += 1
        theirs.weight.data += 1
        ema.update()
        averaged.update_parameters(theirs)
    np.testing.assert_allclose(ema.average["weight"], averaged.module.weight.detach().numpy(), rtol=1e-12)


def test_applied_for_a_while_and_restored_even_after_an_error():
    layer = nn.BatchNorm1d(2)
    ema = optim.EMA(layer, decay=0.5)
    layer.weight.data += 2
    layer.num_batches_tracked += 3
    ema.update()
    with pytest.raises(KeyError), ema.applied() as model:
        np.testing.assert_array_equal(model.weight.data, [2, 2])
        raise KeyError
    np.testing.assert_array_equal(layer.weight.data, [3, 3])
    assert ema.average["num_batches_tracked"] == 3
    assert ema.average["weight"].dtype == np.float32


def test_the_state_travels():
    layer = nn.Linear(2, 1)
    ema = optim.EMA(layer)
    state = ema.state_dict()
    layer.weight.data += 1
    ema.update()
    ema.load_state_dict(state)
    np.testing.assert_array_equal(ema.average["weight"], state["weight"])
    with pytest.raises(ValueError, match="EMA: cannot load state: names or shapes do not match"):
        ema.load_state_dict({"weight": state["weight"]})
    with pytest.raises(ValueError, match="EMA: decay must be between"):
        optim.EMA(layer, decay=2)


def test_the_warm_up_is_tensorflows():
    """By hand: min(decay, (1 + t) / (10 + t)) for update t: 1/10, 2/11, 3/12, then the decay."""
    layer = nn.Linear(1, 1, bias=False).astype(np.float64)
    layer.weight.data[...] = 0
    ema, plain = optim.EMA(layer, decay=0.25, warmup=True), optim.EMA(layer, decay=0.25)
    layer.weight.data[...] = 1
    expected = 0.0
    for decay in (1 / 10, 2 / 11, 3 / 12, 0.25, 0.25):
        ema.update()
        expected = decay * expected + (1 - decay)
        np.testing.assert_allclose(ema.average["weight"], expected, rtol=1e-12)
    plain.update()
    assert plain.average["weight"] == 0.75
    with pytest.raises(TypeError, match="EMA: warmup must be True or False, got 1"):
        optim.EMA(layer, warmup=1)


def test_the_state_of_a_warm_up_travels_with_its_count():
    layer = nn.Linear(2, 1).astype(np.float64)
    ema, other = optim.EMA(layer, 0.9, warmup=True), optim.EMA(layer, 0.9, warmup=True)
    layer.weight.data += 1
    for _ in range(3):
        ema.update()
    other.load_state_dict(ema.state_dict())
    assert other.updates == 3
    layer.weight.data += 1
    ema.update()
    other.update()
    np.testing.assert_array_equal(ema.average["weight"], other.average["weight"])
    assert set(optim.EMA(layer).state_dict()) == {"weight", "bias"}  # as in earlier versions
    with pytest.raises(ValueError, match=r"names or shapes do not match: \['\(updates\)'\]"):
        optim.EMA(layer).load_state_dict(ema.state_dict())
