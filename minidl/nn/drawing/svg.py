"""SVG: a laid-out picture as text, for light and dark pages."""

from __future__ import annotations

from ..._core import html_text
from .blocks import Network
from .places import SMALL, TEXT, Box, Frame, Line, Picture, header, params_of

__all__ = ["to_svg"]

_MARGIN, _TITLE, _CORNER = 12.0, 30.0, 5.0
# Colours are see-through and letters have the page's colour, so that both fit a light page and a dark one. A file by
# itself has no page: it has colours of its own, by the reader's setting.
_STYLE = """
svg:root.minidl-net{background:#fff;color:#1f2937}
.minidl-net{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}
.minidl-net text{fill:currentColor}
.minidl-net .k{font-weight:600}
.minidl-net .m{font-size:11px;fill-opacity:.72}
.minidl-net .e{text-anchor:end}
.minidl-net .c{text-anchor:middle}
.minidl-net path{fill:none;stroke:currentColor;stroke-opacity:.6;stroke-width:1.3}
.minidl-net .a{fill:currentColor;fill-opacity:.7;stroke:none}
.minidl-net rect,.minidl-net circle{stroke:#6b7280;stroke-opacity:.75;fill:#6b7280;fill-opacity:.13}
.minidl-net .convolution{stroke:#2563eb;fill:#2563eb;fill-opacity:.16}
.minidl-net .linear{stroke:#059669;fill:#059669;fill-opacity:.16}
.minidl-net .pooling{stroke:#d97706;fill:#d97706;fill-opacity:.16}
.minidl-net .f{fill-opacity:.05;stroke-opacity:.5}
.minidl-net .r{stroke-dasharray:5 3}
@media (prefers-color-scheme:dark){svg:root.minidl-net{background:#0d1117;color:#e5e7eb}}
""".replace("\n", "")


def to_svg(network: Network, picture: Picture) -> str:
    """Return the picture as one SVG element."""
    title = f"{network.title}: {network.params:,} parameters"
    width = max(picture.left + picture.right, TEXT * len(title)) + 2 * _MARGIN
    height = picture.height + _TITLE + 2 * _MARGIN
    parts = [_frame(frame) for frame in sorted(picture.frames, key=lambda f: -f.width * f.height)]
    parts += [_line(line) for line in picture.lines]
    parts += [_box(box) for box in picture.boxes]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="minidl-net" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img"><title>{html_text(title)}</title><style>{_STYLE}</style>'
        f'<text class="k" x="{_MARGIN:g}" y="{_MARGIN + 11:g}">{html_text(title)}</text>'
        f'<g transform="translate({_MARGIN + picture.left:.1f},{_MARGIN + _TITLE:.1f})">{"".join(parts)}</g></svg>'
    )


def _fitting(value: str, width: float, character: float) -> str:
    """Return a text, cut if it is wider than that."""
    room = max(1, int(width / character))
    return value if len(value) <= room else f"{value[: room - 1]}…"


def _write(kind: str, x: float, y: float, value: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{html_text(value)}</text>' if value else ""


def _box(box: Box) -> str:
    block, middle = box.block, box.y + box.height / 2
    about = f"<title>{html_text(block.detail)}</title>" if block.detail else ""
    if block.sign:
        x, radius = box.x + box.width / 2, box.width / 2
        shape = f'<circle cx="{x:.1f}" cy="{middle:.1f}" r="{radius:g}"/>'
        return f"<g><title>{html_text(block.kind)}</title>{shape}{_write('k c', x, middle + 4, block.sign)}</g>"
    rounded = box.height / 2 if block.family == "end" else _CORNER
    shape = (
        f'<rect class="{block.family or "other"}" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="{rounded:g}"/>'
    )
    left, right = box.x + 9, box.x + box.width - 9
    below = block.more or params_of(block)
    upper, lower = (box.y + 18, box.y + 35) if below else (middle + 4, 0.0)
    room = right - left
    kind = _fitting(block.kind, room * 0.7, TEXT)
    result = _fitting(block.shape, room - TEXT * len(kind) - 8, SMALL)
    name = _fitting(block.name, room - TEXT * len(kind) - SMALL * len(result) - 16, SMALL) if block.name else ""
    texts = [
        f'<text x="{left:.1f}" y="{upper:.1f}"><tspan class="k">{html_text(kind)}</tspan>'
        + (f'<tspan class="m" dx="6">{html_text(name)}</tspan>' if name else "")
        + "</text>",
        _write("m e", right, upper, result),
    ]
    if below:
        counted = params_of(block)
        more = _fitting(" · ".join(block.more), room - SMALL * len(counted) - 8, SMALL)
        texts += [_write("m", left, lower, more), _write("m e", right, lower, counted)]
    return f"<g>{about}{shape}{''.join(texts)}</g>"


def _frame(frame: Frame) -> str:
    kind, name, times = header(frame.group)
    marks = "f r" if times else "f"
    shape = (
        f'<rect class="{marks}" x="{frame.x:.1f}" y="{frame.y:.1f}" width="{frame.width:.1f}" '
        f'height="{frame.height:.1f}" rx="8"/>'
    )
    head = html_text(f"{kind} {times}".strip())
    words = f'<tspan class="k">{head}</tspan><tspan class="m" dx="6">{html_text(name)}</tspan>'
    return f'{shape}<text x="{frame.x + 10:.1f}" y="{frame.y + 17:.1f}">{words}</text>'


def _line(line: Line) -> str:
    points = [point for place, point in enumerate(line.points) if place == 0 or point != line.points[place - 1]]
    if len(points) < 2:
        return ""
    steps = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        (ax, ay), (bx, by) = (_towards(corner, other) for other in (before, after))
        steps.append(f"L{ax:.1f} {ay:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {bx:.1f} {by:.1f}")
    (x, y), (px, py) = points[-1], points[-2]
    steps.append(f"L{x:.1f} {y:.1f}")
    path = f'<path d="{"".join(steps)}"/>'
    if not line.arrow:
        return path
    dx, dy = (x > px) - (x < px), (y > py) - (y < py)
    base = x - 6 * dx, y - 6 * dy
    sides = [(base[0] + 3.5 * sign * dy, base[1] + 3.5 * sign * dx) for sign in (1, -1)]
    corners = "L".join(f"{a:.1f} {b:.1f}" for a, b in ((x, y), *sides))
    return f'{path}<path class="a" d="M{corners}Z"/>'


def _towards(corner: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Return the point a few pixels from a corner on the way to another point."""
    distance = abs(other[0] - corner[0]) + abs(other[1] - corner[1])
    share = min(5.0, distance / 2) / distance if distance else 0.0
    return corner[0] + share * (other[0] - corner[0]), corner[1] + share * (other[1] - corner[1])
