"""Places: where the blocks of a picture stand, and along which points their connections run.

The items of a group stand in rows, by the longest path that leads to them; what runs side by side gets columns, and a
connection that passes a row has a lane there. A group is laid out by itself, and then is one item of what it is in.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from .blocks import Block, Group, Network

__all__ = ["Box", "Frame", "Line", "Picture", "header", "lay_out", "params_of"]

CIRCLE, ROW, TWO_ROWS, PILL = 22.0, 28.0, 44.0, 24.0  # heights in pixels
GAP, TIER, BETWEEN, LANE = 18.0, 7.0, 22.0, 16.0  # between rows and what runs across them; between columns; lanes
SIDE, HEAD, COVERED_HEAD = 12.0, 12.0, 24.0  # inside a frame
TEXT, SMALL = 7.0, 6.2  # widths of a character
NARROWEST, WIDEST = 150.0, 330.0


@dataclass
class Area:
    """A rectangle: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float


@dataclass
class Box(Area):
    """A block in its place."""

    block: Block


@dataclass
class Frame(Area):
    """A group's frame in its place."""

    group: Group


@dataclass
class Line:
    """A connection: its corners, and whether it ends in an arrow."""

    points: list[tuple[float, float]]
    arrow: bool


@dataclass
class Picture:
    """Everything with its place; ``left`` and ``right`` are measured from the axis at x = 0.

    ``entries`` and ``exits`` say where values come in at the top and leave at the bottom, by number.
    """

    left: float = 0.0
    right: float = 0.0
    height: float = 0.0
    boxes: list[Box] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    entries: dict[int, float] = field(default_factory=dict)
    exits: dict[int, float] = field(default_factory=dict)
    end: bool = False  # whether lines end here with an arrow

    def add(self, other: Picture, x: float, y: float) -> None:
        """Put another picture into this one, with its axis at ``x`` and its top at ``y``."""
        areas: list[Area] = [*other.boxes, *other.frames]
        for area in areas:
            area.x, area.y = area.x + x, area.y + y
        for line in other.lines:
            line.points = [(px + x, py + y) for px, py in line.points]
        self.boxes += other.boxes
        self.frames += other.frames
        self.lines += other.lines


def lay_out(network: Network) -> Picture:
    """Return the picture of a network, with boxes for what goes in and comes out."""
    wide = max([width_of(block) for block in _blocks(network.root)], default=NARROWEST)
    width = min(max(wide, NARROWEST), WIDEST)
    first, last = _ends("input", network.inputs), _ends("output", network.outputs)
    return _Rows(Group("", "", [*first, *network.root.items, *last]), set(), width).picture()


def _ends(kind: str, shapes: dict[int, str]) -> list[Block]:
    """Return a block for each value that goes in, or comes out."""
    found = []
    for place, (number, shape) in enumerate(shapes.items()):
        block = Block(f"{kind} {place}" if len(shapes) > 1 else kind, "", shape, family="end")
        block.inputs, block.outputs = ((), (number,)) if kind == "input" else ((number,), ())
        found.append(block)
    return found


def _blocks(group: Group) -> list[Block]:
    return [b for item in group.items for b in (_blocks(item) if isinstance(item, Group) else [item])]


def width_of(block: Block) -> float:
    """Return how wide a block's text is, about."""
    upper = TEXT * len(block.kind) + SMALL * (len(block.name) + len(block.shape) + 5)
    lower = SMALL * (len(" · ".join(block.more)) + len(params_of(block)) + 4)
    return max(upper, lower) + 16


def params_of(block: Block) -> str:
    """Return what is said of a block's parameters."""
    return "shared parameters" if block.shared else f"{block.params:,} parameters" if block.params else ""


