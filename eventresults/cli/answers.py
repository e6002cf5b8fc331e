"""Answers of the archive, printed or written to a file: a table, JSON, JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from eventresults.cli.output import Format, print_rows
from eventresults.cli.terminal import safe, to_json

if TYPE_CHECKING:
    from eventresults.archive.sql.session import Answer


class AnswerFormat(StrEnum):
    """How an answer is given."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def give(answer: Answer, *, output: AnswerFormat | None, to: Path | None) -> None:
    """Print the answer, or put it into a file, which appears whole; its form is then that of its suffix, unless said otherwise."""
    if to is None:
        _print(answer, output)
        return
    form = output or _by_suffix(to)
    draft = to.with_name(f".{to.name}.{os.getpid()}")
    try:
        draft.write_bytes(_bytes(answer, form))
        draft.replace(to)
    except OSError as error:
        raise typer.BadParameter(f"{to} cannot be written: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def plain(value: Any) -> Any:  # noqa: PLR0911 - one branch per type
    """A value of an answer as JSON can hold it."""
    match value:
        case None | str() | bool() | int() | float():
            return value
        case datetime():
            return (value if value.tzinfo is None else value.astimezone(UTC)).isoformat().replace("+00:00", "Z")
        case bytes():
            return value.hex()
        case Decimal():  # as sums of integers are
            return int(value) if value == value.to_integral_value() else float(value)
        case dict():
            return {str(key): plain(one) for key, one in value.items()}
        case list():
            return [plain(one) for one in value]
    return _interval(value) if type(value).__name__ == "MonthDayNano" else str(value)


def _interval(value: Any) -> str:
    spell = str(timedelta(days=value.days, microseconds=value.nanoseconds // 1000))
    return f"{value.months} months, {spell}" if value.months else spell


def plain_rows(answer: Answer) -> Iterator[dict[str, Any]]:
    """The rows of an answer as JSON can hold them."""
    for row in answer.rows:
        yield {name: plain(value) for name, value in row.items()}


def _print(answer: Answer, output: AnswerFormat | None) -> None:
    if output in {AnswerFormat.CSV, AnswerFormat.PARQUET}:
        if output is AnswerFormat.PARQUET and sys.stdout.isatty():
            raise typer.BadParameter("Parquet is nothing for a terminal: name a file with --to")
        sys.stdout.flush()
        if hasattr(sys.stdout, "buffer"):
            sys.stdout.buffer.write(_bytes(answer, output))
            return
    columns = list(answer.rows[0]) if answer.rows else answer.columns
    print_rows(plain_rows(answer), output=None if output is None else Format(output), columns=columns)


def _by_suffix(path: Path) -> AnswerFormat:
    try:
        return AnswerFormat(path.suffix.lstrip(".").lower() or AnswerFormat.JSONL)
    except ValueError:
        raise typer.BadParameter(f"{path.name}: of what form? End it in .json, .jsonl, .csv or .parquet, or say so with -o") from None


def _bytes(answer: Answer, form: AnswerFormat) -> bytes:
    match form:
        case AnswerFormat.PARQUET:
            from eventresults.archive.arrow import pq  # noqa: PLC0415

            sink = io.BytesIO()
            pq.write_table(answer.table, sink, compression="zstd")
            return sink.getvalue()
        case AnswerFormat.CSV:
            text = io.StringIO()
            writer = csv.writer(text)
            writer.writerow(answer.columns)
            writer.writerows([_field(plain(value)) for value in row.values()] for row in answer.rows)
            return text.getvalue().encode()
        case AnswerFormat.JSON:
            return (to_json(list(plain_rows(answer)), indent=2) + "\n").encode()
        case AnswerFormat.JSONL:
            return "".join(to_json(row) + "\n" for row in plain_rows(answer)).encode()
        case AnswerFormat.TABLE:
            lines = ["\t".join(answer.columns), *("\t".join(str(_field(plain(one))) for one in row.values()) for row in answer.rows)]
            return "".join(safe(line) + "\n" for line in lines).encode()


def _field(value: Any) -> Any:
    if value is None:
        return ""
    return to_json(value) if isinstance(value, (dict, list)) else value
