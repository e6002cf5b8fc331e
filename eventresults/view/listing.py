"""Tasks by time, newest first, over all shards of a view; in pages with a cursor."""

from __future__ import annotations

import base64
import heapq
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter

from eventresults.domain.meta import TaskMeta
from eventresults.view import keys
from eventresults.view.base import TaskPage
from eventresults.view.shard import Shard

#: A page reads at most this many index rows, so that a rare state in a large view cannot hold a caller up.
ROWS_PER_PAGE = 50_000
#: Index rows looked up at once: few at first, as a small page needs no more.
_CHUNKS = (16, 256)
_END_OF_TIME = 2**63 - 1


def recent(
    shards: Sequence[Shard],
    *,
    state: str | None,
    name: str | None,
    since: int | None,
    until: int | None,
    limit: int,
    cursor: str | None,
    now: int,
) -> TaskPage:
    """See `ViewReader.recent`; `now` (ms) hides what has expired. Raises ValueError, also for a limit below 1."""
    if limit < 1:
        raise ValueError(f"limit={limit}: a page has at least one task")
    start = keys.RECENT + keys.number(_clamped(since, 0))
    stop = keys.RECENT + keys.number(_clamped(until, _END_OF_TIME))
    if cursor is not None:
        stop = min(stop, _decode(cursor))
    items: list[TaskMeta] = []
    for read, (row, meta) in enumerate(_newest_first(shards, start, stop), start=1):
        if meta is not None and meta.exists and not meta.expired(now) and state in (None, meta.state) and name in (None, meta.name):
            items.append(meta)
        if len(items) >= limit or read >= ROWS_PER_PAGE:
            return TaskPage(items, _encode(row))
    return TaskPage(items, None)


def merged(pages: Sequence[TaskPage], limit: int) -> TaskPage:
    """One page of several views' pages, each asked for with the same cursor and limit."""
    # Beyond the cursor of one that stopped early, the others may not go on.
    reached = max((_decode(page.cursor) for page in pages if page.cursor is not None), default=b"")
    rows = sorted(
        ((keys.recent(meta.born_at, meta.task_id), meta) for page in pages for meta in page.items), key=itemgetter(0), reverse=True
    )
    items = [(row, meta) for row, meta in rows if row >= reached]
    if len(items) > limit:
        return TaskPage([meta for _, meta in items[:limit]], _encode(items[limit - 1][0]))
    return TaskPage([meta for _, meta in items], _encode(reached) if reached else None)


def _clamped(log_time: int | None, default: int) -> int:
    return default if log_time is None else min(max(log_time, 0), _END_OF_TIME)


def _newest_first(shards: Sequence[Shard], start: bytes, stop: bytes) -> Iterator[tuple[bytes, TaskMeta | None]]:
    yield from heapq.merge(*(_one_shard(shard, start, stop) for shard in shards), key=itemgetter(0), reverse=True)


def _one_shard(shard: Shard, start: bytes, stop: bytes) -> Iterator[tuple[bytes, TaskMeta | None]]:
    """The index rows of one shard with the rows they name, looked up in chunks."""
    size, largest = _CHUNKS
    index = shard.scan(start, stop, reverse=True)
    while chunk := [row for row, _ in islice(index, size)]:
        metas = shard.tasks([row[9:].decode() for row in chunk])
        for row in chunk:
            meta = metas.get(row[9:].decode())
            # Since the scan began the task may have begun another life, which is listed elsewhere.
            yield row, meta if meta is not None and keys.recent(meta.born_at, meta.task_id) == row else None
        size = min(size * 2, largest)


def _encode(row: bytes) -> str:
    return base64.urlsafe_b64encode(row[1:]).decode().rstrip("=")


def _decode(cursor: str) -> bytes:
    try:
        row = keys.RECENT + base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        row = b""
    if len(row) < 10 or _encode(row) != cursor:
        raise ValueError(f"{cursor!r} is no cursor of this listing: pass next_cursor of a page as it was given")
    return row