class _Rows:
    """The rows of one group; ``wanted`` are the numbers of the values that are used outside of it."""

    def __init__(self, group: Group, wanted: set[int], width: float) -> None:
        self.items = group.items
        inner = {n for item in group.items for n in item.outputs}
        self.entering = [n for n in group.inputs if n not in inner]
        self.leaving = [n for n in group.outputs if n in wanted]
        used = wanted | {n for item in group.items for n in item.inputs}
        count = len(self.items)
        # nodes: the items, then a point for each value that comes in, then one for each that leaves
        self.nodes = [_place(item, used, width) for item in group.items]
        self.nodes += [Picture(entries={n: 0.0}, exits={n: 0.0}) for n in (*self.entering, *self.leaving)]
        maker = {n: place for place, item in enumerate(self.items) for n in item.outputs}
        maker.update({n: count + place for place, n in enumerate(self.entering)})
        self.edges = [(maker[n], place, n) for place, item in enumerate(self.items) for n in item.inputs if n in maker]
        first_exit = count + len(self.entering)
        self.edges += [(maker[n], first_exit + place, n) for place, n in enumerate(self.leaving)]
        self.rows = self._rows(count, first_exit)
        self.columns = self._columns()

    def _rows(self, count: int, first_exit: int) -> list[int]:
        """Return each node's row: one below the last that it takes from."""
        row = [0] * len(self.nodes)
        fed = {target for _, target, _ in self.edges}
        before = defaultdict(list)
        for source, target, _ in self.edges:
            before[target].append(source)
        start = 1 if self.entering else 0
        for place in range(count):
            row[place] = max([row[source] + 1 for source in before[place]], default=start)
        for place in range(count - 1, -1, -1):  # what takes nothing stands just above what takes it
            if place not in fed:
                users = [row[target] for source, target, _ in self.edges if source == place]
                row[place] = max(start, min(users, default=start + 1) - 1)
        last = max(row[:count], default=0) + 1
        for place in range(first_exit, len(self.nodes)):
            row[place] = last
        return row

    def _columns(self) -> list[int]:
        """Return each node's column within its row; a chain keeps its column where it can."""
        column = [0] * len(self.nodes)
        taken: dict[int, set[int]] = defaultdict(set)
        feeders = defaultdict(list)
        for source, target, _ in self.edges:
            feeders[target].append(source)
        for row in range(max(self.rows, default=-1) + 1):
            here = [place for place in range(len(self.nodes)) if self.rows[place] == row]
            waiting = []
            for place in here:
                wish = column[feeders[place][0]] if feeders[place] else None
                if wish is None or wish in taken[row]:
                    waiting.append(place)
                else:
                    column[place] = wish
                    taken[row].add(wish)
            for place in waiting:
                column[place] = next(c for c in range(len(self.nodes)) if c not in taken[row])
                taken[row].add(column[place])
        return column

    def picture(self) -> Picture:
        """Return the picture of the rows."""
        count = max(self.rows, default=-1) + 1
        members: list[list[int]] = [[] for _ in range(count)]
        for place, row in enumerate(self.rows):
            members[row].append(place)
        passing: list[list[tuple[int, int]]] = [[] for _ in range(count)]  # (source, target) of what passes a row
        for source, target in dict.fromkeys((s, t) for s, t, _ in self.edges):
            for row in range(self.rows[source] + 1, self.rows[target]):
                passing[row].append((source, target))
        x, lanes, left, right = self._across(members, passing)
        return self._down(members, x, lanes, left, right)

    def _across(
        self, members: list[list[int]], passing: list[list[tuple[int, int]]]
    ) -> tuple[list[float], dict[tuple[int, int], float], float, float]:
        """Return the x of each node's axis, and of each lane; rows through which one item alone leads are centred."""
        x, lanes = [0.0] * len(self.nodes), {}
        left = right = 0.0
        row = 0
        while row < len(members):
            end = row + 1
            if len(members[row]) != 1 or passing[row]:
                while end < len(members) and (len(members[end]) != 1 or passing[end]):
                    end += 1
            inside = [place for r in range(row, end) for place in members[r]]
            columns = sorted({self.columns[place] for place in inside})
            axis, at = {}, 0.0
            for c in columns:
                those = [self.nodes[place] for place in inside if self.columns[place] == c]
                axis[c] = at + max(p.left for p in those)
                at = axis[c] + max(p.right for p in those) + BETWEEN
            middle = (axis[columns[0]] + axis[columns[-1]]) / 2
            for place in inside:
                x[place] = round(axis[self.columns[place]] - middle, 3)
            edge = at - BETWEEN - middle
            occupied: dict[float, set[int]] = defaultdict(set)
            for place in inside:
                occupied[x[place]].add(self.rows[place])
            for lane in dict.fromkeys(e for r in range(row, end) for e in passing[r]):
                span = set(range(self.rows[lane[0]] + 1, self.rows[lane[1]]))
                wishes = [x[place] for place in lane if row <= self.rows[place] < end]
                wishes += [edge + LANE * (number + 1) for number in range(len(self.edges) + 1)]
                lanes[lane] = next(wish for wish in wishes if not span & occupied[wish])
                occupied[lanes[lane]] |= span
            left = max(left, middle)
            right = max([right, edge, *(at + LANE / 2 for at in lanes.values())])
            row = end
        return x, lanes, left, right

    def _down(
        self,
        members: list[list[int]],
        x: list[float],
        lanes: dict[tuple[int, int], float],
        left: float,
        right: float,
    ) -> Picture:
        """Return the picture, with everything at its height."""
        alone = [place for row in members for place in row if len(row) == 1]
        circles = {place for place in alone if place < len(self.items) and _is_circle(self.items[place])}
        routes = [self._route(edge, x, lanes, circles) for edge in self.edges]
        tiers: list[list[tuple[Any, ...]]] = [[] for _ in members]  # what runs across below each row
        for route in routes:
            for gap, key, _ in route.turns:
                if key not in tiers[gap]:
                    tiers[gap].append(key)
        tops, bottoms, at = [], [], 0.0
        y = [0.0] * len(self.nodes)
        for row, places in enumerate(members):
            height = max(self.nodes[place].height for place in places)
            tops.append(at)
            bottoms.append(at + height)
            for place in places:
                y[place] = at + (height - self.nodes[place].height) / 2
            at += height + GAP + TIER * max(0, len(tiers[row]) - 1)
        picture = Picture(left, right, bottoms[-1] if bottoms else 0.0)
        for place, node in enumerate(self.nodes):
            picture.add(node, x[place], y[place])
        for route in routes:
            source, target, _ = route.edge
            points = [(route.start, y[source] + self.nodes[source].height)]
            for gap, key, to in route.turns:
                level = bottoms[gap] + GAP / 2 + TIER * sorted(tiers[gap]).index(key)
                points += [(points[-1][0], level), (to, level)]
            if route.beside:
                middle = y[target] + CIRCLE / 2
                side = x[target] + (CIRCLE / 2 if points[-1][0] > x[target] else -CIRCLE / 2)
                points += [(points[-1][0], middle), (side, middle)]
            else:
                points.append((points[-1][0], y[target]))
            picture.lines.append(Line(points, self.nodes[target].end))
        for number, place in zip((*self.entering, *self.leaving), range(len(self.items), len(self.nodes)), strict=True):
            (picture.entries if self.rows[place] == 0 else picture.exits)[number] = x[place]
        return picture

    def _route(
        self, edge: tuple[int, int, int], x: list[float], lanes: dict[tuple[int, int], float], circles: set[int]
    ) -> _Route:
        """Return where a connection turns: in which gap, on which tier, and to which x."""
        source, target, number = edge
        start = x[source] + self.nodes[source].exits.get(number, 0.0)
        end = x[target] + self.nodes[target].entries.get(number, 0.0)
        lane = lanes.get((source, target))
        fork, join = (0, source, number), (1, target, number if target not in circles else 0)
        first, last = self.rows[source], self.rows[target] - 1
        turns: list[tuple[int, tuple[Any, ...], float]] = []
        at = start
        if lane is not None and lane != at:
            turns.append((first, fork, lane))
            at = lane
        beside = target in circles and abs(at - end) > CIRCLE  # otherwise there is no way round to its side
        if at != end and not beside:
            several = sum(s == source for s, _, _ in self.edges) > 1
            turns.append((last, fork if lane is None and several else join, end))
        return _Route(edge, start, turns, beside)


