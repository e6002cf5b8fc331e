"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from eventresults.cli.output import Format
from eventresults.cli.times import place

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The log: memory://, sqlite:///file.db or kafka://host:9092/topic. Else EVENTRESULTS_URL, eventresults.toml, sqlite:///eventresults.db.",
        show_default=False,
    ),
]
View = Annotated[
    str | None,
    typer.Option("--view", metavar="VIEW", help="The view: a folder, a service's http:// address, or group.", show_default=False),
]
Output = Annotated[
    Format | None,
    typer.Option("-o", "--output", help="How to print: a table on a terminal, JSON lines elsewhere, unless you say.", show_default=False),
]
# Typer knows no unions: what `place` gives is a `Position | datetime`.
At = Annotated[
    Any,
    typer.Option(
        parser=place,
        metavar="PLACE",
        help="As of this log time (ISO 8601, '2h ago') or position (partition:offset, included).",
        show_default=False,
    ),
]
TaskId = Annotated[str, typer.Argument(help="The task's id.", metavar="ID", show_default=False)]
TaskIds = Annotated[list[str], typer.Argument(help="The tasks' ids.", metavar="ID", show_default=False)]
Archive = Annotated[
    str,
    typer.Option(
        "--archive",
        metavar="DIR",
        envvar="EVENTRESULTS_ARCHIVE",
        help="The archive: a folder, or s3://bucket/prefix (also gs://, az://).",
        show_default=False,
    ),
]
ArchiveToo = Annotated[
    str | None,
    typer.Option("--archive", metavar="DIR", help="Read what retention removed from the log in this archive of it.", show_default=False),
]
