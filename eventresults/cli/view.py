"""`eventresults view`: where the view stands, building it anew, proving it right, and snapshots of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from eventresults.cli.connection import catching_up, opened
from eventresults.cli.exits import ExitCode
from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import Format, cell, chosen, print_one, print_rows
from eventresults.cli.progress import Meter
from eventresults.cli.terminal import say, to_json, write
from eventresults.cli.times import iso

app = typer.Typer(no_args_is_help=True, help="Look at the view, rebuild it, verify it, keep snapshots of it.")


@app.command()
def stats(*, url: Url = None, view: View = None, output: Output = None) -> None:
    """Show where the view is, its generation, and each partition's position, end, lag, bytes and counters."""
    with opened(url, view) as tracker:
        found = tracker.view_stats()
    if chosen(output) is not Format.TABLE:
        print_one(found, output=output)
        return
    told = found.pop("partitions")
    partitions = [{**one, "complete_since": iso(one["complete_since"]), "projections": ", ".join(one["projections"])} for one in told]
    print_one(found, output=output)
    columns: dict[str, None] = {}
    for one in partitions:
        columns.update(dict.fromkeys(one))
    write("")
    print_rows(partitions, output=output, columns=list(columns))


@app.command()
def rebuild(*, url: Url = None, view: View = None, output: Output = None) -> None:
    """Fold the whole log into a new generation of the view and put it in place of this one."""
    begun = monotonic()
    with opened(url, view) as tracker, Meter("Rebuilding the view") as meter:
        count = tracker.rebuild(progress=meter)
        found = tracker.view_stats()
    seconds = monotonic() - begun
    row = {"path": found["path"], "generation": found["generation"], "records": count, "seconds": round(seconds, 3)}
    print_one(row, output=output)


@app.command()
def verify(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Print at most this many differences.")] = 100,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Fold the log afresh, beside the live view, and compare. Prints the differences; exit 1 if there are any."""
    with opened(url, view) as tracker:
        with catching_up(tracker):
            tracker.view.recent(limit=1, freshness="latest")
        with Meter("Folding the log afresh") as meter:
            differences = tracker.verify(progress=meter)
    rows = [{"subject": one.subject, "field": one.field, "live": one.live, "fresh": one.fresh} for one in differences[:limit]]
    match chosen(output):
        case Format.JSON:
            write(to_json({"equal": not differences, "differences": rows, "total": len(differences)}, indent=2))
        case _ if rows:
            print_rows(rows, output=output, columns=("subject", "field", "live", "fresh"))
    if differences:
        fields = ", ".join(f"{cell(name)} {count}" for name, count in Counter(one.field for one in differences).most_common(5))
        say(f"The view differs from its log in {len(differences):,} places ({fields}): eventresults view rebuild")
        raise typer.Exit(ExitCode.FAILED)
    say("The view equals its log.")


@app.command()
def snapshot(
    *,
    to: Annotated[Path, typer.Option(help="The folder of snapshots; each is a new folder in it.", show_default=False)],
    keep: Annotated[
        int | None, typer.Option(min=1, help="Remove older snapshots there, all but so many of each shard.", show_default=False)
    ] = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Take a snapshot of the view: a checkpoint of every shard, its position and checksums. Readers go on meanwhile."""
    begun = monotonic()
    with opened(url, view) as tracker:
        with catching_up(tracker):
            tracker.view.recent(limit=1, freshness="latest")
        path = tracker.snapshot(to, keep)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    print_one({"path": str(path), "bytes": size, "seconds": round(monotonic() - begun, 3)}, output=output)


@app.command()
def restore(
    *,
    source: Annotated[Path, typer.Option("--from", help="A snapshot, or a folder of snapshots: then the latest.", show_default=False)],
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Put a snapshot in place of the view, every checksum verified; the log goes on from its position."""
    begun = monotonic()
    with opened(url, view) as tracker:
        generation = tracker.restore(source)
        found = tracker.view_stats()
    print_one({"path": found["path"], "generation": generation, "seconds": round(monotonic() - begun, 3)}, output=output)
