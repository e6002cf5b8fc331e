"""How far those who listen were told, and of which log: what one who tells them hands to the next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from eventresults.view.shard import Head


class Told(NamedTuple):
    """How far those who listen were told: every change before these offsets (by partition) of this log.

    `log_id` is the log's own, and how often it was found to hold something else than it had: offsets from before that mean nothing.
    """

    log_id: str
    offsets: Mapping[int, int]


def identity(heads: Mapping[int, Head], losses: int) -> str:
    """What `Told` calls a log: its own id, and how often it was found to hold something else than it had."""
    log_id = next(iter(heads.values())).log_id
    return f"{log_id}+{losses}" if losses else log_id
