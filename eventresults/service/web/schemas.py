"""The shapes of what the REST interface answers, as JSON Schema."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _maybe(kind: str, description: str, **more: Any) -> Json:
    return {"type": [kind, "null"], "description": description, **more}


def _text(description: str) -> Json:
    return _maybe("string", description)


def _time(description: str) -> Json:
    return _maybe("string", description, format="date-time")


def _all_of(properties: Json, description: str) -> Json:
    """An object that always has all of its properties, and no others."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_WIRE: Json = {
    "description": 'Any JSON. An object {"$type": tag, "value": …} stands for what JSON lacks: bytes, tuples, datetimes, large integers …'
}
_POSITION: Json = {
    "type": "string",
    "pattern": "^[0-9]+:-?[0-9]+$",
    "description": "Where the last fact stands in the log: partition:offset.",
}
_ERROR = _maybe("object", "The exception: type (class name), module, message, args.")

_TASK: Json = {
    "id": {"type": "string"},
    "state": {"type": "string", "description": "PENDING, RECEIVED, STARTED, RETRY, SUCCESS, FAILURE, REVOKED, REJECTED, or a custom one."},
    "name": _text("Name of the task's function."),
    "args": _WIRE,
    "kwargs": _WIRE,
    "result": {**_WIRE, "description": "What it returned, or the meta of its last update while it is unfinished. " + _WIRE["description"]},
    "error": _ERROR,
    "progress": _WIRE,
    "worker": _text("Name of the worker."),
    "pid": _maybe("integer", "Process id of the worker."),
    "queue": _text("The queue it was sent to."),
    "sent_at": _time("When it was sent, by the writer's clock, as all times but log_time, born_at and expires_at."),
    "received_at": _time("When a worker received it."),
    "first_started_at": _time("Start of the first attempt."),
    "started_at": _time("Start of the latest attempt."),
    "date_done": _time("When the current attempt ended."),
    "queue_time": _maybe("number", "Seconds from being sent to the first start."),
    "runtime": _maybe("number", "Seconds of work, as the worker measured them."),
    "attempts": {"type": "integer", "minimum": 0, "description": "How often it began."},
    "lost": {"type": "integer", "minimum": 0, "description": "How many of these were lost with their worker, before the next began."},
    "retries": _maybe("integer", "How often it was tried before."),
    "retry_at": _time("When the next attempt is due."),
    "eta": _time("When it may start."),
    "expires": _time("When it is no longer worth starting."),
    "parent_id": _text("Id of the task that sent it."),
    "previous_id": _text("Id of the task or group before it in a chain."),
    "replay_of": _text("Id of the task that it repeats."),
    "root_id": _text("Id of the first task of the whole workflow."),
    "group_id": _text("Id of its group."),
    "group_index": _maybe("integer", "Its place in the group, from 0."),
    "children": _maybe("array", "The tasks that it sent, each as the as_tuple() form of its result."),
    "revoke_request": _maybe("object", "The open request to revoke it: terminate, signal, reason, by."),
    "revocation": _maybe("object", "Why and how it was revoked: reason, terminated, signal."),
    "request": _maybe("object", "What a framework's worker said of the request beside all this."),
    "position": _POSITION,
    "facts": {"type": "integer", "minimum": 0, "description": "How many facts this life of the task has."},
    "born_at": _time("Log time of the first fact."),
    "log_time": _time("Log time of the last fact."),
    "expires_at": _time("Log time at which it leaves the view; null: never."),
    "traceback": _text("The exception's traceback."),
}

_BRIEF: Json = {name: _TASK[name] for name in ("id", "state", "name", "worker", "attempts", "runtime", "born_at", "date_done")} | {
    "error": _text("The error in one line."),
    "position": _POSITION,
}

_GROUP: Json = {
    "id": {"type": "string"},
    "results": {**_WIRE, "description": "The saved as_tuple() form; null: not saved."},
    "size": _maybe("integer", "How many parts it has, where that was told."),
    "added": _maybe("array", "Ids of the tasks that joined it after its size was told."),
    "complete": {"type": "boolean", "description": "Whether every part of the current run has ended."},
    "run": {"type": "integer", "minimum": 0},
    "parts": _maybe("object", 'Each part that ended, by "task_id/group_index": [state, offset of its fact].'),
    "body": _WIRE,
    "structure": _WIRE,
    "claim": _maybe("object", "The open claim to send the body: by, body_id, until."),
    "dispatched": _text("Id of the body once it was sent."),
    "position": _POSITION,
    "facts": {"type": "integer", "minimum": 0},
    "born_at": _time("Log time of the first fact."),
    "log_time": _time("Log time of the last fact."),
    "expires_at": _time("Log time at which it leaves the view; null: never."),
}

_FACT: Json = {
    "position": _POSITION,
    "log_time": _time("The log's clock."),
    "kind": {"type": "string", "description": "Which fact it is: task-sent, task-succeeded …"},
    "time": _time("The writer's clock."),
    "source": _text("Who wrote it."),
    "event_id": _text("Names the fact: repeated, it counts once."),
    "observed": {"type": "boolean", "description": "Learned on the side: it informs, and decides nothing."},
    "details": {"type": "object", "description": "The fields of its kind that are set."},
}

_STATE: Json = {"key": {"type": "string"}, "state": {"description": "Any JSON: whatever the projection keeps."}}

SCHEMAS: Json = {
    "Task": _all_of(_TASK, "Everything that is known of one task."),
    "BriefTask": _all_of(_BRIEF, "What a list says of one task."),
    "TaskPage": _all_of(
        {
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/BriefTask"}},
            "next_cursor": _text("Continues the list; null: this was the end."),
        },
        "A page of tasks, newest first.",
    ),
    "TaskBatch": _all_of(
        {"tasks": {"type": "object", "additionalProperties": {"oneOf": [{"$ref": "#/components/schemas/Task"}, {"type": "null"}]}}},
        "Tasks by id; null for an id of which nothing is known.",
    ),
    "Ids": {
        "type": "object",
        "properties": {"ids": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1_000}},
        "required": ["ids"],
    },
    "Group": _all_of(_GROUP, "Everything that is known of one group."),
    "Fact": _all_of(_FACT, "One fact."),
    "History": _all_of({"items": {"type": "array", "items": {"$ref": "#/components/schemas/Fact"}}}, "Facts, oldest first."),
    "State": _all_of(_STATE, "The state of one key of a projection."),
    "StatePage": _all_of(
        {
            "items": {"type": "array", "items": {"$ref": "#/components/schemas/State"}},
            "next_after": _text("The key after which to go on; null: this was the end."),
        },
        "A page of a projection's keys, in order.",
    ),
    "Event": _all_of({"id": {"type": "string", "description": "The task or group."}, **_FACT}, "One fact of a stream."),
    "Readiness": _all_of(
        {
            "status": {"enum": ["ready", "not ready"]},
            "checks": {
                "type": "object",
                "additionalProperties": _all_of({"ok": {"type": "boolean"}, "found": {"type": "string"}}, "What one check found."),
            },
        },
        "Each check by name: view, caught_up, lag, disk.",
    ),
    "Problem": {
        "type": "object",
        "description": "RFC 9457. Further members are the facts of the error, such as partition, position, end and lag.",
        "properties": {
            "type": {"type": "string", "format": "uri", "description": "urn:eventresults:problem:view-stale, and so on."},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What happened, and what to do."},
        },
        "required": ["type", "title", "status", "detail"],
    },
}
