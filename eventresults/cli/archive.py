"""`eventresults archive`: every event in Parquet files, for as long as anybody asks."""

from __future__ import annotations

import signal
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eventresults.bootstrap import log_name, make_log
from eventresults.cli import archive_asking, archive_tending
from eventresults.cli.connection import settings_of
from eventresults.cli.logs import set_log_level
from eventresults.cli.options import Archive, Output, Url, View
from eventresults.cli.output import print_one
from eventresults.cli.progress import Meter
from eventresults.cli.times import duration

if TYPE_CHECKING:
    from eventresults.archive.archiver import Archiver

app = typer.Typer(no_args_is_help=True, help="Keep every event in Parquet files, and ask them anything.")


@app.command()
def run(
    *,
    archive: Archive,
    once: Annotated[bool, typer.Option("--once", help="Archive what is there, and end. Else follow the log until SIGTERM.")] = False,
    allow_gap: Annotated[
        bool, typer.Option("--allow-gap", help="Go on where the log removed records before they were archived, and note it there.")
    ] = False,
    rows: Annotated[int, typer.Option(min=1, help="A file is full with so many events.")] = 1_000_000,
    max_bytes: Annotated[int, typer.Option(min=1, help="A file is full with so many bytes.")] = 256 * 2**20,
    every: Annotated[
        float,
        typer.Option(
            parser=duration, metavar="TIME", help="A file is seen so long after its first event was read, at the latest.", show_default="1m"
        ),
    ] = 60.0,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Write every event of the log that is not archived yet into Parquet files, and go on with those that come.

    A file is created whole, and only if it is absent: a crash, a rerun, or two archivers at once double nothing and lose nothing.
    Exit 1 if the log removed records before they were archived, 78 if the archive is of another log.
    """
    from eventresults.archive.archiver import Archiver  # noqa: PLC0415 - brings pyarrow
    from eventresults.archive.drafts import Limits  # noqa: PLC0415

    settings = settings_of(url, view)
    if not once and settings.sources["log_level"] == "default":
        set_log_level("INFO")  # a process that goes on for days says what it writes
    limits = Limits(rows=rows, bytes=max_bytes, seconds=every)
    begun = monotonic()
    log = make_log(settings)
    try:
        archiver = Archiver(log, archive, topic=log_name(settings), limits=limits, allow_gap=allow_gap, timeout=settings.connect_timeout)
        _end_by_signal(archiver)
        with Meter("Archiving") as meter:
            done = archiver.once(meter) if once else archiver.follow()
    finally:
        log.close()
    spent = monotonic() - begun
    row: dict[str, Any] = {"archive": archive, "files": done.files, "events": done.rows, "bytes": done.bytes, "seconds": round(spent, 3)}
    print_one({**row, "ends": {str(partition): end for partition, end in sorted(done.ends.items())}}, output=output)


def _end_by_signal(archiver: Archiver) -> None:
    """What was read is archived before the process ends; a second signal ends it at once."""

    def end(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        archiver.stop()

    signal.signal(signal.SIGTERM, end)


app.command()(archive_asking.query)
app.command()(archive_asking.ask)
app.command()(archive_asking.report)
app.command()(archive_tending.status)
app.command()(archive_tending.verify)
app.command()(archive_tending.compact)
app.command()(archive_tending.repair)
app.command()(archive_tending.iceberg)
