"""Before a read: this process's own facts, so that it sees what it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_futures
from time import monotonic

from eventresults.codec.ids import key_of
from eventresults.domain.position import Position
from eventresults.errors import ViewStale
from eventresults.log.base import Log
from eventresults.log.own import OwnWrites


def needed_of(own: OwnWrites, log: Log, subjects: Sequence[str], deadline: float) -> dict[int, int]:
    """The offsets that the view must have folded for these ids to be as this process wrote them, once its facts are acknowledged.

    Raises `ViewStale` when they are not until the monotonic `deadline`.
    """
    concerning = [subject for subject in subjects if own.concerns(subject)]
    if not concerning:
        return {}
    await_acknowledged([future for subject in concerning for future in own.pending(subject)], deadline)
    needed: dict[int, int] = {}
    for subject in concerning:
        partition = log.partition_for(key_of(subject))
        offset = own.needed(subject, partition)
        if offset:
            needed[partition] = max(needed.get(partition, 0), offset)
    return needed


def needed_of_all(own: OwnWrites, deadline: float) -> dict[int, int]:
    """As `needed_of`, of everything that this process wrote."""
    await_acknowledged(own.all_pending(), deadline)
    return own.all_needed()


def await_acknowledged(facts: Sequence[Future[Position]], deadline: float) -> None:
    """Raises `ViewStale` when one of these is neither acknowledged nor failed until the monotonic `deadline`."""
    if facts and wait_futures(facts, timeout=max(deadline - monotonic(), 0)).not_done:
        reason = "facts that this process appended are not acknowledged yet: is the log reachable?"
        raise ViewStale(
            f"No answer new enough in time: {reason} Wait longer (timeout, read_timeout) or accept freshness='applied'.", reason=reason
        )
