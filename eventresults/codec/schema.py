"""The wire format as JSON Schema, for those who write or read events without this library."""

from __future__ import annotations

from sys import float_info
from typing import Any

from msgspec.json import schema

from eventresults.codec.shapes import PAYLOADS, SHAPES
from eventresults.codec.upcast import CURRENT_VERSION
from eventresults.domain.events import EVENT_CLASSES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the value of a record: one of the kinds, told apart by `kind`.

    It describes what this version writes. Readers take more: unknown kinds, unknown fields and nulls are no errors.
    """
    kinds = {kind: _schema_of(kind) for kind in EVENT_CLASSES}
    return {
        "$schema": DIALECT,
        "title": "An event of eventresults",
        "description": "The value of one record of the log, a JSON object in UTF-8. The record's key is the id of the task or group.",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in kinds],
        "$defs": {**kinds, "wire": _WIRE},
    }


def _schema_of(kind: str) -> dict[str, Any]:
    shape = SHAPES[kind]
    made = schema(shape.cls)["$defs"][shape.cls.__name__]
    properties: dict[str, dict[str, Any]] = {
        "v": {"const": CURRENT_VERSION, "title": "Version", "description": "Version of the format. Absent: 1."},
        "kind": {"const": kind, "title": "Kind", "description": "Which fact this is."},
    }
    for name in shape.names:
        title = name.replace("_", " ").capitalize()
        properties[name] = {"title": title, **_written(made["properties"][name]), "description": DESCRIPTIONS[name]}
        if name in PAYLOADS and "type" not in properties[name]:
            properties[name]["$ref"] = "#/$defs/wire"
    return {
        "title": shape.cls.__name__,
        "description": (shape.cls.__doc__ or "").strip() + f" Key: {shape.subject}.",
        "type": "object",
        "properties": properties,
        "required": ["v", "kind", *(name for name in shape.names if name in made["required"])],
    }


def _written(field: dict[str, Any]) -> dict[str, Any]:
    """What the writer writes: None is left out, never null; a bound that every number keeps says nothing."""
    field = dict(field)
    if field.get("default", ...) is None:
        del field["default"]
    choices = [choice for choice in field.pop("anyOf", ()) if choice != {"type": "null"}]
    for choice in choices:
        field |= choice
    return {name: rule for name, rule in field.items() if not (isinstance(rule, float) and abs(rule) == float_info.max)}


_WIRE: dict[str, Any] = {
    "title": "Wire value",
    "description": (
        'Any JSON. An object {"$type": tag, "value": …} stands for what JSON lacks: int, float, str, bytes, tuple, set, frozenset, dict, '
        "datetime, date, time, timedelta, decimal, uuid; an object of exactly content_type, encoding and body (texts) for a value that "
        "another serializer made. See eventresults.codec.values."
    ),
}

#: What each field means, whatever the kind.
DESCRIPTIONS: dict[str, str] = {
    "added": "Id of a task that joins the group: one part more.",
    "args": "Positional arguments of the task.",
    "attempt": "Which attempt this is, from 1.",
    "body": "What follows the group.",
    "body_id": "Id of the task that follows the group.",
    "by": "Who asks or claims.",
    "children": "The tasks that this one sent, each as the as_tuple() form of its result.",
    "error": "The exception: type (class name), module, message, args (wire values); perhaps notes, facts.",
    "eta": "When the task may start, UTC.",
    "event_id": "Names the fact: repeated, it counts once. Ours are the hex digits of a UUIDv7. Absent: the record's position.",
    "expires": "When the task is no longer worth starting, UTC.",
    "group_id": "Id of the group.",
    "group_index": "Place of the task in its group, from 0.",
    "ignore_result": "Nobody will ask for the result.",
    "key_id": "Id of an encryption key, as values that it encrypted name it.",
    "kwargs": "Keyword arguments of the task.",
    "meta": "What goes with the state: progress, say.",
    "name": "Name of the task's function.",
    "observed": "Learned on the side: the fact informs, and decides nothing. Absent: false.",
    "parent_id": "Id of the task that sent this one.",
    "pid": "Process id of the worker.",
    "previous_id": "Id of the task or group before this one in a chain.",
    "queue": "The queue it was sent to.",
    "reason": "Why.",
    "replay_of": "Id of the task that this one repeats.",
    "request": "What a framework's worker knew of the request beside our own fields: Celery's extended result, say.",
    "requeue": "The message goes back to the queue.",
    "result": "What the task returned.",
    "result_expires": "Seconds until the result may go; 0: never.",
    "results": "The as_tuple() form of the group's result.",
    "retries": "How often the task was tried before.",
    "root_id": "Id of the first task of the whole workflow.",
    "runtime": "Seconds of work, as the worker measured them.",
    "signal": "Name of the signal, SIGTERM say.",
    "size": "How many parts the group has.",
    "source": "Who wrote the fact: name@host/pid.",
    "stamps": "Header -> stamps: all tasks that carry one of these are meant.",
    "state": "The task's state. In an update: a custom one, never SUCCESS, FAILURE or REVOKED.",
    "structure": "How the group is built.",
    "task_id": "Id of the task.",
    "terminate": "End the task even if it runs. Absent: false.",
    "terminated": "The running task was ended.",
    "time": "When it happened by the writer's clock, UTC.",
    "traceback": "The exception's traceback, as text.",
    "until": "How long the claim holds, UTC.",
    "when": "When the next attempt is due, UTC.",
    "worker": "Name of the worker.",
}
