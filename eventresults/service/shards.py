"""Opening the shards of one generation, and judging whether they still belong to the log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import NamedTuple

from eventresults.domain.position import Position
from eventresults.log.base import Log, LogInfo
from eventresults.projector import fingerprint
from eventresults.reading import repartitioned
from eventresults.view.base import Store
from eventresults.view.shard import SCHEMA, Head, Shard

#: Opens (or creates) the store of one partition.
OpenStore = Callable[[int], Store]


class Opened(NamedTuple):
    """The shards of one generation and where each stands."""

    shards: dict[int, Shard]
    heads: dict[int, Head]

    @property
    def positions(self) -> dict[int, int]:
        """The next offset of each partition."""
        return {partition: head.next_offset for partition, head in self.heads.items()}

    def close(self) -> None:
        """Close every shard. Idempotent."""
        for shard in self.shards.values():
            shard.close()


def open_shards(open_store: OpenStore, info: LogInfo) -> Opened:
    """Open a shard per partition, side by side (a store takes long to open); a new one starts where the log does. Raises `ViewError`."""
    partitions = range(info.partitions)
    with ThreadPoolExecutor(max_workers=min(8, info.partitions), thread_name_prefix="eventresults-open") as pool:
        pending = [pool.submit(open_store, partition) for partition in partitions]
    opened = Opened({p: Shard(one.result(), p) for p, one in enumerate(pending) if one.exception() is None}, {})
    try:
        for one in pending:
            one.result()
        for partition, shard in opened.shards.items():
            new = Head(log_id=info.log_id, partitions=info.partitions, next_offset=info.starts[partition])
            opened.heads[partition] = shard.head() or new
    except BaseException:
        opened.close()
        raise
    return opened


def open_shard(open_store: OpenStore, info: LogInfo, partition: int) -> tuple[Shard, Head]:
    """One of them. Raises `ViewError`."""
    shard = Shard(open_store(partition), partition)
    try:
        head = shard.head()
    except BaseException:
        shard.close()
        raise
    return shard, head or Head(log_id=info.log_id, partitions=info.partitions, next_offset=info.starts[partition])


class Outdated(NamedTuple):
    """Why a view must be built anew. `same_log`: what it had folded still holds, it is the view that is at fault."""

    why: str
    same_log: bool


def why_outdated(
    heads: Mapping[int, Head], log: Log, info: LogInfo, *, timeout: float, read: Collection[int] | None = None
) -> Outdated | None:
    """Why these shards are no longer what the log says; None when they are.

    Of the partitions in `read` (None: of all) the record that was folded last is read again, which takes a broker some 10 ms each.
    Raises `TopicMisconfigured` when the number of partitions changed (no rebuild can heal that: keys have moved), and what the log raises.
    """
    deadline = monotonic() + timeout
    for partition, head in heads.items():
        if head.log_id == info.log_id and head.partitions != info.partitions:
            raise repartitioned(log.url, head.partitions, info.partitions)
        outdated = _why_outside(partition, head, info)
        if outdated is None and (read is None or partition in read):
            outdated = _why_other(partition, head, log, info, deadline)
        if outdated is not None:
            return outdated
    return None


def _why_outside(partition: int, head: Head, info: LogInfo) -> Outdated | None:
    if head.log_id != info.log_id:
        return Outdated(
            f"the log was deleted and created again (it is {info.log_id} now, the view was made from {head.log_id})", same_log=False
        )
    start, end = info.starts[partition], info.ends[partition]
    if head.next_offset > end:
        return Outdated(
            f"the log lost its tail: partition {partition} ends at {end}, the view had folded up to {head.next_offset}", same_log=False
        )
    if head.next_offset < start:
        return Outdated(
            f"retention passed the view: partition {partition} begins at {start}, the view had folded only up to {head.next_offset}; "
            f"the {start - head.next_offset} records between are gone",
            same_log=False,
        )
    if head.schema != SCHEMA:
        return Outdated(f"it was written by another version (schema {head.schema}, this one reads {SCHEMA})", same_log=True)
    return None


def _why_other(partition: int, head: Head, log: Log, info: LogInfo, deadline: float) -> Outdated | None:
    if not _still_there(partition, head, log, info.starts[partition], deadline):
        return Outdated(
            f"the log lost its tail and grew anew: the record at {partition}:{head.last_offset} is not the one that was folded",
            same_log=False,
        )
    return None


def _still_there(partition: int, head: Head, log: Log, start: int, deadline: float) -> bool:
    """Whether the log holds the record that was folded last, as it was; also if retention has passed it."""
    if head.last_offset < start:
        return True
    record = log.read(Position(partition, head.last_offset), max(deadline - monotonic(), 0.001))
    if record is not None:
        return fingerprint(record) == head.fingerprint
    # Retention may have come by since `start` was asked for.
    return head.last_offset < log.info(max(deadline - monotonic(), 0.001)).starts[partition]
