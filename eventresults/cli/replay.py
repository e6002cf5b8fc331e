"""`eventresults replay`: a stretch of the log, told again."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eventresults.cli.connection import opened
from eventresults.cli.options import Output, Url, View

if TYPE_CHECKING:
    from eventresults.cli.replaying import Asked, Replaying


class Ids(StrEnum):
    """Under which ids a replay tells of tasks."""

    NEW = "new"
    SAME = "same"


Begin = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        metavar="PLACE",
        help="Begin at this position (partition:offset) or time (ISO 8601, '2h ago'). Positions name the partitions to read.",
    ),
]
End = Annotated[list[str] | None, typer.Option("--to", metavar="PLACE", help="End before this position or time; else at the log's end.")]


def replay(
    *,
    begin: Begin = None,
    end: End = None,
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="CONDITION", help="Only events for which this holds, such as kind=task-failed, name~resize*, runtime>5."),
    ] = None,
    into: Annotated[str | None, typer.Option(metavar="URL", help="Append them to this other log.", show_default=False)] = None,
    ids: Annotated[
        Ids, typer.Option(help="With --into: as new tasks whose replay_of is the old id, or under the same ids, byte for byte.")
    ] = Ids.NEW,
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --into: what new ids are made of; the same name gives the same ones.", show_default=False),
    ] = None,
    projection: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:OBJECT", help="Fold them in a scratch view with this projection, and print its states."),
    ] = None,
    scratch: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Fold them in a scratch view in this folder, and keep it.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell nobody, and count what would be told.")] = False,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Tell at most so many events a second.", show_default=False)] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Note there how far it is, and go on from there if it was interrupted.", show_default=False),
    ] = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Tell a stretch of the log again: as JSON lines (default), into another log, or to a fold of its own in a scratch view.

    --where takes FIELD=VALUE, FIELD!=VALUE, FIELD~PATTERN, FIELD<NUMBER and FIELD>NUMBER; all of them must hold. What a task's task-sent
    fact says (name, queue, args, kwargs, parent_id, root_id, group_id) counts for its later facts in the stretch, too.
    """
    folds = bool(projection) or scratch is not None
    if folds and (into is not None or rate is not None or resume is not None):
        raise typer.BadParameter("a scratch view takes neither --into nor --rate nor --resume: with --scratch it goes on where it was")
    if into is None and run is not None:
        raise typer.BadParameter("--run goes with --into: only there are new ids made")
    from eventresults.cli.replaying import Asked, Replaying  # noqa: PLC0415 - brings what the other commands need not

    asked = Asked(
        tuple(begin or ()), tuple(end or ()), tuple(where or ()), into, new_ids=ids is Ids.NEW, run=run, projections=tuple(projection or ())
    )
    with opened(url, view) as tracker:
        _perform(Replaying(tracker, asked, output), asked, folds=folds, dry_run=dry_run, scratch=scratch, rate=rate, resume=resume)


def _perform(
    replaying: Replaying, asked: Asked, *, folds: bool, dry_run: bool, scratch: Path | None, rate: float | None, resume: Path | None
) -> None:
    if dry_run:
        replaying.count()
    elif folds:
        replaying.fold(scratch)
    elif asked.into is not None:
        replaying.append(rate, resume)
    else:
        replaying.print(rate, resume)
