"""`eventresults schema`: the contract of the wire, for other languages and tools."""

from __future__ import annotations

from typing import Any

import typer
from pydantic import TypeAdapter

from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import Format, chosen
from eventresults.cli.terminal import to_json, write
from eventresults.domain.events import EVENT_CLASSES, Event, GroupFact

app = typer.Typer(no_args_is_help=True, help="The schema of events.")


@app.command()
def export(*, url: Url = None, view: View = None, output: Output = None) -> None:  # noqa: ARG001 - every command takes them
    """Print the JSON Schema (2020-12) of a record's value: one event, by its kind."""
    write(to_json(event_schema(), indent=None if chosen(output) is Format.JSONL else 2))


def event_schema() -> dict[str, Any]:
    """The JSON Schema of every kind of event. A reader keeps kinds and fields that it does not know, so further ones are allowed."""
    definitions: dict[str, Any] = {}
    for kind, cls in EVENT_CLASSES.items():
        definitions[cls.__name__] = _of_kind(kind, cls)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of eventresults",
        "description": "The value of one record; its key is the task's or group's id in UTF-8.",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in definitions],
        "$defs": definitions,
    }


def _of_kind(kind: str, cls: type[Event]) -> dict[str, Any]:
    schema = TypeAdapter(cls).json_schema()
    own = schema.pop("properties")
    schema.pop("additionalProperties", None)
    schema["properties"] = {"v": {"const": 1}, "kind": {"const": kind}, **own}
    schema["required"] = ["v", "kind", *schema.get("required", [])]
    schema["title"] = cls.__name__
    schema["description"] = (cls.__doc__ or "").strip() + (" Key: group_id." if issubclass(cls, GroupFact) else " Key: task_id.")
    return schema
