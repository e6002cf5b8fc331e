"""`eventresults schema`: the contract of the wire, for other languages and tools."""

from __future__ import annotations

import typer

from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import Format, chosen
from eventresults.cli.terminal import to_json, write
from eventresults.codec.schema import json_schema

app = typer.Typer(no_args_is_help=True, help="The schema of events.")


@app.command()
def export(*, url: Url = None, view: View = None, output: Output = None) -> None:  # noqa: ARG001 - every command takes them
    """Print the JSON Schema (2020-12) of a record's value: one event, by its kind."""
    write(to_json(json_schema(), indent=None if chosen(output) is Format.JSONL else 2))
