"""Output of the results: tables, and a plot of how a tick's time grows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, floor, log10
from typing import Any
from xml.sax.saxutils import escape

from bench.bounds import APPLIED, BOUNDS, OF_BROWSER, TAB, Sizes

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 40, 50
COLOURS = ("#4363d8", "#e6194b", "#3cb44b", "#f58231", "#911eb4", "#469990")

Line = Mapping[float, float]


def draw(title: str, across: str, up: str, lines: Mapping[str, Line]) -> str:
    """Draw named lines as SVG on two logarithmic axes; each maps x to y, all above 0."""
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
    """Axis from one power of ten to another, around the values."""

    def __init__(self, values: list[float]) -> None:
        self.low, self.high = floor(log10(min(values))), ceil(log10(max(values)))
        self.high = max(self.high, self.low + 1)

    def part(self, value: float) -> float:
        """Return the place of `value` on the axis, from 0 to 1."""
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


def heading(setting: dict[str, Any]) -> str:
    """Return the line about servers and machine."""
    return (
        f"{setting['centrifugo']}, Redis {setting['redis']}, Python {setting['python']}, "
        f"{setting['cores']} cores, load {setting['load_before']:.1f}\n"
    )


def thousand(results: dict[str, Any], sizes: Sizes) -> str:
    rows = [[name, f"{spent:.3f} s"] for name, spent in results["seconds"].items()]
    title = f"{sizes.channels} channels of {sizes.members} members (medians)"
    return _table([title, ""], rows)


def large(results: dict[str, Any]) -> str:
    """Return the tables of the million, growth, workers, and bytes published."""
    million = results["million"]
    rows = [
        [name, f"{million[name]:.3f} s"] for name in ("raw_read", "tick_steady", "tick_first")
    ] + [[name, f"{million[name]:.0f} MB"] for name in ("steady_mb", "first_mb")]
    tables = [_table([f"{million['entries']} entries", ""], rows)]
    for what, lines in results["growth"].items():
        rows = [
            [f"{size}", f"{lines['steady'][size]:.4f} s", f"{lines['first'][size]:.4f} s"]
            for size in lines["steady"]
        ]
        tables.append(_table([what, "nothing changed", "everybody new"], rows))
    rows = [[f"{size}", f"{memory:.0f} MB"] for size, memory in results["one_room_mb"].items()]
    tables.append(_table(["replayed", "worker's memory"], rows))
    of_number = results["workers"]
    rows = [
        [f"{number}", f"{of_number['steady'][number]:.3f} s", f"{of_number['first'][number]:.3f} s"]
        for number in of_number["steady"]
    ]
    title = f"workers, {of_number['channels']} channels in {of_number['shards']} shards"
    tables.append(_table([title, "nothing changed", "everybody new"], rows))
    rows = [[name, f"{spent:.4f} s"] for name, spent in results["looks"].items() if name != "ratio"]
    tables.append(_table([f"looks, {of_number['channels']} channels, nobody moves", ""], rows))
    rows = [
        [f"{size}", *(f"{sent[name]}" for name in ("full_list", "diff", "counted"))]
        for size, sent in results["published"].items()
    ]
    titles = ["bytes for 20 changes, members", "full list", "diff", "counted room"]
    return "\n".join([*tables, _table(titles, rows)])


def applied(results: dict[str, float] | None) -> str:
    """Return the table of a browser's time for a diff, or why there is none."""
    if results is None:
        return f"{APPLIED}: left out, as there is no node on PATH\n"
    rows = [[name, f"{results[name]:.3f} ms"] for name in ("apply_ms", "copy_ms")]
    return _table([APPLIED, ""], rows)


