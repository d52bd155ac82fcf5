"""Folding: a picture is made shorter where that loses nothing.

A layer that keeps the shape, such as a normalisation or an activation, is written into the block before it. The frame
of a container with one part is left out, and so is that of a Sequential within another container. Parts of a chain that
are alike are drawn once, with their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from .blocks import Block, Group, Network

__all__ = ["fold"]

_LONGEST = 12  # of the parts that are looked for, in items
_FEW = 3  # blocks without a container are folded from this number on


def fold(network: Network) -> None:
    """Shorten a network's picture in place."""
    _Folding(network).fold(network.root)


class _Folding:
    def __init__(self, network: Network) -> None:
        self.outputs = network.outputs
        self.blocks = list(_blocks(network.root))
        self.uses = Counter([*network.outputs, *(n for block in self.blocks for n in block.inputs)])

    def fold(self, group: Group, inside: bool = False) -> None:
        """Shorten a group, from the inside to the outside."""
        items: list[Block | Group] = []
        for item in group.items:
            if isinstance(item, Group):
                self.fold(item, inside=True)
            items += _without_frame(item, inside) if isinstance(item, Group) else [item]
        group.items = self._repeated(self._joined(items))

    def _joined(self, items: list[Block | Group]) -> list[Block | Group]:
        """Write small layers into the block before."""
        found: list[Block | Group] = []
        for item in items:
            last = found[-1] if found else None
            if (
                isinstance(item, Block)
                and isinstance(last, Block)
                and item.small
                and not last.sign
                and item.inputs == last.outputs
                and self.uses[item.inputs[0]] == 1
                and item.shared == last.shared
            ):
                last.more.append(item.kind)
                last.detail = "\n".join(filter(None, (last.detail, item.detail)))
                last.params, last.outputs = last.params + item.params, item.outputs
            else:
                found.append(item)
        return found

    def _repeated(self, items: list[Block | Group]) -> list[Block | Group]:
        """Replace runs of parts that are alike by one of them."""
        signatures = [_signature(item) for item in items]
        found: list[Block | Group] = []
        place = 0
        while place < len(items):
            length, times = self._longest(items, signatures, place)
            part = items[place : place + length]
            framed = any(isinstance(item, Group) for item in part)
            later = framed and isinstance(part[0], Block) and self._longest(items, signatures, place + 1)
            if times >= (2 if framed else _FEW) and later != (length, times):  # a part begins with its frame
                last = items[place + length * (times - 1) : place + length * times]
                self._take_over(Group("", "", part), Group("", "", last))
                name = _span(part[0].name, last[-1].name)
                if isinstance(part[0], Group) and length == part[0].times == 1:
                    part[0].name, part[0].times = name, times
                    found.append(part[0])
                else:
                    found.append(Group("", name, part, times))
                place += length * times
            else:
                found.append(items[place])
                place += 1
        return found

    def _longest(self, items: list[Block | Group], signatures: list[Any], place: int) -> tuple[int, int]:
        """Return the length of the parts from here on that shorten the picture most, and how many there are."""
        lengths = range(1, max(1, min(_LONGEST, (len(items) - place) // 2)) + 1)
        runs = [(length, self._run(items, signatures, place, length)) for length in lengths]
        return max(runs, key=lambda run: run[0] * (run[1] - 1))

    def _run(self, items: list[Block | Group], signatures: list[Any], start: int, length: int) -> int:
        """Return how many parts of a length follow each other from here, alike and each fed by the one before alone."""
        first = Group("", "", items[start : start + length])
        times, feed = 0, None
        while start + length * (times + 1) <= len(items):
            begin = start + length * times
            part = Group("", "", items[begin : begin + length])
            if times and signatures[begin : begin + length] != signatures[start : start + length]:
                break
            if len(part.inputs) != 1 or _wiring(part) != _wiring(first):
                break
            if times and (part.inputs[0] != feed or self._uses_within(part, part.inputs[0]) != self.uses[feed]):
                break
            feed = self._only_output(part)
            if feed is None:
                break
            times += 1
        return max(times, 1)

    def _only_output(self, part: Group) -> int | None:
        """Return the one value that is used outside, if it is what the last item gives."""
        left = [n for n in part.outputs if self.uses[n] > self._uses_within(part, n)]
        return left[0] if len(left) == 1 and left[0] in part.items[-1].outputs else None

    def _take_over(self, part: Group, last: Group) -> None:
        """Let what follows the last of several parts follow the one that is drawn."""
        old, new = self._only_output(last), self._only_output(part)
        if old is None or new is None or old == new:
            return
        self.uses[new] = self._uses_within(part, new) + self.uses[old] - self._uses_within(last, old)
        for block in self.blocks:
            block.inputs = tuple(new if number == old else number for number in block.inputs)
        if old in self.outputs:
            self.outputs[new] = self.outputs.pop(old)

    def _uses_within(self, part: Group, number: int) -> int:
        return sum(
            self._uses_within(item, number) if isinstance(item, Group) else item.inputs.count(number)
            for item in part.items
        )


def _blocks(group: Group) -> Iterator[Block]:
    for item in group.items:
        if isinstance(item, Group):
            yield from _blocks(item)
        else:
            yield item


def _without_frame(group: Group, inside: bool) -> list[Block | Group]:
    """Return a group, or its items if its frame says nothing, with the group's name in front of theirs."""
    if len(group.items) > 1 and not (inside and group.kind == "Sequential"):
        return [group]
    for item in group.items:
        if item.name or isinstance(item, Group):
            item.name = ".".join(filter(None, (group.name, item.name)))
    return group.items


def _signature(item: Block | Group) -> Any:
    if isinstance(item, Group):
        return (item.kind, item.times, tuple(_signature(inner) for inner in item.items), _wiring(item))
    return (item.kind, item.shape, item.params, item.shared, item.family, item.sign, tuple(item.more), item.detail)


def _wiring(group: Group) -> tuple[tuple[int, ...], ...]:
    """Return how items feed each other, without numbers that differ between groups that are alike."""
    order = {number: place for place, number in enumerate((*group.inputs, *group.outputs))}
    return tuple(tuple(order[n] for n in item.inputs) for item in group.items)


def _span(first: str, last: str) -> str:
    """Return the names of the first and the last part: "3" and "5" are "3 to 5"."""
    return f"{first} – {last}" if first and last and first != last else first
