"""What a command prints: the same rows as a table for people, or as JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Self

from eventresults.cli.terminal import safe, to_json, write
from eventresults.codec.sealed import shown

Row = Mapping[str, Any]


class Format(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


def chosen(output: Format | None) -> Format:
    """The format asked for; else a table on a terminal and JSON lines elsewhere."""
    if output is not None:
        return output
    return Format.TABLE if sys.stdout.isatty() else Format.JSONL


def print_rows(rows: Iterable[Row], *, output: Format | None, columns: Sequence[str], title: str = "") -> None:
    """Many rows. A table shows these columns; JSON holds all of a row."""
    match chosen(output):
        case Format.TABLE:
            _table(rows, columns, title)
        case Format.JSON:
            write(to_json(list(rows), indent=2))
        case Format.JSONL:
            for row in rows:
                write(to_json(row))


def print_one(row: Row, *, output: Format | None, blocks: Sequence[str] = ()) -> None:
    """One thing: a list of its fields that are known, then the `blocks` (fields of many lines) in full."""
    match chosen(output):
        case Format.TABLE:
            _fields(row, blocks)
        case Format.JSON:
            write(to_json(row, indent=2))
        case Format.JSONL:
            write(to_json(row))


def cell(value: Any) -> str:
    """A value as one line of text: texts as they are, the rest as JSON, all of it safe to print."""
    if value is None:
        return ""
    value = shown(value)
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return to_json(value)


class Stream:
    """Rows printed one by one as they come, without an end in sight: lines for people, JSON lines, or one JSON array."""

    def __init__(self, output: Format | None) -> None:
        self._format = chosen(output)
        self._count = 0

    def __enter__(self) -> Self:
        if self._format is Format.JSON:
            sys.stdout.write("[")
        return self

    def row(self, row: Row, line: str) -> None:
        """Print one row: as JSON, or as this `line` for people."""
        match self._format:
            case Format.TABLE:
                write(safe(line))
            case Format.JSON:
                sys.stdout.write(("," if self._count else "") + "\n" + to_json(row))
            case Format.JSONL:
                write(to_json(row))
        self._count += 1

    def flush(self) -> None:
        """Make what was printed visible."""
        sys.stdout.flush()

    def __exit__(self, *_: object) -> None:
        if self._format is Format.JSON:
            sys.stdout.write("\n]\n")


def _table(rows: Iterable[Row], columns: Sequence[str], title: str) -> None:
    from rich.table import Table  # noqa: PLC0415 - rich is read only for people
    from rich.text import Text  # noqa: PLC0415

    table = Table(title=safe(title) or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in columns:
        # What comes first names the row, and is what people copy: it gives way last.
        table.add_column(name.replace("_", " "), overflow="fold", no_wrap=name == columns[0])
    for row in rows:
        table.add_row(*(Text(cell(row.get(name))) for name in columns))
    _console().print(table)


def _fields(row: Row, blocks: Sequence[str]) -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in row.items():
        if name not in blocks and value not in (None, [], {}):
            table.add_row(name.replace("_", " "), Text(cell(value)))
    console = _console()
    console.print(table)
    for name in blocks:
        if row.get(name):
            write(f"\n{name.replace('_', ' ')}:\n{safe(str(row[name]), lines=True)}")


def _console() -> Any:
    from rich.console import Console  # noqa: PLC0415

    # Without a terminal there is no width to keep to: a line is a row.
    return Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else 10_000)
