"""What an owner answers of all its tasks at a moment: see `eventresults.past.survey`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from eventresults.codec import rows
from eventresults.domain.position import Position
from eventresults.errors import NotOwner, ViewError
from eventresults.past.survey import Cut, Survey, survey
from eventresults.service.member import Member
from eventresults.service.owner import Owner

#: Tasks of one shard in one answer.
MOST_TASKS: Final = 10_000
#: It walks through every row: one at a time.
_surveying = threading.Lock()

#: Of one partition: how many tasks by state, and the rows of the newest; None where the view may not hold all of that moment any more.
WireSurvey = tuple[dict[str, int], list[bytes]] | None


def complete_since(owner: Owner | Member, partition: int) -> int:
    """The log time (ms) from which on whatever existed is in this shard, with its whole history; the rest may have been swept."""
    return max(owner.heads[partition].log_time - owner.lifetimes.history, 0)


def survey_here(owner: Owner | Member, arguments: Mapping[str, Any], timeout: float) -> dict[int, WireSurvey]:
    """By partition, as far as they are here. `arguments`: `clock` (ms) or `offsets` (by partition), and `state`, `name`, `limit`.

    Raises `ViewError` when the view is being surveyed already for longer than `timeout` seconds.
    """
    if not _surveying.acquire(timeout=timeout):
        raise ViewError("This view is being surveyed for another process already: ask again in a while.", reason="busy")
    try:
        found: dict[int, WireSurvey] = {}
        for partition in owner.view.partitions:
            with suppress(NotOwner, KeyError):  # it has just left this member
                found[partition] = _of_shard(owner, partition, arguments, timeout)
        return found
    finally:
        _surveying.release()


def read_survey(wire: tuple[dict[str, int], list[bytes]]) -> Survey:
    """As it was."""
    counts, items = wire
    return Survey(sum(counts.values()), counts, [rows.decode_task(row) for row in items])


def _of_shard(owner: Owner | Member, partition: int, arguments: Mapping[str, Any], timeout: float) -> WireSurvey:
    shard, since = owner.view.shard(partition), complete_since(owner, partition)
    if arguments["clock"] is not None:
        cut, kept = Cut(clock=arguments["clock"]), arguments["clock"] >= since
    else:
        offset = arguments["offsets"][partition]
        cut, kept = Cut(offset=offset), since == 0 or _log_time(owner, Position(partition, offset), timeout) >= since
    if not kept:
        return None
    found = survey(
        shard,
        cut,
        state=arguments["state"],
        name=arguments["name"],
        limit=min(arguments["limit"], MOST_TASKS),
        unfinished_expires=owner.lifetimes.unfinished,
    )
    return found.counts, [rows.encode_task(meta) for meta in found.items]


def _log_time(owner: Owner | Member, at: Position, timeout: float) -> int:
    record = owner.log.read(at, timeout)
    return -1 if record is None else record.log_time
