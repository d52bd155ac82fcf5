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
