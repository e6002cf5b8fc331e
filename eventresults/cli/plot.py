"""An answer as a picture made of letters: a bar for each row, or a line of heights over time for each series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from eventresults.archive.report.charts import number
from eventresults.cli.terminal import safe
from eventresults.codec.readable import iso

if TYPE_CHECKING:
    from eventresults.archive.sql.question import Chart

Rows = Sequence[Mapping[str, Any]]

_HEIGHTS = " ▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def plot(rows: Rows, chart: Chart) -> Iterator[str]:
    """The lines to print."""
    if not rows:
        yield "Nothing to draw: no rows."
        return
    width = min(get_terminal_size().columns, 120)
    yield from (_bars if chart.kind == "bars" else _lines)(rows, chart, width)


def _bars(rows: Rows, chart: Chart, width: int) -> Iterator[str]:
    labels = [safe(str(row[chart.label]))[:40] for row in rows]
    values = [float(row[chart.value] or 0) for row in rows]
    most = max(values) or 1.0
    left = max(map(len, labels))
    room = max(width - left - 20, 10)
    yield f"{chart.value.replace('_', ' ')}{f' ({chart.unit})' if chart.unit else ''}"
    for label, value in zip(labels, values, strict=True):
        eighths = round(value / most * room * 8)
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        yield f"{label:<{left}}  {bar} {number(value)}"


def _lines(rows: Rows, chart: Chart, width: int) -> Iterator[str]:
    times = sorted({row[chart.label] for row in rows})
    series: defaultdict[str, dict[Any, float]] = defaultdict(dict)
    for row in rows:
        series[safe(str(row[chart.series])) if chart.series else chart.value][row[chart.label]] = float(row[chart.value] or 0)
    left = max(map(len, series))
    room = max(min(width - left - 16, len(times)), 1)
    yield f"{chart.value.replace('_', ' ')}{f' ({chart.unit})' if chart.unit else ''}, {iso(times[0])} to {iso(times[-1])}"
    for name, values in sorted(series.items()):
        # Several moments that share a column show the highest of them.
        columns = [0.0] * room
        for index, time in enumerate(times):
            at = index * room // len(times)
            columns[at] = max(columns[at], values.get(time, 0.0))
        most = max(columns) or 1.0
        yield f"{name:<{left}}  {''.join(_HEIGHTS[round(one / most * 8)] for one in columns)}  ≤ {number(most)}"
