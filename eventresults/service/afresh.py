"""Folding the log afresh: to put a new generation in place of the live one, or to prove that the live one is right."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from eventresults.errors import LogUnavailable
from eventresults.log.base import Log
from eventresults.projector import Lifetimes, fold_poll
from eventresults.service.compare import Difference, Picture, differences
from eventresults.service.owner import Owner
from eventresults.service.shards import Opened, open_shards
from eventresults.view.base import Store

__all__ = ["Difference", "Progress", "rebuild", "verify"]

#: Called with (records folded so far, records to fold in all).
Progress = Callable[[int, int], None]

POLL_SECONDS = 0.5
#: A log that gives nothing for this many polls in a row, before its own end, has stopped answering.
EMPTY_POLLS = 60


def rebuild(owner: Owner, *, progress: Progress | None = None, timeout: float = 10.0) -> int:
    """Fold the log into a new generation, as far as the live one has, and put it in its place; the number of records folded.

    The live view is read meanwhile, and stands still only for the last few records. Raises `ViewLocked` while another rebuild is under way.
    """
    info = owner.log.info(timeout)
    build = owner.place.next()
    try:
        opened = open_shards(build.open_store, info)
        try:
            count = _fold_to(owner.log, opened, _positions(owner), owner.lifetimes, progress)
            with owner.still:
                # Not one record further than the live view: who watches it was told of no later one.
                count += _fold_to(owner.log, opened, _positions(owner), owner.lifetimes, None)
                owner.replace(build, opened)
        except BaseException:
            opened.close()
            raise
    except BaseException:
        build.close()
        raise
    return count


def verify(
    owner: Owner, make_store: Callable[[Path], Store], *, progress: Progress | None = None, timeout: float = 10.0
) -> list[Difference]:
    """Fold the log into a scratch view and compare every row with the live one; the differences (none: the view is right).

    The live view is read meanwhile, and stands still only for the last few records. Lives that began before the log's start cannot be
    compared and are left out, as is what the sweep may or may not have removed.
    """
    info = owner.log.info(timeout)
    with tempfile.TemporaryDirectory(prefix="eventresults-verify-") as scratch:
        opened = open_shards(lambda partition: make_store(Path(scratch) / str(partition)), info)
        try:
            _fold_to(owner.log, opened, _positions(owner), owner.lifetimes, progress)
            with owner.still:
                _fold_to(owner.log, opened, _positions(owner), owner.lifetimes, None)
                live = {partition: Picture(owner.view.shard(partition)) for partition in opened.shards}
            return [
                difference
                for partition, shard in opened.shards.items()
                for difference in differences(
                    live[partition],
                    Picture(shard),
                    start=info.starts[partition],
                    now=opened.heads[partition].log_time,
                    lifetimes=owner.lifetimes,
                )
            ]
        finally:
            opened.close()


def _positions(owner: Owner) -> dict[int, int]:
    return {partition: head.next_offset for partition, head in owner.heads.items()}


def _fold_to(log: Log, opened: Opened, ends: Mapping[int, int], lifetimes: Lifetimes, progress: Progress | None) -> int:
    """Move these shards exactly up to `ends`; the number of records folded."""
    heads = opened.heads
    total = sum(max(ends[p] - head.next_offset, 0) for p, head in heads.items())
    begun = opened.positions
    count = empty = 0
    behind = [p for p in ends if heads[p].next_offset < ends[p]]
    if not behind:
        return 0
    reader = log.reader({p: heads[p].next_offset for p in behind})
    try:
        while any(heads[p].next_offset < ends[p] for p in behind):
            polled = reader.poll(POLL_SECONDS)
            empty = 0 if polled else empty + 1
            if empty > EMPTY_POLLS:
                seconds = EMPTY_POLLS * POLL_SECONDS
                raise LogUnavailable(
                    f"{log.url} gave no record for {seconds:g} s before its end: is it reachable?", url=log.url, reason="silent"
                )
            for partition, poll in polled.items():
                within = [record for record in poll.records if record.offset < ends[partition]]
                next_offset = min(poll.next_offset, ends[partition])
                if next_offset <= heads[partition].next_offset:
                    continue
                folded = fold_poll(
                    opened.shards[partition], heads[partition], poll._replace(records=within, next_offset=next_offset), lifetimes
                )
                opened.shards[partition].commit(folded.batch)
                heads[partition] = folded.batch.head
                count += len(within)
            if progress is not None:
                progress(sum(heads[p].next_offset - begun[p] for p in heads), total)
    finally:
        reader.close()
    return count
