"""A small SVG of lines on two logarithmic axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, floor, log10
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 40, 50
COLOURS = ("#4363d8", "#e6194b", "#3cb44b", "#f58231", "#911eb4", "#469990")

Line = Mapping[float, float]


def draw(title: str, across: str, up: str, lines: Mapping[str, Line]) -> str:
    """The SVG of named lines, each a mapping of x to y, all above 0."""
    points = [point for line in lines.values() for point in line.items()]
    x, y = _Axis([at for at, _ in points]), _Axis([at for _, at in points])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text((WIDTH - RIGHT + LEFT) / 2, 20, title, "middle"),
        _text((WIDTH - RIGHT + LEFT) / 2, HEIGHT - 12, across, "middle"),
        _text(LEFT, TOP - 8, up, "middle"),
        *_grid(x, y),
        *_lines(x, y, lines),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Axis:
    """Whole powers of ten around the values."""

    def __init__(self, values: list[float]) -> None:
        self.low, self.high = floor(log10(min(values))), ceil(log10(max(values)))
        self.high = max(self.high, self.low + 1)

    def part(self, value: float) -> float:
        """Where on the axis `value` is, from 0 to 1."""
        return (log10(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _place(x: _Axis, y: _Axis, at: float, value: float) -> tuple[float, float]:
    return (
        LEFT + x.part(at) * (WIDTH - LEFT - RIGHT),
        HEIGHT - BOTTOM - y.part(value) * (HEIGHT - TOP - BOTTOM),
    )


def _grid(x: _Axis, y: _Axis) -> Iterator[str]:
    for at in x.ticks():
        across, bottom = _place(x, y, at, y.ticks()[0])
        yield f'<path d="M{across:.1f} {TOP}V{bottom:.1f}" stroke="#ddd"/>'
        yield _text(across, bottom + 16, f"{at:,.0f}", "middle")
    for value in y.ticks():
        left, height = _place(x, y, x.ticks()[0], value)
        yield f'<path d="M{left:.1f} {height:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield _text(left - 6, height + 4, f"{value:g}", "end")


def _lines(x: _Axis, y: _Axis, lines: Mapping[str, Line]) -> Iterator[str]:
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [_place(x, y, at, line[at]) for at in sorted(line)]
        path = " ".join(f"{across:.1f},{height:.1f}" for across, height in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for across, height in places:
            yield f'<circle cx="{across:.1f}" cy="{height:.1f}" r="3" fill="{colour}"/>'
        left, height = WIDTH - RIGHT + 12, TOP + 10 + 20 * number
        yield f'<rect x="{left}" y="{height - 9}" width="10" height="10" fill="{colour}"/>'
        yield _text(left + 16, height, name, "start")


def _text(across: float, height: float, text: str, anchor: str) -> str:
    return f'<text x="{across:.1f}" y="{height:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
