"""Module's surface: what is registered, state, modes, hooks, errors that say where."""

import copy
import pickle

import numpy as np
import pytest

from minidl import nn, optim


class Scale(nn.Module):
    """A layer of a user's, as the documentation writes it."""

    def __init__(self, features):
        super().__init__()
        self.weight = nn.Parameter(np.ones(features, np.float32))

    def forward(self, x):
        self.save_for_backward(x)
        return x * self.weight.data

    def backward(self, grad_output):
        x = self.take_saved()
        self.weight.add_grad((grad_output * x).sum(axis=0))
        return grad_output * self.weight.data


class Block(nn.Module):
    """Children in an attribute, a list, a dict, and a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(np.ones(1, np.float32))
        self.first = nn.Linear(4, 3)
        self.rest = [nn.ReLU(), nn.Linear(3, 3)]
        self.heads = {"a": nn.Linear(3, 2), "b": nn.Linear(3, 5, bias=False)}
        self.register_buffer("steps", np.zeros(2, np.float32))
        self.register_buffer("scratch", np.zeros(2, np.float32), persistent=False)

    def forward(self, x):
        x = self.first(x)
        for layer in self.rest:
            x = layer(x)
        return self.heads["a"](x)

    def backward(self, grad_output):
        grad_output = self.heads["a"].backward(grad_output)
        for layer in reversed(self.rest):
            grad_output = layer.backward(grad_output)
        return self.first.backward(grad_output)


BLOCK_NAMES = [
    "gain",
    "first.weight",
    "first.bias",
    "rest.1.weight",
    "rest.1.bias",
    "heads.a.weight",
    "heads.a.bias",
    "heads.b.weight",
]


def test_parameters_are_found_in_attributes_lists_and_dicts():
    block = Block()
    assert [name for name, _ in block.named_params()] == BLOCK_NAMES
    assert [name for name, _ in block.named_parameters()] == BLOCK_NAMES
    assert list(block.params()) == list(block.parameters()) == [p for _, p in block.named_params()]
    assert [name for name, _ in block.named_children()] == ["first", "rest.0", "rest.1", "heads.a", "heads.b"]
    assert next(block.named_modules()) == ("", block)
    assert len(list(block.modules())) == 6
    assert list(block.children()) == list(block.modules())[1:]
    assert list(block.state_dict()) == ["gain", "steps", *BLOCK_NAMES[1:]]
    assert [name for name, _ in block.named_buffers()] == ["steps", "scratch"]


def test_a_layer_appended_to_a_list_later_is_found_too():
    block = Block()
    block.rest.append(nn.Linear(3, 3))
    assert "rest.2.weight" in block.state_dict()


def test_a_set_of_layers_is_refused():
    block = Block()
    block.extra = {nn.ReLU()}
    with pytest.raises(
        TypeError, match="Block: extra is a set of Parameters or Modules, which has no order; use a list"
    ):
        list(block.params())


@pytest.mark.parametrize("heads", [{1: nn.ReLU()}, {"a.0": nn.ReLU()}])
def test_dict_keys_that_could_collide_in_paths_are_refused(heads):
    block = Block()
    block.heads = heads
    with pytest.raises(TypeError, match="Block: the keys of heads must be strings without a dot to be paths"):
        block.state_dict()


def test_shared_parameters_and_modules_come_once_but_are_saved_under_both_names():
    block = Block()
    block.rest[1] = block.heads["b"]
    block.tied = block.first.weight
    names = [name for name, _ in block.named_params()]
    assert names.count("tied") + names.count("first.weight") == 1
    assert {"tied", "first.weight", "rest.1.weight", "heads.b.weight"} <= set(block.state_dict())


def test_a_cycle_does_not_hang():
    block = Block()
    block.first.parent = block
    assert len(list(block.params())) == 8
    assert len(block.state_dict()) == 9


def test_forgetting_super_init_is_a_clear_error():
    class Forgot(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(np.ones(1))

    class ForgotQuietly(nn.Module):
        def __init__(self):
            pass

        def forward(self, x):
            return x

    with pytest.raises(
        RuntimeError, match=r"Forgot.__init__ must call super\(\).__init__\(\) before it sets self.weight"
    ):
        Forgot()
    with pytest.raises(RuntimeError, match=r"ForgotQuietly.__init__ must call super\(\)"):
        ForgotQuietly()(1)


def test_replacing_a_parameter_by_an_array_is_refused():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"weight is a Parameter and cannot become a ndarray; .* self.weight.data"):
        layer.weight = np.zeros((2, 2))
    layer.bias = None
    assert [name for name, _ in layer.named_params()] == ["weight"]
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'wieght'"):
        _ = layer.wieght


def test_modes_reach_every_descendant_and_return_self():
    block = Block()
    assert block.eval() is block
    assert not any(m.training for m in block.modules())
    assert block.train() is block
    assert all(m.training for m in block.modules())
    with pytest.raises(TypeError, match="train mode must be True or False"):
        block.train("yes")


def test_gradients_add_up_until_zero_grad(rng):
    layer, x = nn.Linear(4, 2), rng.standard_normal((3, 4)).astype(np.float32)
    assert layer.weight.grad is None
    layer.backward(layer(x))
    once = layer.weight.grad.copy()
    layer.backward(layer(x))
    np.testing.assert_allclose(layer.weight.grad, 2 * once, rtol=1e-6)
    layer.zero_grad()
    assert layer.weight.grad is None


def test_frozen_parameters_get_no_gradient(rng):
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    assert model[0].requires_grad_(False) is model[0]
    out = model(rng.standard_normal((2, 4)).astype(np.float32))
    assert model.backward(out) is not None
    assert model[0].weight.grad is None
    assert model[1].weight.grad is not None
    assert "requires_grad=False" in repr(model[0].weight)


def test_backward_before_forward_and_twice_name_the_layer_and_its_path():
    model = nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(4, 3), nn.ReLU()))
    with pytest.raises(RuntimeError, match=r"^Sequential: backward\(\) has no forward pass to work on"):
        model.backward(np.ones((1, 3), np.float32))
    out = model(np.ones((1, 4), np.float32))
    model.backward(out)
    with pytest.raises(RuntimeError, match=r"Sequential: .* once for each forward pass"):
        model.backward(out)


def test_a_refused_backward_uses_nothing_up_and_names_the_layer(rng):
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    out = model(rng.standard_normal((2, 4)).astype(np.float32))
    with pytest.raises(
        ValueError, match=r"Sequential: expected grad_output of the output's shape \(2, 2\), got \(2, 9\)"
    ):
        model.backward(np.ones((2, 9), np.float32))
    assert model.backward(out).shape == (2, 4)
    layer = nn.Linear(4, 3)
    layer(np.ones((1, 4), np.float32))
    with pytest.raises(TypeError, match="^Linear: expected grad_output in the output's dtype float32, got float64"):
        layer.backward(np.ones((1, 3)))


def test_a_failed_forward_leaves_no_memory_anywhere(rng):
    class Picky(nn.Identity):
        def forward(self, x):
            if not np.isfinite(x).all():
                raise ValueError("not finite")
            return super().forward(x)

    model = nn.Sequential(nn.Linear(3, 3), Picky())
    x = rng.standard_normal((2, 3)).astype(np.float32)
    out = model(x)
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match='Picky "1": not finite'):
        model(x * np.float32(np.inf))
    with pytest.raises(RuntimeError, match="no forward pass"):
        model.backward(out)


def test_errors_carry_the_path_through_containers_and_users_modules():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = [nn.Sequential(nn.ReLU(), nn.Linear(256, 10))]

        def forward(self, x):
            return self.blocks[0](x)

    with pytest.raises(ValueError, match="blocks") as caught:
        Net()(np.zeros((32, 400), np.float32))
    assert str(caught.value) == (
        'Linear "blocks.0.1": expected 256 input features, got 400 (input shape (32, 400)); '
        "did you mean Linear(400, 10)?"
    )


def test_errors_of_other_kinds_pass_unchanged():
    class Net(nn.Module):
        def forward(self, x):
            raise KeyError("x")

    with pytest.raises(KeyError) as caught:
        nn.Sequential(Net())(1)
    assert caught.value.args == ("x",)


def test_forward_hooks_see_and_may_replace_the_output():
    layer, seen = nn.ReLU(), []
    watch = layer.register_forward_hook(lambda module, inputs, output: seen.append((module, inputs, output)))
    double = layer.register_forward_hook(lambda module, inputs, output: output * 2)
    x = np.array([[-1.0, 3.0]])
    assert layer(x).tolist() == [[0, 6]]
    assert seen[0][0] is layer
    assert seen[0][1][0] is x
    assert seen[0][2].tolist() == [[0, 3]]
    double.remove()
    watch.remove()
    watch.remove()
    assert layer(x).tolist() == [[0, 3]]
    assert len(seen) == 1


def test_apply_visits_children_first_and_returns_self():
    visited = []
    model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Flatten()))
    assert model.apply(lambda m: visited.append(type(m).__name__)) is model
    assert visited == ["ReLU", "Flatten", "Sequential", "Sequential"]


def test_astype_converts_parameters_gradients_and_buffers_in_place(rng):
    block = Block()
    block.backward(block(np.ones((2, 4), np.float32)))
    first = block.first.weight
    assert block.astype(np.float64) is block
    assert block.first.weight is first
    assert first.data.dtype == first.grad.dtype == block.steps.dtype == np.float64
    assert block(np.ones((2, 4))).dtype == np.float64
    with pytest.raises(TypeError, match="Block: dtype must be float32 or float64, got int32"):
        block.astype(np.int32)


def test_state_dict_is_a_copy_and_loads_back():
    block, other = Block(), Block()
    state = block.state_dict()
    state["gain"][0] = 9
    assert block.gain.data[0] == 1
    assert other.load_state_dict(state) == ([], [])
    assert other.gain.data[0] == 9
    np.testing.assert_array_equal(other.first.weight.data, block.first.weight.data)


def test_loading_lists_everything_that_is_wrong_and_changes_nothing():
    block = Block()
    before = block.state_dict()
    bad = {**{k: v + 1 for k, v in before.items()}, "extra": np.ones(1), "first.bias": np.ones(7)}
    del bad["gain"]
    with pytest.raises(ValueError, match="Block: cannot load state dict: ") as caught:
        block.load_state_dict(bad)
    for part in ("missing gain", "unexpected extra", "first.bias has shape (7,), expected (3,)"):
        assert part in str(caught.value)
    with pytest.raises(ValueError, match="first.bias"):
        block.load_state_dict(bad, strict=False)
    with pytest.raises(TypeError, match="cannot load 'gain': expected an array of numbers"):
        block.load_state_dict({**before, "gain": np.array(["a"])})
    for name, value in block.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_loading_less_strictly_returns_what_did_not_match():
    block = Block()
    result = block.load_state_dict({"gain": [3.0], "other": np.ones(1)}, strict=False)
    assert result.unexpected_keys == ["other"]
    assert "first.weight" in result.missing_keys
    assert block.gain.data[0] == 3


def test_a_torch_state_dict_loads_as_it_is(torch):
    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    ours = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32)
    np.testing.assert_allclose(ours(x), theirs(torch.from_numpy(x)).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_copies_and_pickles_start_with_nothing_kept_and_share_nothing():
    layer = Scale(3)
    layer(np.ones((2, 3), np.float32))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(nn.Linear(3, 3)))):
        with pytest.raises(RuntimeError, match="no forward pass"):
            twin.backward(np.ones((2, 3), np.float32))
        twin.weight.data += 1
    assert (layer.weight.data == 1).all()
    layer.backward(np.ones((2, 3), np.float32))


def test_repr_shows_the_tree_and_where_evaluation_begins():
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.ReLU(), nn.Dropout(0.1)))
    text = (
        "Sequential(\n  (0): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (1): Sequential(\n    (0): ReLU()\n    (1): Dropout(p=0.1)\n  )\n)"
    )
    assert repr(model) == text
    assert repr(model.eval()) == text.replace("Sequential(", "Sequential(  # eval mode", 1)
    model.train()
    model[1].eval()
    assert repr(model) == text.replace("(1): Sequential(", "(1): Sequential(  # eval mode")


def test_a_module_without_forward_or_backward_says_so():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty does not define forward\(\)"):
        Empty()(1)
    with pytest.raises(NotImplementedError, match=r"Empty does not define backward\(\)"):
        Empty().backward(1)


def test_a_buffer_must_be_an_array():
    with pytest.raises(TypeError, match="Linear: buffer 'count' must be a NumPy array, got 3"):
        nn.Linear(1, 1).register_buffer("count", 3)


def test_needs_input_grad_leaves_parameter_gradients_alone(rng):
    x = rng.standard_normal((2, 2, 5, 5)).astype(np.float32)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 4))
    out = model(x)
    assert model.backward(out).shape == x.shape
    expected = [p.grad for p in model.params()]
    model.zero_grad()
    model.needs_input_grad = False
    assert not model[0].needs_input_grad
    assert model[3].needs_input_grad
    model(x)
    assert model.backward(out) is None
    for parameter, grad in zip(model.params(), expected, strict=True):
        np.testing.assert_array_equal(parameter.grad, grad)


def test_astype_forgets_what_a_forward_pass_kept():
    """Its memory is of the old dtype: a backward pass on it would mix the two."""
    layer = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    layer(np.ones((1, 3), np.float32))
    layer.astype(np.float64)
    with pytest.raises(RuntimeError, match="no forward pass"):
        layer.backward(np.ones((1, 2)))
    with pytest.raises(RuntimeError, match="no forward pass"):
        layer[0].backward(np.ones((1, 2)))


def test_members_with_names_made_at_run_time(torch):
    def net(nn, parameter):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                for i in range(2):
                    self.add_module(f"fc{i}", nn.Linear(2, 3))
                self.register_parameter("scale", parameter())
                self.register_parameter("bias", None)
                self.add_module("norm", None)

        return Net()

    ours = net(nn, lambda: nn.Parameter(np.ones(3)))
    theirs = net(torch.nn, lambda: torch.nn.Parameter(torch.ones(3)))
    assert [name for name, _ in ours.named_children()] == ["fc0", "fc1"]
    assert set(ours.state_dict()) == set(theirs.state_dict())
    assert ours.bias is None is ours.norm
    sequence = nn.Sequential(nn.ReLU())
    sequence.add_module("last", nn.Tanh())
    assert [name for name, _ in sequence.named_children()] == ["0", "last"]
    assert type(sequence(np.zeros((1, 2)))) is np.ndarray
    for name in ("", "a.b", "forward", "training", 3):
        with pytest.raises(ValueError, match="Net: .* cannot be the name of a module"):
            ours.add_module(name, nn.ReLU())
    with pytest.raises(TypeError, match="Net: x must be a Parameter"):
        ours.register_parameter("x", np.ones(3))


def test_to_and_the_like(rng):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert model.to("cpu") is model is model.cpu() is model.to(device="cpu:0")
    assert model.double()[0].weight.dtype == model[1].running_mean.dtype == np.float64
    assert model.to(np.float32)[0].weight.dtype == np.float32
    assert model.to("cpu", dtype=np.dtype(np.float64))[0].weight.dtype == np.float64
    assert model.float()[0].weight.dtype == np.float32
    assert model.to(np.zeros(2))[0].weight.dtype == np.float64
    for wrong in ("cuda", "mps:0", 0):
        with pytest.raises(ValueError, match="Sequential.to: minidl computes on the CPU, there is no device"):
            model.to(wrong)
    with pytest.raises(ValueError, match="no device 'cuda'"):
        model.cuda()
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        model.to(np.int64)


def test_gradients_may_become_zeros(rng):
    model = nn.Linear(2, 3)
    optimizer = optim.SGD(model.params(), 0.1)
    for zero in (model.zero_grad, optimizer.zero_grad):
        model.backward(np.ones_like(model(rng.standard_normal((4, 2)).astype(np.float32))))
        grad = model.weight.grad
        zero(set_to_none=False)
        assert model.weight.grad is grad
        assert not grad.any()
        zero()
        assert model.weight.grad is None
        zero(set_to_none=False)  # there is none
        assert model.weight.grad is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("0.weight", np.full((3, 3), 1e300)), ("1.num_batches_tracked", np.nan), ("1.num_batches_tracked", 2.5)],
)
def test_numbers_that_do_not_fit_are_refused_and_nothing_changes(name, value):
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    before, state = model.state_dict(), {key: array * 2 for key, array in model.state_dict().items()}
    state[name] = value
    with np.errstate(all="raise"), pytest.raises(ValueError, match=f"cannot load '{name}': .* does not fit in"):
        model.load_state_dict(state)
    assert all(np.array_equal(array, before[key]) for key, array in model.state_dict().items())
    state[name] = np.full((3, 3), np.inf) if name == "0.weight" else 7.0
    model.load_state_dict(state)  # an infinity was one before, and 7.0 is a whole number
