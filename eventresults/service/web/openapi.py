"""The description of the REST interface, OpenAPI 3.1. Kept by hand; tests hold it to the routes and to real answers."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from eventresults.service.web.limits import Limits
from eventresults.service.web.schemas import SCHEMAS

Json = dict[str, Any]

_LIMITS = Limits()


def document() -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "eventresults",
            "version": _version(),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": (
                "What became of tasks, folded from a log of facts. Ids are percent-encoded in paths, slashes included. Every error is a "
                "problem of RFC 9457. A WebSocket for processes that use the Python library is at /api/v1/socket."
            ),
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": "tasks"}, {"name": "groups"}, {"name": "projections"}, {"name": "events"}, {"name": "service"}],
        "paths": PATHS,
        "components": {
            "schemas": SCHEMAS,
            "parameters": PARAMETERS,
            "responses": RESPONSES,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "Asked for when the service was started with a token."}
            },
        },
    }


def _version() -> str:
    try:
        return version("eventresults")
    except PackageNotFoundError:
        return "0"


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _json(schema: Json, description: str, media_type: str = "application/json") -> Json:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _query(name: str, schema: Json, description: str, **more: Any) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": description, **more}


def _operation(
    name: str,
    tag: str,
    summary: str,
    *,
    answer: Json,
    parameters: tuple[str, ...] = (),
    own: tuple[Json, ...] = (),
    may: tuple[str, ...] = (),
    **more: Any,
) -> Json:
    responses = {"200": answer, **{RESPONSE_STATUS[one]: _ref("responses", one) for one in may}}
    asked = [*(_ref("parameters", one) for one in parameters), *own]
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        **({"parameters": asked} if asked else {}),
        "responses": responses,
        **more,
    }


#: Which statuses go with which answer of the components.
RESPONSE_STATUS = {
    "BadRequest": "400",
    "Unauthenticated": "401",
    "Forbidden": "403",
    "Unknown": "404",
    "TooSlow": "408",
    "TooLarge": "413",
    "TooMany": "429",
    "Failed": "500",
    "Unavailable": "503",
}
_READ = ("BadRequest", "Unauthenticated", "Forbidden", "TooMany", "Failed", "Unavailable")
_READ_ONE = (*_READ, "Unknown")

RESPONSES: Json = {
    name: {
        "description": description,
        **headers,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for name, description, headers in (
        ("BadRequest", "A parameter, or the id, cannot be used.", {}),
        (
            "Unauthenticated",
            "No token was sent, or none that this service knows.",
            {"headers": {"WWW-Authenticate": {"schema": {"type": "string"}}}},
        ),
        ("Forbidden", "A service without a token answers its own machine only, and no other site's pages.", {}),
        ("Unknown", "Nothing is known of this id (never sent, forgotten, or expired), or there is no such key or projection.", {}),
        ("TooSlow", "The body did not come in time.", {}),
        ("TooLarge", "The body is too large.", {}),
        (
            "TooMany",
            "Too many connections, or too many reads at once.",
            {"headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}},
        ),
        ("Failed", "The service, or the topic it reads, is misconfigured or defective.", {}),
        (
            "Unavailable",
            "No answer new enough in time (view-stale, with position, end and lag), no log to be reached, or a service that is closing.",
            {"headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}},
        ),
    )
}

PARAMETERS: Json = {
    "id": {
        "name": "id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "minLength": 1},
        "description": "The id, percent-encoded: 1 to 1,024 bytes of UTF-8.",
    },
    "freshness": _query(
        "freshness",
        {"type": "string", "default": "default", "pattern": "^(default|latest|applied|[0-9]+:[0-9]+)$"},
        "How new the answer must be: default (a SUCCESS at once, all else up to the log's end), latest (always up to its end), applied "
        "(what is there), or a position (partition:offset) that the view must hold.",
    ),
    "timeout": _query(
        "timeout",
        {"type": "number", "minimum": 0, "maximum": _LIMITS.request_seconds},
        "How long to wait for an answer that new, in seconds; at most, and unless given, the service's own read_timeout.",
    ),
}

_NEWNESS = ("freshness", "timeout")
_PROJECTION: Json = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "description": "The projection's name.",
}
_KEY: Json = {
    "name": "key",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1},
    "description": "The key, percent-encoded: 1 to 1,024 bytes of UTF-8.",
}
_TIME = {"type": "string", "description": "ISO 8601, in UTC unless it says otherwise, or milliseconds since 1970."}

PATHS: Json = {
    "/api/v1/tasks": {
        "get": _operation(
            "listTasks",
            "tasks",
            "Tasks by the time of their first fact, newest first, a page at a time. A short page with a cursor is not the end.",
            answer=_json(_ref("schemas", "TaskPage"), "A page."),
            parameters=_NEWNESS,
            own=(
                _query("state", {"type": "string"}, "Only tasks in this state, such as SUCCESS."),
                _query("name", {"type": "string"}, "Only tasks of this name."),
                _query("since", _TIME, "Only tasks first heard of at or after this time, by the log's clock."),
                _query("until", _TIME, "Only tasks first heard of before this time."),
                _query("limit", {"type": "integer", "minimum": 1, "maximum": _LIMITS.page, "default": 100}, "At most this many."),
                _query("cursor", {"type": "string"}, "`next_cursor` of the page before."),
            ),
            may=_READ,
        )
    },
    "/api/v1/tasks:batch": {
        "post": _operation(
            "readTasks",
            "tasks",
            "Many tasks at once, for one question to the log.",
            answer=_json(_ref("schemas", "TaskBatch"), "What is known of each."),
            parameters=_NEWNESS,
            may=(*_READ, "TooSlow", "TooLarge"),
            requestBody={"required": True, "content": {"application/json": {"schema": _ref("schemas", "Ids")}}},
        )
    },
    "/api/v1/tasks/{id}": {
        "get": _operation(
            "readTask",
            "tasks",
            "Everything that is known of one task.",
            answer=_json(_ref("schemas", "Task"), "The task."),
            parameters=("id", *_NEWNESS),
            may=_READ_ONE,
        )
    },
    "/api/v1/tasks/{id}/history": {
        "get": _operation(
            "readHistory",
            "tasks",
            "Every fact of one task or group that the view holds, oldest first.",
            answer=_json(_ref("schemas", "History"), "The facts."),
            parameters=("id", *_NEWNESS),
            may=_READ_ONE,
        )
    },
    "/api/v1/groups/{id}": {
        "get": _operation(
            "readGroup",
            "groups",
            "Everything that is known of one group.",
            answer=_json(_ref("schemas", "Group"), "The group."),
            parameters=("id", *_NEWNESS),
            may=_READ_ONE,
        )
    },
    "/api/v1/projections/{id}": {
        "get": _operation(
            "readProjection",
            "projections",
            "The keys of a projection, in order, each with its state, a page at a time.",
            answer=_json(_ref("schemas", "StatePage"), "A page."),
            parameters=_NEWNESS,
            own=(
                _PROJECTION,
                _query("prefix", {"type": "string"}, "Only keys that begin with this."),
                _query("after", {"type": "string"}, "Only keys after this one: `next_after` of the page before."),
                _query("limit", {"type": "integer", "minimum": 1, "maximum": _LIMITS.page, "default": 100}, "At most this many."),
            ),
            may=_READ_ONE,
        )
    },
    "/api/v1/projections/{id}/{key}": {
        "get": _operation(
            "readState",
            "projections",
            "The state of one key of a projection.",
            answer=_json(_ref("schemas", "State"), "The state."),
            parameters=_NEWNESS,
            own=(_PROJECTION, _KEY),
            may=_READ_ONE,
        )
    },
    "/api/v1/events": {
        "get": _operation(
            "followEvents",
            "events",
            "The facts of some ids as server-sent events: what history holds after a vector of positions, then what comes.",
            answer=_json(
                {
                    "type": "string",
                    "description": (
                        "Each message's data is an Event as JSON, its id the vector to go on from. An event `lagged` ends the stream of a "
                        "client that does not keep up: come back with the last id, as EventSource does by itself."
                    ),
                },
                "The stream.",
                "text/event-stream",
            ),
            parameters=_NEWNESS,
            own=(
                _query(
                    "ids",
                    {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": _LIMITS.stream_ids},
                    "The ids of tasks or groups, each as a parameter of its own; they need not be known yet.",
                    required=True,
                    style="form",
                    explode=True,
                ),
                _query("after", {"type": "string"}, "Go on after this vector (partition:offset,…); from the beginning unless given."),
                {
                    "name": "Last-Event-ID",
                    "in": "header",
                    "schema": {"type": "string"},
                    "description": "As `after`, and before it: what EventSource sends when it comes back.",
                },
            ),
            may=_READ,
        )
    },
    "/api/v1/openapi.json": {
        "get": _operation(
            "describe",
            "service",
            "This document.",
            answer=_json({"type": "object"}, "OpenAPI 3.1."),
            may=("Unauthenticated", "Forbidden", "TooMany"),
        )
    },
    "/livez": {
        "get": _operation("live", "service", "Whether the process lives.", answer=_json({"type": "object"}, "It does."), security=[])
    },
    "/readyz": {
        "get": {
            **_operation(
                "ready",
                "service",
                "Whether to ask it: each check with what it found.",
                answer=_json(_ref("schemas", "Readiness"), "It is."),
                security=[],
            )
        }
    },
    "/metrics": {
        "get": _operation(
            "metrics",
            "service",
            "Figures for Prometheus.",
            answer=_json({"type": "string"}, "Prometheus' text format.", "text/plain"),
            may=("Unauthenticated", "Forbidden", "TooMany"),
        )
    },
}
PATHS["/readyz"]["get"]["responses"]["503"] = _json(_ref("schemas", "Readiness"), "It is not.")
