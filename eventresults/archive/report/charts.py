"""Charts as SVG: a bar for each row, or a line over time for each series. Colours are the page's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from eventresults.archive.sql.question import Chart

Rows = Sequence[Mapping[str, Any]]

WIDTH = 900
BARS = 12
COLOURS = 8
_LEFT, _RIGHT, _TOP, _HIGH = 76, 12, 12, 200
_LABELS = 250


def draw(rows: Rows, chart: Chart) -> str:
    """The chart of an answer that has rows."""
    return "".join((_bars if chart.kind == "bars" else _lines)(rows, chart))


def number(value: float) -> str:
    """A number as people read it."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _bars(rows: Rows, chart: Chart) -> Iterator[str]:
    shown = rows[:BARS]
    values = [float(row[chart.value] or 0) for row in shown]
    most = max(values) or 1.0
    room = WIDTH - _LABELS - 110
    yield f'<svg viewBox="0 0 {WIDTH} {len(shown) * 24 + 18}" role="img" aria-label="{escape(_what(chart))}">'
    yield f'<text x="{_LABELS}" y="11">{escape(_what(chart))}</text>'
    for place, (row, value) in enumerate(zip(shown, values, strict=True)):
        y = place * 24 + 18
        label = str(row[chart.label])
        short = label if len(label) <= 36 else label[:35] + "…"
        yield f'<text class="label" x="{_LABELS - 8}" y="{y + 14}" text-anchor="end">{escape(short)}<title>{escape(label)}</title></text>'
        long = max(value / most * room, 1)
        yield f'<rect x="{_LABELS}" y="{y + 2}" width="{long:.1f}" height="16" rx="3" class="c0"/>'
        yield f'<text x="{_LABELS + long + 6:.1f}" y="{y + 14}">{escape(number(value))}</text>'
    yield "</svg>"


def _lines(rows: Rows, chart: Chart) -> Iterator[str]:
    series: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        series[str(row[chart.series]) if chart.series else chart.value].append((_seconds(row[chart.label]), float(row[chart.value] or 0)))
    points = [point for line in series.values() for point in line]
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    most = max(y for _, y in points) or 1.0
    bottom = _TOP + _HIGH

    def place(x: float, y: float) -> str:
        across = (x - first) / (last - first) if last > first else 0.5
        return f"{_LEFT + across * (WIDTH - _LEFT - _RIGHT):.1f},{bottom - y / most * _HIGH:.1f}"

    yield f'<svg viewBox="0 0 {WIDTH} {bottom + 44}" role="img" aria-label="{escape(_what(chart))}">'
    for step in range(5):
        y = bottom - step / 4 * _HIGH
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{number(most * step / 4)}</text>'
    yield f'<text x="{_LEFT}" y="{bottom + 16}">{_moment(first)}</text>'
    yield f'<text x="{WIDTH - _RIGHT}" y="{bottom + 16}" text-anchor="end">{_moment(last)}</text>'
    across = _LEFT
    for index, (name, line) in enumerate(sorted(series.items())):
        colour = f"c{index % COLOURS}"
        path = " ".join(place(x, y) for x, y in sorted(line))
        yield f'<polyline points="{path}" class="{colour} line" fill="none" stroke="currentColor"/>'
        if len(line) == 1:
            dot = place(*line[0]).split(",")
            yield f'<circle cx="{dot[0]}" cy="{dot[1]}" r="3" class="{colour}"/>'
        yield f'<rect x="{across}" y="{bottom + 28}" width="10" height="10" class="{colour}"/>'
        yield f'<text class="label" x="{across + 14}" y="{bottom + 37}">{escape(name)}</text>'
        across += 34 + len(name) * 8
    yield f'<text x="{WIDTH - _RIGHT}" y="{bottom + 37}" text-anchor="end">{escape(_what(chart))}</text></svg>'


def _what(chart: Chart) -> str:
    return chart.value.replace("_", " ") + (f" ({chart.unit})" if chart.unit and chart.unit != chart.value else "")


def _seconds(when: Any) -> float:
    return when.timestamp() if isinstance(when, datetime) else float(when)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
