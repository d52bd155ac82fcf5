"""SyncBatchNorm2d on 2, 3 and 4 processes, which `sync_ranks.py` runs; and the conversion of models, in this one."""

import copy
import importlib.util
import json
import re
from pathlib import Path

import launching
import numpy as np
import pytest

from minidl import models, nn, optim
from minidl.inference import compile
from minidl.modelfile import load_model, save_model

RANKS = {2: 10, 3: 6, 4: 2}  # how many random layers


@pytest.fixture(scope="session", params=RANKS)
def found(request, tmp_path_factory):
    """What the checks have found on a number of processes, which is "ranks"."""
    launching.need_mpi()
    engines = ["numpy"]
    if importlib.util.find_spec("numba") and request.param < 4:
        engines = ["numpy", "fast"] if request.param == 2 else ["mixed"]
    worker = Path(__file__).with_name("sync_ranks.py")
    ended = launching.launch(request.param, worker, ",".join(engines), RANKS[request.param], timeout=300)
    assert ended.code == 0, ended
    return {"ranks": request.param, "engines": engines, **json.loads(ended.out.splitlines()[-1])}


def test_random_layers_are_those_of_the_whole_batch(found):
    assert len(found["layers"]) == 2 * len(found["engines"])
    for name, seeds in found["layers"].items():
        assert len(seeds) == RANKS[found["ranks"]]
        for seed, worst in seeds.items():
            tolerance = 1e-12 if "float64" in name else 2e-5
            print(f"{found['ranks']} ranks, {name}, seed {seed}: {worst}")
            assert max(worst.values()) <= tolerance, (name, seed, worst)


def test_a_converted_net_is_that_of_the_whole_batch(found):
    assert set(found["nets"]) == set(found["engines"])
    assert max(found["nets"].values()) <= 1e-12


def test_one_value_on_all_ranks_is_refused_by_each(found):
    for engine in found["engines"]:
        messages = found[engine]["one_value"]
        assert len(messages) == found["ranks"]
        for rank, message in enumerate(messages):
            assert message.startswith("SyncBatchNorm2d: expected more than one value per channel when training")
            assert f"({int(rank == 1)}, 3, 1, 1) on rank {rank}" in message


def test_empty_batches_and_single_samples(found):
    for engine in found["engines"]:
        assert found[engine]["no_values"]
        assert found[engine]["one_sample"] <= 1e-12


def test_ranks_exchange_as_often_as_said(found):
    for engine in found["engines"]:
        quiet, no_grad = found[engine]["without_exchange"]
        assert quiet == {"gather": 0, "sum": 0}
        assert no_grad == {"gather": 1, "sum": 0}
        assert found[engine]["frozen_weight"] == {"gather": 1, "sum": 1}


def test_copies_pickles_and_passes_outside(found):
    assert found["copies"] == "SyncBatchNorm2d"
    assert found["alone"]


# In one process


class Net(nn.Module):
    """Batch normalisations wherever a module can be."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(2, eps=0.1)
        self.listed = [nn.BatchNorm2d(2, momentum=None), (nn.BatchNorm2d(2, affine=False), self.norm)]
        self.named = {"a": nn.BatchNorm2d(2, track_running_stats=False)}
        self.modules_ = nn.ModuleList([nn.BatchNorm2d(2, bias=False), nn.Sequential(self.norm)])

    def forward(self, x):
        for norm in (self.norm, self.listed[0], *self.listed[1], self.named["a"], *self.modules_):
            x = norm(x)
        return x


def test_a_model_is_converted_in_place():
    net = Net()
    net.listed[0].freeze()
    net.listed[1][0].eval()
    before, seen = copy.deepcopy(net), []
    net.norm.register_forward_hook(lambda *_: seen.append(1))
    optimizer = optim.SGD(net.params(), lr=0.1)
    params, buffers = list(net.params()), [value for _, value in net.named_buffers()]
    assert nn.convert_sync_batchnorm(net) is net
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 5
    assert {type(m) for m in norms} == {nn.SyncBatchNorm2d}
    assert net.norm is net.listed[1][1] is net.modules_[1][0]
    assert all(a is b for a, b in zip(net.params(), params, strict=True))
    assert all(a is b for a, (_, b) in zip(buffers, net.named_buffers(), strict=True))
    assert repr(net).replace("Sync", "") == repr(before)
    x = np.random.default_rng(0).standard_normal((4, 2, 3, 3)).astype(np.float32)
    assert (net(x) == before(x)).all()
    assert (net.backward(x) == before.backward(x)).all()
    assert len(seen) == 3
    optimizer.step()
    assert not (net.norm.weight.data == before.norm.weight.data).all()
    nn.convert_sync_batchnorm(net)  # again: nothing is left to do
    assert any(m.communicates for m in net.modules())
    assert not any(m.communicates for m in before.modules())


def test_the_model_may_be_a_batch_normalisation_and_of_unknown_size():
    norm = nn.BatchNorm2d(None)
    assert type(nn.convert_sync_batchnorm(norm)) is nn.SyncBatchNorm2d
    norm(np.ones((2, 3, 2, 2), np.float32))
    assert norm.num_features == 3


class Own(nn.BatchNorm2d):
    """A class of the user's."""


class OwnSync(nn.SyncBatchNorm2d):
    """A class of the user's that is synchronised."""


def test_what_has_no_synchronised_form_is_named_and_nothing_has_changed():
    net = nn.Sequential(nn.BatchNorm2d(2), Own(2), nn.Flatten(), nn.BatchNorm1d(8), OwnSync(2))
    with pytest.raises(ValueError, match=r'no synchronised form of Own "1", BatchNorm1d "3": put a BatchNorm2d'):
        nn.convert_sync_batchnorm(net)
    assert [type(m) for m in net] == [nn.BatchNorm2d, Own, nn.Flatten, nn.BatchNorm1d, OwnSync]
    with pytest.raises(TypeError, match="convert_sync_batchnorm: model must be a Module, got"):
        nn.convert_sync_batchnorm(nn.BatchNorm2d)


def test_a_converted_model_is_compiled_drawn_and_saved_like_the_other(tmp_path, rng):
    plain = models.resnet20()
    plain(rng.standard_normal((4, 3, 32, 32)).astype(np.float32))
    plain.eval()
    net = nn.convert_sync_batchnorm(copy.deepcopy(plain))
    x = rng.standard_normal((2, 3, 32, 32)).astype(np.float32)
    assert (net(x) == plain(x)).all()
    fast, expected = compile(net, x.shape), compile(plain, x.shape)
    assert (fast(x) == expected(x)).all()
    assert repr(fast).replace("Sync", "") == repr(expected)
    assert (
        str(net.summary(x.shape)).split() == str(plain.summary(x.shape)).replace("BatchNorm", "SyncBatchNorm").split()
    )
    words, others = (re.findall(r">([^<>{}]+)<", model.draw(x.shape).svg) for model in (net, plain))
    assert [word.replace("Sync", "") for word in words] == others
    save_model(net, tmp_path / "net.minidl", x.shape)
    loaded = load_model(tmp_path / "net.minidl").model
    assert any(m.communicates for m in loaded.modules())
    assert (loaded(x) == plain(x)).all()
    again = models.resnet20()
    again.load_state_dict(net.state_dict())
    assert (again.eval()(x) == plain(x)).all()
