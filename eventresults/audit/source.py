"""Where records to verify come from: a log, or whatever else can give the records of a partition in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import monotonic
from typing import Final, Protocol

from eventresults.errors import LogUnavailable
from eventresults.log.base import Log, LogInfo, Record

#: A log that gives nothing for this long before its own end has stopped answering.
SILENCE: Final = 30.0
POLL: Final = 0.5


class Source(Protocol):
    """Gives records. `starts` and `ends` are those of the moment it was made."""

    #: Where it is, for people.
    url: str
    #: The id of the log that the records are of; None: it does not say.
    log_id: str | None
    starts: Mapping[int, int]
    ends: Mapping[int, int]
    #: Whether what was signed must lie before `ends`. A log's end is its end; an archive's is as far as it was filled.
    final: bool

    def batches(self, partition: int, start: int, end: int) -> Iterator[Sequence[Record]]:
        """The records with start <= offset < end, in order, many at a time."""


class LogSource:
    """The records of a log as it was when this was made. Raises what `Log.info` does."""

    final: bool = True

    def __init__(self, log: Log, *, timeout: float) -> None:
        self._log = log
        info: LogInfo = log.info(timeout)
        self.url = log.url
        self.log_id: str | None = info.log_id
        self.starts: Mapping[int, int] = info.starts
        self.ends: Mapping[int, int] = info.ends

    def batches(self, partition: int, start: int, end: int) -> Iterator[Sequence[Record]]:
        """See `Source.batches`. Raises `LogUnavailable` when the log stops answering, and what `EventReader.poll` does."""
        return batches(self._log, partition, start, end)


def batches(log: Log, partition: int, start: int, end: int) -> Iterator[Sequence[Record]]:
    """The records of a stretch of a log, as its reader gives them."""
    if start >= end:
        return
    reader = log.reader({partition: start})
    heard = monotonic()
    try:
        at = start
        while at < end:
            poll = reader.poll(POLL).get(partition)
            if poll is None:
                if monotonic() - heard > SILENCE:
                    raise LogUnavailable(
                        f"{log.url} gave no record for {SILENCE:g} s before its end: is it reachable?", url=log.url, reason="silence"
                    )
                continue
            heard = monotonic()
            at = poll.next_offset
            if at <= end:
                yield poll.records
            else:
                yield [record for record in poll.records if record.offset < end]
    finally:
        reader.close()
