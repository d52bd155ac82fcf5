"""model.draw: everything that was called is there, nothing collides, and the numbers are those of the summary."""

import re
from collections import OrderedDict
from xml.etree import ElementTree

import numpy as np
import pytest
from cases import CASES as LAYERS
from derived_nets import C, H, RandomNet, W

from minidl import models, nn
from minidl.cli import main
from minidl.nn.drawing.blocks import Group, read
from minidl.nn.drawing.folding import fold
from minidl.nn.drawing.places import Frame, lay_out
from minidl.nn.drawing.svg import to_svg

SVG = "{http://www.w3.org/2000/svg}"


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)])
        self.bottom, self.pool, self.up = nn.Conv2d(8, 8, 3, padding=1), nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
        self.last = nn.ModuleList([nn.Conv2d(16, 4, 3, padding=1), nn.Conv2d(8, 1, 1)])

    def forward(self, x):
        kept = []
        for layer in self.down:
            x = layer(x)
            kept.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for layer in self.last:
            x = layer(np.concatenate([self.up(x), kept.pop()], axis=1))
        return x


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(2 * n, 2, 3, padding=1) for n in (1, 2, 3, 4)])
        self.gain = nn.Parameter(np.ones((2, 1, 1), np.float32))

    def forward(self, x):
        parts = [x * self.gain]
        for layer in self.layers:
            parts.append(layer(np.concatenate(parts, axis=1)))
        return {"a": parts[-1], "b": 1 - parts[2]}


class TwoPaths(nn.Module):
    """Two values go into a container side by side, and two come out."""

    class Cross(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x, y):
            return self.a(x) + self.b(y), self.a(y)

    def __init__(self):
        super().__init__()
        self.first, self.second = self.Cross(), self.Cross()

    def forward(self, x, y):
        return self.second(*self.first(x, y))


class Random(nn.Module):
    """A graph of layers, sums and concatenations that a seed chooses, some of them within containers."""

    def __init__(self, seed):
        super().__init__()
        self.seed, self.layers = seed, nn.ModuleList(nn.Linear(3, 3) for _ in range(12))
        self.blocks = nn.ModuleList(
            nn.Residual(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))) for _ in range(3)
        )

    def forward(self, x):
        rng, values = np.random.default_rng(self.seed), [x]
        for layer in self.layers:
            a, b = (values[rng.integers(max(0, len(values) - 4), len(values))] for _ in range(2))
            choice = rng.integers(4)
            one = self.blocks[int(rng.integers(3))] if choice == 3 else layer
            values.append((one(a), one(a) + b, a * b, one(a))[choice])
        return values[-1] + values[-3]


CASES = {
    "lenet5": (models.lenet5, (1, 28, 28)),
    "small_vgg": (models.small_vgg, (3, 32, 32)),
    "resnet20": (models.resnet20, (3, 32, 32)),
    "resnet20 B": (lambda: models.resnet20(option="B"), (3, 32, 32)),
    "resnet18": (models.resnet18, (3, 64, 64)),
    "mobilenet_v2": (models.mobilenet_v2, (3, 64, 64)),
    "unet": (UNet, (1, 8, 8)),
    "dense": (Dense, (2, 8, 8)),
    "two paths": (TwoPaths, [(4,), (4,)]),
    "one layer": (lambda: nn.Linear(3, 2), (3,)),
    "nothing": (nn.Identity, (3,)),
    **{f"random {seed}": (lambda seed=seed: Random(seed), (3,)) for seed in range(30)},
}
for seed in range(40):
    net = RandomNet(seed, steps=4 + seed % 14)
    if net.inputs in ("one", "two"):
        CASES[f"net {seed}"] = (lambda net=net: net, (C, H, W) if net.inputs == "one" else [(C, H, W)] * 2)


def shapes_of(shape):
    return tuple((1, *s) for s in shape) if isinstance(shape, list) else ((1, *shape),)


