"""`eventresults archive query` and `ask`: the archive in SQL, in one's own words or in saved ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from eventresults.archive import open_archive
from eventresults.cli.answers import AnswerFormat, give
from eventresults.cli.connection import settings_of
from eventresults.cli.options import Archive, Output, Url, View
from eventresults.cli.output import print_one, print_rows
from eventresults.cli.plot import plot
from eventresults.cli.terminal import say, write
from eventresults.cli.times import duration, moment

if TYPE_CHECKING:
    from eventresults.archive.sql.session import Answer, Session

#: Saved questions are known to end; some put every attempt of every task in order.
SAVED_SECONDS = 300.0

Since = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="TIME", help="Only events from this log time on: ISO 8601 or '2h ago'.", show_default=False),
]
Until = Annotated[
    datetime | None, typer.Option(parser=moment, metavar="TIME", help="Only events before this log time.", show_default=False)
]
Memory = Annotated[str, typer.Option(metavar="BYTES", help="Memory that a query may take; ten times that on disk beside it.")]
Timeout = Annotated[float, typer.Option(parser=duration, metavar="TIME", help="How long a query may take.", show_default="1m")]
SavedTimeout = Annotated[float, typer.Option(parser=duration, metavar="TIME", help="How long a query may take.", show_default="5m")]
Rows = Annotated[int, typer.Option(min=1, help="Rows of an answer, at most.")]
AnswerOutput = Annotated[
    AnswerFormat | None,
    typer.Option("-o", "--output", help="How to answer: a table on a terminal, JSON lines elsewhere, unless you say.", show_default=False),
]
To = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Put the answer into this file; .json, .jsonl, .csv or .parquet say how.", show_default=False),
]


def query(
    *,
    sql: Annotated[
        str,
        typer.Argument(help="A SELECT over events, attempts and tasks; - reads it from standard input.", metavar="SQL", show_default=False),
    ],
    archive: Archive,
    since: Since = None,
    until: Until = None,
    rows: Rows = 10_000,
    memory: Memory = "1GB",
    timeout: Timeout = 60.0,
    to: To = None,
    url: Url = None,
    view: View = None,
    output: AnswerOutput = None,
) -> None:
    """Ask the archive in SQL: DuckDB's, over the views events, attempts and tasks.

    A query reads the archive and reaches nothing else: no other file, no network, no settings. Exit 2 if it is none, or takes more
    than it may.
    """
    text = sys.stdin.read() if sql == "-" else sql
    with _session(archive, since, until, memory, timeout, rows, url, view) as session:
        answer = session.ask(text)
    _give(answer, output, to, rows)


def ask(
    *,
    name: Annotated[
        str | None, typer.Argument(help="The question's name; without one, all are listed.", metavar="NAME", show_default=False)
    ] = None,
    archive: Archive = "",
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Something to say with the question; may be repeated.", show_default=False),
    ] = None,
    show_plot: Annotated[bool, typer.Option("--plot", help="Draw the answer.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Show the question's SQL instead of asking it.")] = False,
    since: Since = None,
    until: Until = None,
    rows: Rows = 10_000,
    memory: Memory = "1GB",
    timeout: SavedTimeout = SAVED_SECONDS,
    to: To = None,
    url: Url = None,
    view: View = None,
    output: AnswerOutput = None,
) -> None:
    """Ask the archive a saved question: runtimes, waiting, retries, failures, workers, late and lost tasks, and more."""
    from eventresults.archive.sql.question import find  # noqa: PLC0415
    from eventresults.archive.sql.questions import QUESTIONS  # noqa: PLC0415

    if name is None:
        listed = [{"name": one.name, "meaning": one.meaning, "takes": {n: g.default for n, g in one.given.items()}} for one in QUESTIONS]
        print_rows(listed, output=None, columns=("name", "meaning", "takes"))
        return
    question = find(name, QUESTIONS)
    if sql:
        write("\n".join(line.removeprefix("    ") for line in question.sql.strip("\n ").splitlines()))
        return
    if not archive:
        raise typer.BadParameter("which archive? Say so with --archive, or EVENTRESULTS_ARCHIVE", param_hint="--archive")
    values = question.values(dict(_pair(text) for text in given or ()))
    with _session(archive, since, until, memory, timeout, rows, url, view) as session:
        answer = session.ask(question.sql, values)
    if show_plot:
        for line in plot(answer.rows, question.chart):
            write(line)
        return
    _give(answer, output, to, rows)


def report(
    *,
    archive: Archive,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")] = Path("report.html"),
    since: Since = None,
    until: Until = None,
    memory: Memory = "1GB",
    timeout: SavedTimeout = SAVED_SECONDS,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Write the answers to all saved questions, with charts, into one HTML page that needs nothing beside itself."""
    begun = monotonic()
    with _session(archive, since, until, memory, timeout, 10_000, url, view) as session:
        from eventresults.archive.report.page import write_report  # noqa: PLC0415
        from eventresults.archive.sql.questions import QUESTIONS  # noqa: PLC0415

        title = f"Tasks in {Path(archive).absolute().name}"
        try:
            write_report(session, QUESTIONS, out=out, title=title, now=datetime.now(UTC))
        except OSError as error:
            raise typer.BadParameter(f"{out} cannot be written: {error.strerror or error}", param_hint="--out") from error
    row = {"report": str(out), "questions": len(QUESTIONS), "bytes": out.stat().st_size, "seconds": round(monotonic() - begun, 3)}
    print_one(row, output=output)


def _give(answer: Answer, output: AnswerFormat | None, to: Path | None, rows: int) -> None:
    give(answer, output=output, to=to)
    if answer.cut:
        say(f"There are more than these {rows:,} rows: --rows allows more.")


@contextmanager
def _session(
    archive: str,
    since: datetime | None,
    until: datetime | None,
    memory: str,
    timeout: float,
    rows: int,
    url: str | None,
    view: str | None,
) -> Iterator[Session]:
    settings_of(url, view)  # a wrong setting is told, here as everywhere
    from eventresults.archive.sql.session import Bounds, Session  # noqa: PLC0415 - brings DuckDB

    bounds = Bounds(memory=memory, seconds=timeout, rows=rows)
    with Session(open_archive(archive), bounds=bounds, since=since, until=until) as session:
        yield session


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"{text!r}: write --set NAME=VALUE", param_hint="--set")
    return name, value
