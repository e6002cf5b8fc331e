"""Folding the log afresh: to put a new generation in place of the live one, or to prove that the live one is right."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from eventresults.domain.projection import Projection
from eventresults.errors import LogUnavailable, ViewStale
from eventresults.log.base import Log
from eventresults.projector import Lifetimes, fold_poll
from eventresults.service.compare import Difference, Picture, differences
from eventresults.service.opening import see_off
from eventresults.service.owner import Owner
from eventresults.service.places import Place
from eventresults.service.shards import Opened, open_shards, why_outdated
from eventresults.service.snapshots import checkpoint_view, checkpoints_in
from eventresults.view.base import Store
from eventresults.view.shard import Shard

__all__ = ["Difference", "Progress", "fold_to", "rebuild", "rebuild_beside", "verify", "verify_checkpoint"]

#: Called with (records folded so far, records to fold in all).
Progress = Callable[[int, int], None]

POLL_SECONDS = 0.5
#: A log that gives nothing for this many polls in a row, before its own end, has stopped answering.
EMPTY_POLLS = 60
#: A view so many records behind its log is caught up in milliseconds.
FEW = 1_000


def rebuild(owner: Owner, *, progress: Progress | None = None, timeout: float = 10.0) -> int:
    """Fold the log into a new generation, as far as the live one has, and put it in its place; the number of records folded.

    The live view is read meanwhile, and stands still only for the last few records. Raises `ViewLocked` while another rebuild is under way,
    and `ViewStale` when the log is another one than the live view was made from: its owner then begins anew by itself.
    """
    _assert_same_log(owner, timeout)
    info = owner.log.info(timeout)
    with owner.place.draft() as draft:
        opened = open_shards(draft.open_store, info)
        try:
            count = fold_to(owner.log, opened, _positions(owner), owner.lifetimes, progress, owner.projections)
            build, opened = draft.adopt(opened, info)
        except BaseException:
            opened.close()
            raise
        try:
            count += fold_to(owner.log, opened, _positions(owner), owner.lifetimes, None, owner.projections)
            with owner.still:
                # Not one record further than the live view: who watches it was told of no later one.
                count += fold_to(owner.log, opened, _positions(owner), owner.lifetimes, None, owner.projections)
                _assert_same_log(owner, timeout)  # or who watches it would never be told what the other one holds
                owner.replace(build, opened)
        except BaseException:
            opened.close()
            build.close()
            raise
    return count


def rebuild_beside(
    log: Log,
    place: Place,
    *,
    lifetimes: Lifetimes | None = None,
    projections: Sequence[Projection] = (),
    progress: Progress | None = None,
    timeout: float = 10.0,
) -> int:
    """Fold the log into a new generation without owning the current one, and make it current; the number of records folded.

    Whoever owns the current one goes on with it meanwhile, and resigns when it sees the new one, which this waits for. Who owns the new one
    goes on from where this ends, within the last few records of the log. Nothing is told to anybody, for the owner tells it all. Raises
    `ViewLocked` while another generation is being built, and what the log and the stores raise; the view is then as it was.
    """
    info = log.info(timeout)
    with place.draft() as draft:
        with closing(open_shards(draft.open_store, info)) as opened:
            count = fold_to(log, opened, info.ends, lifetimes or Lifetimes(), progress, projections)
            behind = count
            while True:
                ends = log.ends(list(opened.heads), timeout)
                came = sum(ends[partition] - at for partition, at in opened.positions.items())
                if came <= FEW or came > behind // 2:  # or they come about as fast as we fold, and the rest is the next owner's
                    break
                count += fold_to(log, opened, ends, lifetimes or Lifetimes(), None, projections)
                behind = came
        build, _ = draft.adopt(Opened({}, {}), info)
        with closing(build):
            place.publish(build)
    see_off(place)
    return count


def verify(
    owner: Owner, make_store: Callable[[Path], Store], *, progress: Progress | None = None, timeout: float = 10.0
) -> list[Difference]:
    """Prove the live view right, which neither stands still nor slows its readers: `checkpoint_view`, then `verify_checkpoint`."""
    with owner.place.scratch() as folder:
        checkpoint_view(owner, folder)
        return verify_checkpoint(
            owner.log,
            folder,
            make_store,
            lifetimes=owner.lifetimes,
            projections=owner.projections,
            open_checkpoint=owner.place.open_checkpoint,
            progress=progress,
            timeout=timeout,
        )


def verify_checkpoint(
    log: Log,
    folder: Path,
    make_store: Callable[[Path], Store],
    *,
    lifetimes: Lifetimes,
    projections: Sequence[Projection] = (),
    open_checkpoint: Callable[[Path], Store] | None = None,
    progress: Progress | None = None,
    timeout: float = 10.0,
) -> list[Difference]:
    """Fold the log afresh exactly as far as these checkpoints are, and compare every row; the differences (none: they are right).

    `folder` is one that `checkpoint_view` filled, in this process or another. Its checkpoints are opened by `open_checkpoint` (None: as
    `make_store` does), and the scratch view lies in it too. Lives that began before the log's start cannot be compared and are left out,
    as is what the sweep may or may not have removed. Of `projections`, those that the view holds whole are compared where the log goes back
    to its beginning. Raises `ViewStale` when the log is no longer the one that they were made from.
    """
    info = log.info(timeout)
    paths = checkpoints_in(folder)
    opens = open_checkpoint or make_store
    with ExitStack() as stack:
        live = {p: stack.enter_context(closing(Shard(opens(path), p))) for p, path in paths.items()}
        heads = {p: head for p, shard in live.items() if (head := shard.head()) is not None}
        outdated = why_outdated(heads, log, info, timeout=timeout)
        if outdated is not None:
            raise ViewStale(f"The view cannot be compared with {log.url}: {outdated.why}.", reason=outdated.why)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="afresh-", dir=folder)))
        fresh = stack.enter_context(closing(open_shards(lambda partition: make_store(scratch / str(partition)), info)))
        fold_to(log, fresh, {p: head.next_offset for p, head in heads.items()}, lifetimes, progress, projections)
        return [
            difference
            for partition, head in heads.items()
            for difference in differences(
                Picture(live[partition]),
                Picture(fresh.shards[partition]),
                start=info.starts[partition],
                now=head.log_time,
                lifetimes=lifetimes,
            )
        ]


def _assert_same_log(owner: Owner, timeout: float) -> None:
    outdated = why_outdated(owner.heads, owner.log, owner.log.info(timeout), timeout=timeout)
    if outdated is not None and not outdated.same_log:
        stale = ViewStale(f"The view was not rebuilt, for it begins anew by itself: {outdated.why}.", reason=outdated.why)
        owner.view.doubt(stale)
        raise stale


def _positions(owner: Owner) -> dict[int, int]:
    return {partition: head.next_offset for partition, head in owner.heads.items()}


def fold_to(
    log: Log,
    opened: Opened,
    ends: Mapping[int, int],
    lifetimes: Lifetimes,
    progress: Progress | None,
    projections: Sequence[Projection] = (),
) -> int:
    """Move these shards exactly up to `ends`; the number of records folded. Raises `LogUnavailable` when the log stops answering."""
    heads = opened.heads
    total = sum(max(end - heads[p].next_offset, 0) for p, end in ends.items())
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
                    opened.shards[partition],
                    heads[partition],
                    poll._replace(records=within, next_offset=next_offset),
                    lifetimes,
                    projections=projections,
                )
                opened.shards[partition].commit(folded.batch)
                heads[partition] = folded.batch.head
                count += len(within)
            if progress is not None:
                progress(sum(heads[p].next_offset - begun[p] for p in heads), total)
    finally:
        reader.close()
    return count
