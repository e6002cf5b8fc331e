"""Checkpoints in a log of their own, a Kafka topic say: out of reach of whoever can change the log that they are of, or the ledger.

One record is one signed checkpoint, its key `log id/partition`. Whoever may write there may put anything there: what no trusted key has
signed is passed over. Of two checkpoints of one number, the first in the log is the one that counts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Self

from eventresults.audit.checkpoint import Signed, parse
from eventresults.audit.signing import PublicKey
from eventresults.audit.source import LogSource, batches
from eventresults.errors import LedgerCorrupt, NotaryConflict
from eventresults.log.base import EventWriter, Log, Record

logger = logging.getLogger(__name__)


class PublishedCheckpoints:
    """Reads and writes them. A context manager; `keys` are trusted, `timeout` (seconds) is for each question and each append."""

    def __init__(self, log: Log, keys: Mapping[str, PublicKey], *, timeout: float = 10.0) -> None:
        self._log = log
        self._keys = keys
        self._timeout = timeout
        self._writer: EventWriter | None = None
        #: Where reading ended, by partition.
        self._seen: dict[int, int] = {}

    def checkpoints(self, log_id: str) -> list[Signed]:
        """All of this log that a trusted key has signed, oldest first. Raises what reading a log does."""
        source = LogSource(self._log, timeout=self._timeout)
        found: list[Signed] = []
        for partition, start in source.starts.items():
            for batch in source.batches(partition, start, source.ends[partition]):
                found += self._signed(partition, batch, f"{log_id}/".encode())
            self._seen[partition] = source.ends[partition]
        return found

    def publish(self, signed: Signed) -> None:
        """Append it; returns when the log has it. Raises `NotaryConflict` when another of its number lies before it, and `LogError`."""
        if self._writer is None:
            self._writer = self._log.writer()
        key = _key(signed)
        at = self._writer.append(key, signed.line).result(self._timeout)
        since = self._seen.get(at.partition, at.offset)
        for batch in batches(self._log, at.partition, since, at.offset):
            for other in self._signed(at.partition, batch, key):
                if other.checkpoint.number == signed.checkpoint.number and other.checkpoint != signed.checkpoint:
                    raise NotaryConflict(
                        f"Another notary signs this log: its checkpoint {other.checkpoint.number}, at {other.place}, came first. Stop one "
                        "of them; what is in the ledger here holds as far as it goes.",
                        place=other.place,
                    )
        self._seen[at.partition] = at.offset + 1

    def close(self) -> None:
        """See off what is on its way. Idempotent; the log is left to whoever made it."""
        if self._writer is not None:
            self._writer.close()

    def _signed(self, partition: int, records: Iterable[Record], prefix: bytes) -> list[Signed]:
        found = []
        for record in records:
            if record.key is None or not record.key.startswith(prefix):
                continue
            place = f"{self._log.url} {partition}:{record.offset}"
            try:
                signed = parse(record.value or b"", place)
                signed.check(self._keys)
                if _key(signed) == record.key:
                    found.append(signed)
            except LedgerCorrupt as error:
                logger.warning("passed over: %s", error)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _key(signed: Signed) -> bytes:
    return f"{signed.checkpoint.log}/{signed.checkpoint.partition}".encode()
