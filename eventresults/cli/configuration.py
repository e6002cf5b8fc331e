"""`eventresults config`: what is set, and where it came from."""

from __future__ import annotations

import typer

from eventresults.cli.connection import settings_of
from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import Format, chosen, print_rows
from eventresults.cli.terminal import to_json, write
from eventresults.config.settings import shown

app = typer.Typer(no_args_is_help=True, help="The configuration in force.")


@app.callback()
def configuration() -> None:
    """The configuration in force."""


@app.command()
def show(*, url: Url = None, view: View = None, output: Output = None) -> None:
    """Show every setting: its value (secrets masked), where it came from, and what it means."""
    settings = settings_of(url, view)
    sources = settings.sources
    rows = [
        {"name": name, "value": shown(name, getattr(settings, name)), "source": sources[name], "description": field.description}
        for name, field in type(settings).model_fields.items()
    ]
    if chosen(output) is Format.JSON:
        write(to_json({str(row.pop("name")): row for row in rows}, indent=2))
        return
    print_rows(rows, output=output, columns=("name", "value", "source", "description"))
