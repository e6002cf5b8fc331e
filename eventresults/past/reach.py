"""How far back a log can be read: by itself, and with an archive of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from eventresults.codec.readable import iso
from eventresults.domain.position import Position
from eventresults.errors import PastGone
from eventresults.log.base import Log, LogInfo
from eventresults.log.joined import JoinedLog
from eventresults.log.stretch import Stretch, read
from eventresults.past.fold import When


class Reach(NamedTuple):
    """A log as far back as it can be read, what it says of itself, and where it begins without its archive."""

    log: Log
    info: LogInfo
    begins: Mapping[int, int]

    @classmethod
    def of(cls, log: Log, older: Log | None, timeout: float) -> Reach:
        """That of this log, and an archive of it (None: there is none). Raises what they raise, and `ConfigError` as `JoinedLog` does."""
        info = log.info(timeout)
        if older is None:
            return cls(log, info, info.starts)
        joined = JoinedLog(log, older, timeout=timeout)
        return cls(joined, joined.info(timeout), info.starts)

    def check(self, when: When, partition: int) -> None:
        """Raise `PastGone` for a moment before all that can be read, where retention took what was before."""
        start = self.info.starts[partition]
        if start == 0:
            return
        gone, begins = self._precedes(when, partition, start)
        if gone:
            raise past_gone(self.log.url, when, Position(partition, start), begins)

    def is_archived(self, when: When, partition: int) -> bool:
        """Whether the moment lies before the log itself begins, so that the archive alone can tell."""
        begins = self.begins[partition]
        return self.info.starts[partition] < begins and self._precedes(when, partition, begins)[0]

    def _precedes(self, when: When, partition: int, start: int) -> tuple[bool, int | None]:
        """Whether the moment lies before the first record from `start` on, and that record's log time (ms); None: there is none."""
        if isinstance(when, Position) and when.offset >= start:
            return False, None
        first = next(read(self.log, Stretch({partition: start}, {partition: self.info.ends[partition]})), None)
        begins = None if first is None else first.record.log_time
        return isinstance(when, Position) or begins is None or _ms(when) < begins, begins


def past_gone(url: str, when: When, start: Position, begins: int | None) -> PastGone:
    """The error for a moment before the log's `start`; `begins` is the log time there (None: the log is empty)."""
    moment = str(when) if isinstance(when, Position) else iso(when)
    since = f"at {start}, {iso(begins)}" if begins is not None else f"at {start}, and is empty"
    return PastGone(
        f"Nothing is held of {moment}: the log {url} begins {since} (retention removed what was before). Ask for a later moment.",
        when=moment,
        start=str(start),
        begins=iso(begins),
    )


def _ms(when: datetime) -> int:
    return int(when.timestamp() * 1000)