@pytest.fixture(scope="module", params=CASES)
def drawn(request):
    make, shape = CASES[request.param]
    model = make()
    network = read(model, shapes_of(shape), None)
    fold(network)
    return model, shapes_of(shape), network, lay_out(network)


def blocks_of(group):
    """(block, how often it stands for itself) of everything in a group."""
    for item in group.items:
        if isinstance(item, Group):
            yield from ((block, times * item.times) for block, times in blocks_of(item))
        else:
            yield item, 1


def test_the_parameters_are_those_of_the_summary(drawn):
    model, shapes, network, _ = drawn
    summary = model.summary(*shapes)
    # those of a module that has children and Parameters of its own; the summary counts them, used or not
    own = sum(p.data.size for name, p in model.named_params() if name in ("gain", "scale"))
    assert network.params == summary.total_params
    called = sum(row.params for row in summary.rows if row.kind not in ("Dense", "RandomNet")) + own
    assert sum(times * block.params for block, times in blocks_of(network.root)) == called


def test_every_layer_that_was_called_is_there(drawn):
    model, shapes, network, _ = drawn
    called = sorted(row.kind for row in model.summary(*shapes).rows if hasattr(nn, row.kind))
    shown = [
        kind
        for block, times in blocks_of(network.root)
        for kind in [block.kind.split(" ")[0], *(more.split(" ")[0] for more in block.more)] * times
    ]
    assert sorted(kind for kind in shown if kind[0].isupper() and hasattr(nn, kind)) == called


def inside(box, x, y, margin=0.5):
    return box.x + margin < x < box.x + box.width - margin and box.y + margin < y < box.y + box.height - margin


def apart(a, b):
    return a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y


def within(a, b):
    return a.x <= b.x and a.y <= b.y and a.x + a.width >= b.x + b.width and a.y + a.height >= b.y + b.height


def test_nothing_collides(drawn):
    *_, picture = drawn
    areas = [*picture.boxes, *picture.frames]
    for place, a in enumerate(areas):
        for b in areas[:place]:
            framed = any(isinstance(x, Frame) and within(x, y) for x, y in ((a, b), (b, a)))
            assert apart(a, b) or framed, (a, b)
        assert -picture.left <= a.x + 0.01
        assert a.x + a.width <= picture.right + 0.01
        assert a.y >= 0
        assert a.y + a.height <= picture.height
    for line in picture.lines:
        assert all(-picture.left <= x + 0.01 and x <= picture.right + 0.01 for x, _ in line.points)
        for (ax, ay), (bx, by) in zip(line.points, line.points[1:], strict=False):
            assert ax == bx or ay == by, "a line that is neither level nor upright"
            for t in np.linspace(0, 1, 41):
                x, y = ax + t * (bx - ax), ay + t * (by - ay)
                hit = [box for box in picture.boxes if inside(box, x, y)]
                assert not hit, (line, hit[0].block.kind)


def test_the_lines_lead_where_the_values_go(drawn):
    """From the drawing alone: which block can be reached from which; compared with the numbers of the values."""
    *_, picture = drawn
    maker = {n: id(box.block) for box in picture.boxes for n in box.block.outputs}
    expected = {(maker[n], id(box.block)) for box in picture.boxes for n in box.block.inputs if n in maker}

    def touching(point):
        return [
            box
            for box in picture.boxes
            if box.x - 0.01 <= point[0] <= box.x + box.width + 0.01
            and box.y - 0.01 <= point[1] <= box.y + box.height + 0.01
        ]

    onward = {}
    for line in picture.lines:
        onward.setdefault((round(line.points[0][0], 3), round(line.points[0][1], 3)), []).append(line)
    found = set()

    def follow(block, line, seen=()):
        end = line.points[-1]
        hit = touching(end)
        if hit:
            found.add((id(block), id(hit[0].block)))
            return
        # through the frame of a group: its lines go on where this one ends, or below its words
        heads = [end, *((end[0], end[1] + skip) for skip in (12.0, 24.0))]
        for x, y in heads:
            for more in onward.get((round(x, 3), round(y, 3)), []):
                if id(more) not in seen:
                    follow(block, more, (*seen, id(more)))

    for box in picture.boxes:
        for line in picture.lines:
            x, y = line.points[0]
            if abs(y - box.y - box.height) < 0.01 and box.x <= x <= box.x + box.width:
                follow(box.block, line)
    assert found == expected


