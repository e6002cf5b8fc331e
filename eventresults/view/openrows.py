"""Open rows: what stands open in a view, and waits for somebody to see to it. Kept in the same commit as the rows themselves.

    kind       a row is open while                              what it tells (`OpenRow.facts`)
    "group"    every part has ended, and no body was sent       {"completed_by", "run", "claim"}, see `GroupMeta`
    "revoke"   a request to revoke it is open                   {"terminate", "signal", "reason", "by"}, see `TaskMeta.revoke_request`

By id, in pages with a cursor.
"""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterator, Sequence
from operator import itemgetter

from eventresults.codec import plain
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.view import keys
from eventresults.view.base import Openness, OpenPage, OpenRow
from eventresults.view.shard import Shard

#: A page reads at most this many index rows.
ROWS_PER_PAGE = 10_000
_TAGS: dict[Openness, bytes] = {"group": keys.GROUP, "revoke": keys.STATE}


def open_task(meta: TaskMeta | None) -> bytes | None:
    """The open row of a task, if it is one."""
    if meta is None or meta.revoke_request is None or meta.phase == "forgotten":
        return None
    return plain.pack([meta.expires_at, meta.revoke_request])


def open_group(meta: GroupMeta | None) -> bytes | None:
    """The open row of a group, if it is one."""
    if meta is None or meta.completed_by is None or meta.dispatched is not None or not meta.exists:
        return None
    return plain.pack([meta.expires_at, {"completed_by": meta.completed_by, "run": meta.run, "claim": meta.claim}])


def opened(shards: Sequence[Shard], kind: Openness, *, limit: int, cursor: str | None, now: int) -> OpenPage:
    """See `ViewReader.opened`; `now` (ms) hides what has expired. Raises ValueError, also for a limit below 1."""
    if limit < 1:
        raise ValueError(f"limit={limit}: a page has at least one row")
    if kind not in _TAGS:
        raise ValueError(f"{kind!r}: what may stand open is {' or '.join(map(repr, _TAGS))}")
    start = keys.opened(_TAGS[kind])
    stop = keys.after(start)
    begin = start if cursor is None else _decode(start, cursor) + b"\0"
    items: list[OpenRow] = []
    for read, (row, raw) in enumerate(_by_id(shards, begin, stop), start=1):
        expires_at, facts = plain.unpack(raw)
        if expires_at is None or now < expires_at:
            items.append(OpenRow(row[len(start) :].decode(), facts))
        if len(items) >= limit or read >= ROWS_PER_PAGE:
            return OpenPage(items, _encode(row[len(start) :]))
    return OpenPage(items, None)


def merged(pages: Sequence[OpenPage], limit: int) -> OpenPage:
    """One page of several views' pages, each asked for with the same cursor and limit."""
    # Beyond the cursor of one that stopped early, the others may not go on.
    reached = min((_decode(b"", page.cursor) for page in pages if page.cursor is not None), default=None)
    items: list[OpenRow] = sorted((row for page in pages for row in page.items), key=_raw_id)
    if reached is not None:
        items = [row for row in items if _raw_id(row) <= reached]
    if len(items) > limit:
        return OpenPage(items[:limit], _encode(_raw_id(items[limit - 1])))
    return OpenPage(items, None if reached is None else _encode(reached))


def _raw_id(row: OpenRow) -> bytes:
    return row.subject.encode()


def _by_id(shards: Sequence[Shard], start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
    yield from heapq.merge(*(shard.scan(start, stop) for shard in shards), key=itemgetter(0))


def _encode(subject: bytes) -> str:
    return base64.urlsafe_b64encode(subject).decode().rstrip("=")


def _decode(start: bytes, cursor: str) -> bytes:
    try:
        subject = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        subject = b""
    if not subject or _encode(subject) != cursor:
        raise ValueError(f"{cursor!r} is no cursor of this listing: pass the cursor of a page as it was given")
    return start + subject
