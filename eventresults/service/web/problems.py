"""Errors as RFC 9457 problems: a status, a type, what happened, and the facts of our errors."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from eventresults.errors import (
    Closed,
    ConfigError,
    EventResultsError,
    InvalidTaskId,
    LogUnavailable,
    NotOwner,
    ProjectionFailed,
    ProjectionUnknown,
    TopicMisconfigured,
    ValueTooLarge,
    ViewCorrupt,
    ViewError,
    ViewLocked,
    ViewStale,
    ViewUnavailable,
)
from eventresults.service.web.answers import encoded

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
#: Seconds after which it is worth asking again.
RETRY_AFTER = 1
LONGEST_RETRY_AFTER = 60

#: By the nearest class: the status, and what it means for whoever asked.
STATUSES: Mapping[type[BaseException], tuple[HTTPStatus, str]] = {
    InvalidTaskId: (HTTPStatus.BAD_REQUEST, "That is no usable id"),
    ConfigError: (HTTPStatus.INTERNAL_SERVER_ERROR, "The service is misconfigured"),
    ValueTooLarge: (HTTPStatus(413), "The value is too large"),
    ViewStale: (HTTPStatus.SERVICE_UNAVAILABLE, "No answer new enough in time"),
    LogUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "The log cannot be reached"),
    TopicMisconfigured: (HTTPStatus.INTERNAL_SERVER_ERROR, "The topic is missing or wrongly set up"),
    ViewLocked: (HTTPStatus.SERVICE_UNAVAILABLE, "Another process owns the view"),
    ViewUnavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "Nobody serves the view"),
    NotOwner: (HTTPStatus.SERVICE_UNAVAILABLE, "Another process owns that part of the view"),
    ViewCorrupt: (HTTPStatus.INTERNAL_SERVER_ERROR, "A part of the view cannot be read"),
    ProjectionUnknown: (HTTPStatus.NOT_FOUND, "No such projection is run here"),
    ProjectionFailed: (HTTPStatus.INTERNAL_SERVER_ERROR, "The projection's own code failed"),
    ViewError: (HTTPStatus.SERVICE_UNAVAILABLE, "The view cannot answer"),
    Closed: (HTTPStatus.SERVICE_UNAVAILABLE, "The service is closing"),
    EventResultsError: (HTTPStatus.INTERNAL_SERVER_ERROR, "The service failed"),
}


class Refused(Exception):
    """A request that is refused before the view is asked. `kind` names it, `title` says what such a refusal means, `detail` what to do."""

    def __init__(self, status: int, kind: str, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **facts: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.headers = headers or {}
        self.facts = facts


def wrong(parameter: str, detail: str) -> Refused:
    """A parameter of the request that cannot be used."""
    return Refused(400, "invalid-parameter", "A parameter cannot be used", f"{parameter}: {detail}", parameter=parameter)


def unknown(what: str, subject: str) -> Refused:
    """Nothing is known of this id."""
    detail = f"No {what} {subject!r} is known: it was never sent, or it was forgotten or has expired."
    return Refused(404, f"unknown-{what}", f"No such {what}", detail, id=subject)


def problem(error: Exception) -> Response:
    """The answer that tells of this error."""
    if isinstance(error, Refused):
        return _response(error.status, error.kind, error.title, error.detail, error.facts, error.headers)
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        return _response(error.status_code, _kebab(phrase.replace(" ", "")), phrase, error.detail, {}, error.headers or {})
    if isinstance(error, EventResultsError):
        status, title = next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("a request failed: %s", error)
        headers = {"Retry-After": str(_retry_after(error))} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
        return _response(status, _kebab(type(error).__name__), title, str(error), error.facts, headers)
    if isinstance(error, ValueError):
        return _response(400, "invalid-parameter", "A parameter cannot be used", str(error), {}, {})
    # Starlette raises it again, for the server to log.
    detail = "This is a defect of the service: its log says more."
    return _response(500, "internal-error", "The service failed", detail, {}, {})


async def on_error(_: Request, error: Exception) -> Response:
    """Starlette's handler of errors."""
    return problem(error)


def _response(status: int, kind: str, title: str, detail: str, facts: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    said = {"type": f"urn:eventresults:problem:{kind}", "title": title, "status": int(status), "detail": detail}
    extra = {name: value for name, value in facts.items() if name not in said}
    return Response(
        encoded({**said, **extra}), status_code=int(status), headers={**headers, "Cache-Control": "no-store"}, media_type=MEDIA_TYPE
    )


def _retry_after(error: EventResultsError) -> int:
    eta = error.facts.get("eta")
    return min(max(math.ceil(eta), RETRY_AFTER), LONGEST_RETRY_AFTER) if isinstance(eta, int | float) else RETRY_AFTER


def _kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
