"""`eventresults state`: all tasks at a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

from eventresults.cli import records
from eventresults.cli.connection import catching_up, opened
from eventresults.cli.options import ArchiveToo, Output, Url, View
from eventresults.cli.output import Format, chosen, print_one, print_rows
from eventresults.cli.pasts import moment_text
from eventresults.cli.progress import Meter
from eventresults.cli.task import LIST_COLUMNS, WIDE, WIDE_LIST_COLUMNS
from eventresults.cli.terminal import say, write
from eventresults.cli.times import place
from eventresults.domain.position import Position
from eventresults.errors import ConfigError


def state(
    *,
    at: Annotated[
        list[Any],
        typer.Option(
            parser=place,
            metavar="PLACE",
            help="The log time (ISO 8601, '2h ago'), or a position (partition:offset, included) of each partition.",
        ),
    ] = ["now"],  # noqa: B006 - Typer's way to a default that is parsed
    state: Annotated[str | None, typer.Option(help="Only tasks in this state, such as SUCCESS or FAILURE.", show_default=False)] = None,
    name: Annotated[str | None, typer.Option(help="Only tasks of this name.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=0, max=10_000, help="List at most this many, newest first; all are counted.")] = 20,
    archive: ArchiveToo = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Show the whole system at a moment: how many tasks were in which state, and the newest of them.

    From the view while it still holds all of that moment, else from the log (or its archive), which is folded up to there in a scratch
    view.
    """
    when = _moment(at)
    with opened(url, view, archive=archive) as tracker, catching_up(tracker), Meter("Folding the log up to there") as meter:
        try:
            found = tracker.past.state(when, state=state, name=name, limit=limit, progress=meter)
        except ConfigError:
            raise
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--at") from None
    rows = [records.brief_row(meta) for meta in found.items]
    head = {"as_of": ", ".join(map(moment_text, at)), "answered_from": found.source, "total": found.total}
    if chosen(output) is not Format.TABLE:
        print_one({**head, "counts": found.counts, "items": rows}, output=output)
        return
    print_one({**head, **found.counts}, output=output)
    if not found.total:
        say("No such task existed then.")
    if rows:
        write("")
        print_rows(rows, output=output, columns=WIDE_LIST_COLUMNS if get_terminal_size().columns >= WIDE else LIST_COLUMNS)


def _moment(places: Sequence[Position | datetime]) -> datetime | dict[int, int]:
    positions = [one for one in places if isinstance(one, Position)]
    if not positions and len(places) == 1:
        return places[0]  # type: ignore[return-value] # no position, so a time
    offsets = dict(positions)
    if len(offsets) != len(places):
        raise typer.BadParameter("give one time, or one position of each partition", param_hint="--at")
    return offsets
