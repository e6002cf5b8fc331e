"""What a request's address says: ids, freshness, times, pages."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TypedDict, cast
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from eventresults.codec.ids import key_of
from eventresults.domain.position import Position
from eventresults.errors import InvalidTaskId
from eventresults.service.web.limits import Limits
from eventresults.service.web.problems import wrong
from eventresults.view.base import Freshness

WORDS = ("default", "latest", "applied")
#: For each partition, the offset of the last fact that is known.
Vector = dict[int, int]

_PART = re.compile(r"(\d{1,10}):(\d{1,19})", re.ASCII)


class Newness(TypedDict):
    """How new an answer must be, and how long it may take."""

    freshness: Freshness
    timeout: float | None


def check_names(request: Request, known: Collection[str]) -> None:
    """Refuse a parameter that means nothing here: it was meant to mean something."""
    for name in request.query_params:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else f": there are {', '.join(sorted(known))}" if known else ""
            raise wrong(name, f"no such parameter{meant}")


def subject_of(request: Request) -> str:
    """The id in the path, where it is percent-encoded. Raises `InvalidTaskId`."""
    raw = unquote_to_bytes(request.path_params["id"])
    try:
        subject = raw.decode()
    except UnicodeDecodeError:
        shown = raw[:64].decode(errors="replace")
        raise InvalidTaskId(f"{shown!a} is no usable id: an id is a text of 1 to 1,024 bytes of UTF-8.", task_id=shown) from None
    key_of(subject)
    return subject


def key_in(request: Request) -> str:
    """The key in the path, where it is percent-encoded."""
    try:
        return unquote_to_bytes(request.path_params["key"]).decode()
    except UnicodeDecodeError:
        raise wrong("key", "it is no UTF-8") from None


def newness(request: Request, limits: Limits) -> Newness:
    """The parameters `freshness` and `timeout`."""
    return {"freshness": _freshness(request.query_params.get("freshness", "default")), "timeout": _timeout(request, limits)}


def _freshness(text: str) -> Freshness:
    if text in WORDS:
        return cast("Freshness", text)
    if found := _PART.fullmatch(text):
        return Position(int(found[1]), int(found[2]))
    raise wrong("freshness", f"{text[:64]!a} is none of default, latest, applied, or a position such as 0:42")


def _timeout(request: Request, limits: Limits) -> float | None:
    text = request.query_params.get("timeout")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= limits.request_seconds:
        raise wrong("timeout", f"{text[:64]!a} is not a number of seconds from 0 to {limits.request_seconds:g}")
    return seconds


def page_size(request: Request, limits: Limits) -> int:
    """The parameter `limit`."""
    text = request.query_params.get("limit", "100")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= limits.page):
        raise wrong("limit", f"{text[:64]!a} is not a whole number from 1 to {limits.page:,}")
    return int(text)


def moment(request: Request, name: str) -> int | None:
    """A time as ISO 8601 (UTC unless it says otherwise) or milliseconds since the epoch; in milliseconds."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 16:
        return int(text)
    try:
        when = datetime.fromisoformat(text)
        return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise wrong(name, f"{text[:64]!a} is no time: write 2026-11-22T20:44:56Z, or milliseconds since 1970 (a '+' is %2B here)") from None


def parse_vector(text: str, name: str) -> Vector:
    """Read `partition:offset,partition:offset`; an empty text is the beginning."""
    vector: Vector = {}
    for part in text.split(",") if text else ():
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise wrong(name, f"{text[:64]!a} is no list of positions: give back the id of an event, such as 0:42,1:7")
        vector[int(found[1])] = int(found[2])
    return vector


def shown_vector(vector: Vector) -> str:
    """The text that `parse_vector` reads."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(vector.items()))


def stream_ids(request: Request, limits: Limits) -> Sequence[str]:
    """The parameter `ids`, which is repeated for each."""
    ids = list(dict.fromkeys(request.query_params.getlist("ids")))
    if not 1 <= len(ids) <= limits.stream_ids:
        raise wrong("ids", f"give 1 to {limits.stream_ids} ids, each as a parameter of its own (ids=a&ids=b), not {len(ids)}")
    for one in ids:
        key_of(one)
    return ids