def test_the_text_is_xml_and_its_rules_touch_nothing_else(drawn):
    model, shapes, *_ = drawn
    drawing = nn.Drawing.of(model, shapes)  # RandomNet has a draw() of its own, as a user's class may
    root = ElementTree.fromstring(drawing.svg)
    assert root.tag == f"{SVG}svg"
    style = root.find("{*}style").text
    assert "prefers-color-scheme:dark" in style
    rules = re.sub(r"@media[^{]*\{(.*?\})\}", r"\1", style)
    selectors = [part for rule in re.findall(r"([^{}]+)\{", rules) for part in rule.split(",")]
    assert len(selectors) > 5
    assert all(s.startswith((".minidl-net", "svg:root.minidl-net")) for s in selectors), selectors
    assert drawing.svg in drawing._repr_html_()


def test_lenet5_as_one_would_draw_it():
    root = ElementTree.fromstring(models.lenet5().draw((1, 1, 28, 28)).svg)
    words = ["|".join(t.text or "" for t in text.iter() if t.text) for text in root.iter(f"{SVG}text")]
    text = "\n".join(words)
    assert words[0] == "Sequential: 61,706 parameters"
    assert "Conv2d 5×5|0\n6 × 28 × 28\nReLU\n156 parameters\nMaxPool2d|2\n6 × 14 × 14\n" in text
    assert text.endswith("Linear|11\n10\n850 parameters\noutput\n10")


def folded(model, *shapes):
    network = read(model, shapes, None)
    fold(network)
    return network.root.items


def block(features=4):
    return nn.Residual(nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, features)))


def test_what_is_alike_is_drawn_once():
    (group,) = folded(nn.Sequential(*(block() for _ in range(5))), (1, 4))
    assert (group.kind, group.times, group.name) == ("Residual", 5, "0 – 4")
    first, again = folded(
        nn.Sequential(nn.Linear(4, 4), *(nn.Sequential(block(), nn.ReLU()) for _ in range(3))), (1, 4)
    )
    assert (first.kind, again.times) == ("Linear", 3)
    assert [item.kind for item in again.items] == ["Residual", "ReLU"]
    two = folded(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), (1, 4))
    assert [item.name for item in two] == ["0", "1"]


def test_what_is_used_elsewhere_too_is_not_folded():
    class Taps(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(block() for _ in range(4))

        def forward(self, x):
            first = self.blocks[0](x)
            second = self.blocks[1](first)
            return self.blocks[3](self.blocks[2](second)) + first

    # the first one's output is used again, so only the other three are a plain chain
    assert [(item.kind, item.times) for item in folded(Taps(), (1, 4)) if isinstance(item, Group)] == [
        ("Residual", 1),
        ("Residual", 3),
    ]


def test_a_layer_of_another_shape_or_option_is_not_like_the_others():
    items = folded(nn.Sequential(block(), block(), nn.Linear(4, 3), block(3), block(3)), (1, 4))
    assert [getattr(item, "times", None) for item in items] == [2, None, 2]
    slopes = nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.LeakyReLU(s)) for s in (0.1, 0.1, 0.2, 0.2)))
    assert len(folded(slopes, (1, 4))) == 4


def test_a_layer_that_is_called_again_says_so():
    layer = nn.Linear(4, 4)
    first, second = folded(nn.Sequential(layer, layer), (1, 4))
    assert (first.params, first.shared) == (20, False)
    assert (second.params, second.shared) == (0, True)
    assert "shared parameters" in nn.Sequential(layer, layer).draw((1, 4)).svg


