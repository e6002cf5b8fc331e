"""What an owner knows beside the view itself, for this process and for others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from eventresults.errors import ViewError
from eventresults.service.owner import Owner

if TYPE_CHECKING:
    from eventresults.service.doorway import Doorway


def answer(owner: Owner, what: str, arguments: Mapping[str, Any], timeout: float, *, doorway: Doorway | None = None) -> Any:
    """`stats`: where the view is, which generation, and of each partition: position, end of the log, lag, bytes and counts.

    Raises `ViewError` for what is not known, and what the log and the stores raise.
    """
    del arguments
    if what == "stats":
        return _stats(owner, timeout, doorway)
    raise ViewError(f"The owner of the view cannot answer {what!r}: run the same version of eventresults.", reason="unknown question")


def _stats(owner: Owner, timeout: float, doorway: Doorway | None) -> dict[str, Any]:
    heads = owner.heads
    ends = owner.log.ends(list(heads), timeout)
    partitions = [
        {
            "partition": partition,
            "position": (position := owner.view.position(partition)),
            "end": ends[partition],
            "lag": ends[partition] - position,
            "bytes": owner.view.shard(partition).size(),
            **head.counts,
        }
        for partition, head in heads.items()
    ]
    return {
        "path": owner.place.name,
        "generation": owner.generation,
        "log": owner.log.url,
        "pid": os.getpid(),
        "connections": 0 if doorway is None else doorway.connections,
        "watched": 0 if doorway is None else doorway.watched,
        "partitions": partitions,
    }
