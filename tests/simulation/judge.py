"""What must hold, whoever went when: everybody is told everything once, in order, and every answer is new enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from eventresults.log.base import Poll
from eventresults.log.memory import MemoryLog
from eventresults.projector import Lifetimes, fold_poll
from eventresults.view.memory import MemoryStore
from eventresults.view.shard import Head, Shard

if TYPE_CHECKING:
    from tests.simulation.client import Client, Question, Watching


class Violation(AssertionError):
    """Something that must hold did not."""


class At(NamedTuple):
    """An offset, of the how manyth log."""

    log: int
    offset: int


class Happened(NamedTuple):
    """One change of an id; whether it exists after it."""

    at: At
    state: str
    exists: bool


class Judge:
    """Folds the log as it grows, and compares."""

    def __init__(self, log: MemoryLog, ids: Sequence[str]) -> None:
        self.log = log
        self.lifetimes = Lifetimes()
        self.clients: list[Client] = []
        #: The logs that there were, by their ids: each took the place of the one before.
        self.logs: dict[str, int] = {}
        #: In which log a fact is, by its time: no two have the same.
        self.log_of: dict[Any, int] = {}
        self.changes: dict[str, list[Happened]] = {one: [] for one in ids}
        self.begin_log()

    def begin_log(self) -> None:
        info = self.log.info(1)
        self.log_id = info.log_id
        self.logs[info.log_id] = len(self.logs)
        self.truth = {p: Shard(MemoryStore(), p) for p in info.ends}
        self.heads = {p: Head(log_id=info.log_id, partitions=info.partitions) for p in info.ends}

    def fold_truth(self, partition: int, offset: int) -> None:
        records = self.log._records.partitions[partition].read(offset, 1)
        folded = fold_poll(self.truth[partition], self.heads[partition], Poll(records, offset + 1), self.lifetimes)
        for change in folded.changes():
            exists = change.meta is not None and change.meta.exists
            at = At(self.logs[self.log_id], offset)
            self.log_of[change.fact.event.time] = at.log
            self.changes[change.subject].append(Happened(at, change.meta.state if exists else "", exists))
        self.truth[partition].commit(folded.batch)
        self.heads[partition] = folded.batch.head

    def known_by(self, subject: str, meta: Any, log_id: str) -> At:
        """The last change that an answer from a view of this log holds. Nothing known: what is forgotten by now need not be told."""
        log = self.logs[log_id]
        if meta is not None:
            return At(log, meta.last_offset)
        return max((one.at for one in self.changes[subject] if one.at.log == log), default=At(log, -1))

    def check_read(self, question: Question, meta: Any, log_id: str) -> None:
        log = self.logs[log_id]
        if log != question.acknowledged.log or log_id != self.log_id:
            return  # it was asked, or answered, before the owner saw that the log is another one
        changes = [one for one in self.changes[question.subject] if one.at.log == log]
        before = [one for one in changes if one.at <= question.acknowledged]
        if meta is None:
            if before and all(one.exists for one in changes if one.at >= before[-1].at):
                raise Violation(f"{question.subject} read as None, after {before[-1]} was acknowledged")
        elif before and meta.last_offset < before[-1].at.offset and not (question.freshness == "default" and meta.state == "SUCCESS"):
            raise Violation(f"{question.subject} read as of {meta.last_offset} ({meta.state}), after {before[-1]} was acknowledged")

    def judge(self) -> None:
        for client in self.clients:
            for vector, listened in client.vectors:
                for one, count in listened:
                    self.check_vector(client, vector, one, count)
            for one in client.watches:
                if not one.closed:
                    self.check_told(client, one)

    def check_vector(self, client: Client, vector: tuple[str, Mapping[int, int]], one: Watching, count: int) -> None:
        log_id, offsets = vector
        end = At(self.logs[log_id], offsets.get(self.log.partition_for(one.subject.encode()), 0))
        missing = {at for at, *_ in self.changes[one.subject] if at.log == end.log and one.since < at < end} - set(one.told[:count])
        if missing:
            raise Violation(
                f"{client.name} says that all before {end} was told, but {sorted(missing)} of {one.subject} were not: {one.told[:count]}"
            )

    def check_told(self, client: Client, one: Watching) -> None:
        changes = [at for at, *_ in self.changes[one.subject]]
        if one.since is None:
            raise Violation(f"{client.name} never had an answer about {one.subject}")
        # Of what came before it listened it may hear a part, when others of the same id are caught up with; and of a log that was deleted.
        begun = max(one.since, At(self.logs[self.log_id], -1))
        due = [at for at in changes if at > begun]
        if one.told != sorted({*one.told} & {*changes}) or [at for at in one.told if at > begun] != due:
            raise Violation(f"{client.name} was told {one.told} of {one.subject} (known up to {one.since}), and the changes were {changes}")
        ready = [at for at, state, _ in self.changes[one.subject] if state in {"SUCCESS", "FAILURE"} and at > begun]
        if ready and not one.fired:
            raise Violation(f"{client.name}: the promise of {one.subject} did not fire")
