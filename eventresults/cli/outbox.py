"""`eventresults outbox`: what waits in an outbox, and forwarding what dead processes left there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eventresults.cli.connection import opened, settings_of
from eventresults.cli.exits import ExitCode
from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import print_one, print_rows
from eventresults.cli.terminal import say
from eventresults.cli.times import duration
from eventresults.config import Settings
from eventresults.errors import ConfigError
from eventresults.log.outbox_tending import forward, set_aside
from eventresults.log.outbox_tending import waiting as waiting_in

app = typer.Typer(no_args_is_help=True, help="Facts that wait for the log in files.")

Folder = Annotated[
    str | None, typer.Option("--outbox", help="The outbox's folder; the `outbox` setting unless given.", metavar="DIR", show_default=False)
]
COLUMNS = ("path", "log", "pid", "host", "alive", "facts", "bytes")


@app.command()
def status(*, outbox: Folder = None, url: Url = None, view: View = None, output: Output = None) -> None:
    """Show the files of each process: for which log, whether it lives, how many facts wait; and what was set aside."""
    folder = _folder(settings_of(url, view, outbox=outbox))
    rows = [{**one._asdict(), "path": str(one.path), "log": one.url} for one in waiting_in(folder)]
    print_rows([{name: row[name] for name in COLUMNS} for row in rows], output=output, columns=COLUMNS)
    for aside in set_aside(folder):
        say(f"{aside.path} ({aside.bytes:,} bytes) holds what could not be forwarded: see why, then delete it.")


@app.command()
def flush(
    *,
    timeout: Annotated[
        float, typer.Option(parser=duration, metavar="TIME", help="How long to go on: 30s, 5m.", show_default="10m")
    ] = 600.0,
    outbox: Folder = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Forward what ended processes left for this log. Exit 124 if some of it still waits when the time is over."""
    with opened(url, view) as tracker:
        folder = _folder(settings_of(url, view, outbox=outbox))
        forwarded = forward(tracker.log, folder, timeout=timeout)
        left = sum(one.facts for one in waiting_in(folder) if not one.alive and one.url == tracker.log.url)
    print_one({"outbox": str(folder), "forwarded": forwarded, "waiting": left}, output=output)
    if left:
        say(f"{left:,} facts still wait: is {tracker.url} reachable?")
        raise typer.Exit(ExitCode.TIMEOUT)


def _folder(settings: Settings) -> Path:
    if settings.outbox is None:
        raise ConfigError("Which outbox? Give --outbox DIR, or set `outbox` in eventresults.toml or EVENTRESULTS_OUTBOX.", setting="outbox")
    return Path(settings.outbox).expanduser()