@dataclass
class _Route:
    """A connection's way: its turns are (gap below a row, tier, new x); ``beside``: it ends at a circle's side."""

    edge: tuple[int, int, int]
    start: float
    turns: list[tuple[int, tuple[Any, ...], float]]
    beside: bool


def _is_circle(item: Block | Group) -> bool:
    return isinstance(item, Block) and bool(item.sign)


def _place(item: Block | Group, used: set[int], width: float) -> Picture:
    """Return the picture of one item."""
    if isinstance(item, Block):
        if item.sign:
            width = height = CIRCLE
        elif item.family == "end":
            height = PILL
        else:
            height = TWO_ROWS if item.more or params_of(item) else ROW
        return Picture(width / 2, width / 2, height, [Box(-width / 2, 0.0, width, height, item)], end=True)
    inner = _Rows(item, used, width).picture()
    text = TEXT * sum(map(len, header(item))) + 2 * SIDE
    covered = any(at < text - inner.left - SIDE for at in inner.entries.values())  # by the words above
    head = COVERED_HEAD if covered else HEAD
    frame = Picture(inner.left + SIDE, inner.right + SIDE, inner.height + head, end=covered)
    frame.right = max(frame.right, text - frame.left)
    frame.frames.append(Frame(-frame.left, 0.0, frame.left + frame.right, frame.height, item))
    frame.entries, frame.exits = inner.entries, inner.exits
    frame.add(inner, 0.0, head)
    if not covered:
        frame.lines += [Line([(at, 0.0), (at, head)], False) for at in inner.entries.values()]
    return frame


def header(group: Group) -> tuple[str, str, str]:
    """Return what stands above a group: its class, its name, and how often it is repeated."""
    return group.kind, group.name, f"× {group.times}" if group.times > 1 else ""
