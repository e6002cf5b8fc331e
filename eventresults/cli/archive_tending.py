"""`eventresults archive status`, `verify`, `compact`, `repair`: what an archive holds, whether it is right, and keeping it in order."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from eventresults.archive import open_archive
from eventresults.archive.layout import day_of
from eventresults.cli.connection import catching_up, opened, settings_of
from eventresults.cli.exits import ExitCode
from eventresults.cli.options import Archive, Output, Url, View
from eventresults.cli.output import print_one, print_rows
from eventresults.cli.progress import Meter
from eventresults.cli.terminal import say
from eventresults.domain.position import Position

if TYPE_CHECKING:
    from eventresults.archive import archive as archives
    from eventresults.tracker import Tracker

COLUMNS = ("partition", "offset", "what", "archived", "right")


def status(*, archive: Archive, url: Url = None, view: View = None, output: Output = None) -> None:
    """Show what the archive holds of each partition: offsets, days, files, events, bytes, and gaps that the log left."""
    settings_of(url, view)
    found = open_archive(archive)
    rows = [
        {
            "partition": chain.partition,
            "start": chain.start,
            "end": chain.end,
            "first_day": day_of(chain.files[0].first) if chain.files else None,
            "last_day": day_of(chain.files[-1].last) if chain.files else None,
            "files": len(chain.files),
            "events": sum(entry.rows for entry in chain.files),
            "bytes": sum(entry.bytes for entry in chain.files),
            "gaps": [f"{gap.start}-{gap.end - 1}" for gap in chain.gaps],
            "topic": found.identity.topic,
        }
        for chain in found.chains().values()
    ]
    print_rows(rows, output=output, columns=list(rows[0]) if rows else ("partition",))


def verify(
    *,
    archive: Archive,
    begin: Annotated[
        list[str] | None,
        typer.Option("--from", metavar="POSITION", help="Begin at partition:offset; names the partitions to prove.", show_default=False),
    ] = None,
    end: Annotated[
        list[str] | None, typer.Option("--to", metavar="POSITION", help="End before partition:offset.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Print at most this many differences.")] = 100,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Prove that the archive's rows are the log's records, and that the view is what they add up to.

    Every file is read to its last byte, every record and column compared, and (unless --from or --to choose a stretch) the archive folded
    afresh and compared with the view. Prints partition and offset of each difference; exit 1 if there are any.
    """
    starts, ends = _offsets(begin), _offsets(end)
    with opened(url, view) as tracker:
        found = open_archive(archive)
        different = _compare(found, tracker, starts, ends, limit, output)
        if not different and not (starts or ends):
            different = _compare_view(found, tracker, limit, output)
    if different:
        raise typer.Exit(ExitCode.FAILED)


