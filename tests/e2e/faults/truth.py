"""What the log says, folded in one go by the pure fold: what every reader should have been told."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field

from eventresults.domain.meta import TaskMeta
from eventresults.log.base import Log, Poll, Record
from eventresults.projector import Lifetimes, fold_poll
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import Head, Shard

DEADLINE = 60.0
READY = frozenset({"SUCCESS", "FAILURE", "REVOKED", "REJECTED"})
CHUNK = 500


@dataclass
class Truth:
    """Of each id, its changes in log order: (offset, state, whether it exists after it)."""

    changes: dict[str, list[tuple[int, str, bool]]] = field(default_factory=dict)
    #: Of each position what lies there.
    values: dict[tuple[int, int], bytes] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)

    def first_ready(self, task: str, *, since: int = 0) -> str | None:
        """The first ready state of this task, of a change at or after this offset."""
        return next((state for offset, state, _ in self.changes.get(task, ()) if offset >= since and state in READY), None)


def truth_of(log: Log) -> Truth:
    """Read the whole log, and fold it."""
    info = log.info(DEADLINE)
    truth = Truth()
    shards = {p: Shard(MemoryStore(), p) for p in info.ends}
    heads = {p: Head(log_id=info.log_id, partitions=info.partitions, next_offset=info.starts[p]) for p in info.ends}
    behind = {p for p in info.ends if info.starts[p] < info.ends[p]}
    with closing(log.reader({p: info.starts[p] for p in info.ends})) as reader:
        deadline = time.monotonic() + DEADLINE
        while behind:
            assert time.monotonic() < deadline, "the log could not be read to its end"
            for partition, poll in reader.poll(1.0).items():
                for at in range(0, len(poll.records), CHUNK):
                    heads[partition] = _fold(truth, shards[partition], heads[partition], poll.records[at : at + CHUNK])
                if poll.next_offset >= info.ends[partition]:
                    behind.discard(partition)
    return truth


def _fold(truth: Truth, shard: Shard, head: Head, records: list[Record]) -> Head:
    for record in records:
        truth.values[shard.partition, record.offset] = record.value or b""
    folded = fold_poll(shard, head, Poll(records, records[-1].offset + 1), Lifetimes())
    for change in folded.changes():
        state = change.meta.state if isinstance(change.meta, TaskMeta) else ""
        exists = change.meta is not None and change.meta.exists
        truth.changes.setdefault(change.subject, []).append((change.fact.position.offset, state if exists else "", exists))
        truth.partitions[change.subject] = shard.partition
    shard.commit(folded.batch)
    return folded.batch.head