def cursors(results: dict[str, Any]) -> str:
    """Return the tables of cursors from Python and in browsers, or why there are none."""
    writes, browser = results["writes"], results["browser"]
    rates = writes["updates_a_second"]
    rows = [
        ["update_cursors, in one call", f"{rates['bulk']:.0f} a second"],
        ["update_cursor, one by one", f"{rates['single']:.0f} a second"],
        ["one dictionary in the cache", f"{rates['dictionary']:.0f} a second"],
        [f"kept of {writes['written']}", f"{writes['kept']}"],
        ["kept in the dictionary", f"{writes['dictionary_kept']:.0f}"],
    ]
    moved = _table([f"{writes['users']} cursors moved from Python", ""], rows)
    if browser is None:
        left_out = [f"{name}: left out, as there is no Chromium" for name in OF_BROWSER]
        return "\n".join([moved, *left_out]) + "\n"
    latency, frames, memory = browser["latency"], browser["frames"], browser["memory"]
    rows = [
        ["pointer to drawn", f"{latency['ms']['ours']:.1f} ms"],
        ["bare publish to publication", f"{latency['ms']['bare']:.1f} ms"],
        [f"script in a frame, {frames['cursors']} cursors", f"{frames['script_ms']:.2f} ms"],
        ["frames", f"{frames['frames_a_second']:.0f} a second"],
        ["moves", f"{frames['moves_a_second']:.0f} a second"],
        [f"heap before {memory['moves']} moves", f"{memory['before']['heap_mb']:.3f} MB"],
        [f"heap after, {memory['seconds']:.0f} s later", f"{memory['after']['heap_mb']:.3f} MB"],
    ]
    return "\n".join([moved, _table([f"Chromium {browser['chromium']}", ""], rows)])


def freshness(results: dict[str, Any]) -> str:
    """Return the tables of times and of traffic, or why there are no tabs."""
    rows = [_times(name, row) for name, row in results["rows"].items()]
    for name in ("busy", "flood"):
        if traffic := results.get(name):
            rows += [_times(f"{name}: {kind}", traffic[kind]) for kind in ("joins", "leaves")]
    tables = [_table(["seconds until others see it", "tries", "p50", "p99", "max"], rows)]
    for name in ("busy", "flood"):
        if traffic := results.get(name):
            tables.append(_table([f"{name} site", ""], _costs(traffic)))
    if not any(name.startswith("tab") for name in results["rows"]):
        tables.append(f"{TAB}: left out\n")
    return "\n".join(tables)


def _times(name: str, row: dict[str, float]) -> list[str]:
    return [name, f"{row['tries']:.0f}", *(f"{row[part]:.2f}" for part in ("p50", "p99", "max"))]


def _costs(traffic: dict[str, Any]) -> list[list[str]]:
    rest = {"worker": "rest_worker_ms", "Centrifugo": "rest_centrifugo_ms"}
    return [
        *(
            [f"at rest, a look: {part}", f"{traffic[key]:.1f} ms"]
            for part, key in rest.items()
            if key in traffic
        ),
        ["replaced in each 10 s", f"{traffic['replaced']:.1%}"],
        ["worker's part of a core", f"{traffic['core']:.1%}"],
        ["part of the time that looks take", f"{traffic['looks']:.1%}"],
        ["longest look", f"{traffic['longest_look']:.2f} s"],
        ["self-checks", f"{traffic['checks']}"],
        ["all rosters right after the traffic", f"{traffic['right_after']:.1f} s"],
    ]


def figures(found: dict[str, float], verdicts: dict[str, str]) -> str:
    """Return the table of figures with a bound; without verdicts they are not judged."""
    rows = []
    for name, value in found.items():
        bound = BOUNDS[name]
        sign = "≥" if bound.at_least else "≤"
        verdict = verdicts.get(name, "not judged at this size")
        rows.append([name, f"{value:.2f}", f"{sign} {bound.must:g}", verdict])
    return _table(["figure", "measured", "must reach", ""], rows)


def _table(titles: list[str], rows: list[list[str]]) -> str:
    columns = list(zip(titles, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (titles, ["-" * width for width in widths], *rows)
    ]
    return "\n".join(lines) + "\n"
