"""What must hold, whoever went when: everybody is told everything once, in order, and every answer is new enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from eventresults.log.base import Poll
from eventresults.log.memory import MemoryLog
from eventresults.projector import Lifetimes, fold_poll
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import Head, Shard

if TYPE_CHECKING:
    from tests.simulation.client import Client, Question, Watching


class Violation(AssertionError):
    """Something that must hold did not."""


class Judge:
    """Folds the log as it grows, and compares."""

    def __init__(self, log: MemoryLog, ids: Sequence[str]) -> None:
        info = log.info(1)
        self.log, self.log_id = log, info.log_id
        self.lifetimes = Lifetimes()
        self.clients: list[Client] = []
        self.truth = {p: Shard(MemoryStore(), p) for p in info.ends}
        self.heads = {p: Head(log_id=info.log_id, partitions=info.partitions) for p in info.ends}
        #: Of each id: (offset, state, whether it exists after it).
        self.changes: dict[str, list[tuple[int, str, bool]]] = {one: [] for one in ids}

    def fold_truth(self, partition: int, offset: int) -> None:
        records = self.log._records.partitions[partition].read(offset, 1)
        folded = fold_poll(self.truth[partition], self.heads[partition], Poll(records, offset + 1), self.lifetimes)
        for change in folded.changes():
            exists = change.meta is not None and change.meta.exists
            self.changes[change.subject].append((offset, change.meta.state if exists else "", exists))
        self.truth[partition].commit(folded.batch)
        self.heads[partition] = folded.batch.head

    def last_change(self, subject: str) -> int:
        changes = self.changes[subject]
        return changes[-1][0] if changes else -1

    def check_read(self, question: Question, meta: Any) -> None:
        changes = self.changes[question.subject]
        before = [change for change in changes if change[0] <= question.acknowledged]
        if meta is None:
            if all(exists for offset, _, exists in changes if before and offset >= before[-1][0]) and before:
                raise Violation(f"{question.subject} read as None, after {before[-1]} was acknowledged")
        elif before and meta.last_offset < before[-1][0] and not (question.freshness == "default" and meta.state == "SUCCESS"):
            raise Violation(f"{question.subject} read as of {meta.last_offset} ({meta.state}), after {before[-1]} was acknowledged")

    def judge(self) -> None:
        for client in self.clients:
            for vector, listened in client.vectors:
                for one, count in listened:
                    self.check_vector(client, vector, one, count)
            for one in client.watches:
                if not one.closed:
                    self.check_told(client, one)

    def check_vector(self, client: Client, vector: Mapping[int, int], one: Watching, count: int) -> None:
        end = vector.get(self.log.partition_for(one.subject.encode()), 0)
        missing = {offset for offset, *_ in self.changes[one.subject] if one.since < offset < end} - set(one.told[:count])
        if missing:
            raise Violation(
                f"{client.name} says that all before {end} was told, but {sorted(missing)} of {one.subject} were not: {one.told[:count]}"
            )

    def check_told(self, client: Client, one: Watching) -> None:
        offsets = [offset for offset, *_ in self.changes[one.subject]]
        if one.since is None:
            raise Violation(f"{client.name} never had an answer about {one.subject}")
        # Of what came before it listened it may hear a part, when others of the same id are caught up with.
        due = [offset for offset in offsets if offset > one.since]
        if one.told != sorted({*one.told} & {*offsets}) or [offset for offset in one.told if offset > one.since] != due:
            raise Violation(f"{client.name} was told {one.told} of {one.subject} (known up to {one.since}), and the changes were {offsets}")
        ready = [
            (offset, state) for offset, state, _ in self.changes[one.subject] if state in {"SUCCESS", "FAILURE"} and offset > one.since
        ]
        if ready and not one.fired:
            raise Violation(f"{client.name}: the promise of {one.subject} did not fire")