def compact(
    *,
    archive: Archive,
    rows: Annotated[int, typer.Option(min=2, help="A merged file has so many events at most.")] = 1_000_000,
    keep_newest: Annotated[int, typer.Option(min=0, help="Leave so many of the newest files of each partition as they are.")] = 0,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Merge small neighbouring files of one day into one. An archiver may go on meanwhile."""
    from eventresults.archive.compact import compact as merge  # noqa: PLC0415 - brings pyarrow

    settings_of(url, view)
    begun = monotonic()
    done = merge(open_archive(archive), rows=rows, keep_newest=keep_newest)
    print_one({**done._asdict(), "seconds": round(monotonic() - begun, 3)}, output=output)


def repair(*, archive: Archive, url: Url = None, view: View = None, output: Output = None) -> None:
    """Make the manifest anew from the files that are there. What is missing between them, the next `archive run` reads from the log."""
    from eventresults.archive.compact import repair as remake  # noqa: PLC0415 - brings pyarrow

    settings_of(url, view)
    found = open_archive(archive)
    files = remake(found)
    missing = [chain for chain in found.chains(holes=True, listed=False).values() if chain.resumes is not None]
    for chain in missing:
        last = (chain.resumes or 0) - 1
        say(f"Missing: the offsets {chain.end} to {last} of partition {chain.partition}. Run `eventresults archive run --once`.")
    print_one({"files": files, "missing": [f"{chain.partition}:{chain.end}" for chain in missing]}, output=output)


def iceberg(
    *,
    archive: Archive,
    catalog: Annotated[
        str, typer.Option(metavar="URI", help="sqlite:///catalog.db, postgresql://… or a REST catalog's https://…", show_default=False)
    ],
    warehouse: Annotated[
        str, typer.Option(metavar="URI", help="Where the table keeps what is its own: file:///… or s3://…", show_default=False)
    ],
    table: Annotated[str, typer.Option(metavar="NAME", help="The table: namespace.name.")] = "eventresults.events",
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Add the archive's files to an Iceberg table, those that it lacks. None is copied, and none is added twice."""
    from eventresults.archive.iceberg import add_to_table, open_catalog  # noqa: PLC0415 - brings pyiceberg

    settings_of(url, view)
    with closing(open_catalog(catalog, warehouse=warehouse)) as tables:
        done = add_to_table(open_archive(archive), tables, table)
    ends = {str(partition): end for partition, end in sorted(done.ends.items())}
    print_one({"table": table, "files": done.files, "events": done.rows, "ends": ends}, output=output)


def _compare(
    found: archives.Archive, tracker: Tracker, starts: Mapping[int, int], ends: Mapping[int, int], limit: int, output: Output
) -> bool:
    """Whether the archive differs from the log; says what was proven."""
    from eventresults.archive.archiver import open_for  # noqa: PLC0415 - brings pyarrow
    from eventresults.archive.verify import Comparison, check_files  # noqa: PLC0415
    from eventresults.bootstrap import log_name  # noqa: PLC0415

    timeout = tracker.settings.connect_timeout
    open_for(found.storage, log_name(tracker.settings), tracker.log.info(timeout))
    files = check_files(found)
    comparison = Comparison(found, tracker.log, timeout=timeout)
    with Meter("Comparing the archive with the log") as meter:
        different = list(islice(comparison.differences(starts=starts, ends=ends, progress=meter), limit))
    print_rows([one._asdict() for one in different], output=output, columns=COLUMNS)
    beyond = f"; of {comparison.beyond:,} offsets the log holds no more, and their columns alone were proven" if comparison.beyond else ""
    if different:
        first = Position(different[0].partition, different[0].offset)
        say(f"The archive differs from its log, first at {first}: {different[0].what}.")
    else:
        say(f"{files} files are as they were written; {comparison.rows:,} events equal the log's{beyond}.")
    return bool(different)


def _compare_view(found: archives.Archive, tracker: Tracker, limit: int, output: Output) -> bool:
    """Whether the view differs from what the archive adds up to."""
    from eventresults.archive.log import ArchivedLog  # noqa: PLC0415 - brings pyarrow

    with catching_up(tracker):
        tracker.view.recent(limit=1, freshness="latest")
    reading = ArchivedLog(found, starts=tracker.log.info(tracker.settings.connect_timeout).starts)
    ends = reading.info(0).ends
    behind = [
        f"{one['partition']}:{one['position']}" for one in tracker.view_stats()["partitions"] if one["position"] > ends[one["partition"]]
    ]
    if behind:
        say(f"The view is ahead of the archive (at {', '.join(behind)}) and was not compared: run `eventresults archive run --once` first.")
        return False
    with Meter("Folding the archive afresh") as meter:
        different = tracker.verify(meter, against=reading)
    rows = [{"subject": one.subject, "field": one.field, "live": one.live, "fresh": one.fresh} for one in different[:limit]]
    if rows:
        print_rows(rows, output=output, columns=("subject", "field", "live", "fresh"))
        say(f"The view differs from what the archive adds up to in {len(different):,} places: eventresults view rebuild")
    else:
        say("The view is what the archive adds up to.")
    return bool(different)


def _offsets(texts: list[str] | None) -> dict[int, int]:
    try:
        return dict(Position.parse(text) for text in texts or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