def test_operands_are_named():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(np.ones(4, np.float32))

        def forward(self, x):
            return 1 - x * self.gain / 2.5

    assert [item.kind for item in folded(Net(), (1, 4))] == ["x × gain", "x ÷ 2.5", "1 − x"]
    assert [item.params for item in folded(Net(), (1, 4))] == [4, 0, 0]


@pytest.mark.parametrize("case", [case for case in LAYERS if not case.target], ids=lambda case: case.id)
def test_every_layer_can_be_drawn(case):
    inputs = case.draw(np.float32)
    layer = case.make()
    network = read(layer, tuple(x.shape for x in inputs), [x.dtype for x in inputs])
    fold(network)
    shown = sum(times * block.params for block, times in blocks_of(network.root))
    assert shown == sum(p.data.size for p in layer.params())
    ElementTree.fromstring(to_svg(network, lay_out(network)))


def test_names_are_escaped():
    evil = "<script>alert('&')</script>\x1b"
    kind = type(evil, (nn.Module,), {"forward": lambda self, x: self.inner(x) + x})
    model = kind()
    model.inner = nn.Sequential(OrderedDict({"a<b&c": nn.Linear(4, 4), "d": nn.Linear(4, 4)}))
    svg = model.draw((1, 4)).svg
    ElementTree.fromstring(svg)
    assert "<script" not in svg
    assert "\x1b" not in svg
    assert "a&lt;b&amp;c" in svg


def test_long_names_stay_inside_their_block():
    kind = type("L" * 80, (nn.Module,), {"forward": lambda self, x: x, "backward": lambda self, g: g})
    model = nn.Sequential(OrderedDict({"n" * 90: kind(), "m": nn.Linear(4, 4)}))
    network = read(model, ((1, 4),), None)
    fold(network)
    picture = lay_out(network)
    widest = max(box.width for box in picture.boxes)
    root = ElementTree.fromstring(to_svg(network, picture))
    for group in root.find("{*}g").iter(f"{SVG}g"):
        for text in group.iter(f"{SVG}text"):
            assert 6 * sum(len(t.text or "") for t in text.iter()) < widest


def test_nothing_is_left_behind():
    model = models.digits_cnn()
    before = {name: value.copy() for name, value in model.state_dict().items()}
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    model.draw((2, 1, 8, 8))
    assert model.training
    assert not calls
    assert all(np.array_equal(before[name], value) for name, value in model.state_dict().items())
    with pytest.raises(RuntimeError, match="no forward pass"):
        model.backward(np.ones((2, 10), np.float32))


def test_a_shape_that_does_not_fit_names_the_layer():
    with pytest.raises(ValueError, match='Conv2d "3"'):
        models.lenet5().draw((1, 1, 8, 8))


def test_it_is_saved(tmp_path):
    drawing = nn.Linear(2, 3).draw((1, 2))
    drawing.save(tmp_path / "net.svg")
    assert (tmp_path / "net.svg").read_text(encoding="utf-8") == drawing.svg + "\n"
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        drawing.save(tmp_path / "nowhere" / "net.svg")


def test_the_command_line_saves_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["summary", "lenet5", "--svg", "net.svg"]) == 0
    assert "Parameters: 61,706" in capsys.readouterr().out
    assert (tmp_path / "net.svg").read_text(encoding="utf-8") == models.lenet5().draw((1, 1, 28, 28)).svg + "\n"
    assert main(["summary", "lenet5", "--svg", "nowhere/net.svg"]) == 2
    assert capsys.readouterr().err.startswith("minidl summary: error: cannot write nowhere/net.svg")


@pytest.mark.parametrize("name", ["net.png", "net"])
def test_a_picture_is_written_as_svg_alone(name, tmp_path):
    drawing = nn.Linear(4, 3).draw((1, 4))
    with pytest.raises(ValueError, match=rf"the file name must end in \.svg, got .*{name}"):
        drawing.save(tmp_path / name)
    assert not list(tmp_path.iterdir())
