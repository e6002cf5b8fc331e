"""What the facts of one id add up to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from eventresults.domain.position import Position
from eventresults.domain.states import READY_STATES, TaskState

Phase = Literal["alive", "requested", "forgotten"]


class Sparse:
    """A frozen dataclass whose instances store only what differs from the defaults.

    `evolve` is then one copy of a small dict, whatever the number of fields, and a row on disk is that dict.
    """

    def evolve(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        new = object.__new__(type(self))
        fields = new.__dict__
        fields.update(self.__dict__)
        fields.update(changes)
        return new

    @classmethod
    def sparse(cls, fields: dict[str, Any]) -> Self:
        """An instance of these fields; every other one is its default. The dict is the instance's own from here on."""
        new = object.__new__(cls)
        object.__setattr__(new, "__dict__", fields)
        return new


@dataclass(frozen=True, kw_only=True)
class TaskMeta(Sparse):
    """One task as the log tells it: the outcome of folding its facts in order.

    Payloads (`args`, `kwargs`, `result`, `progress`, `request`) and `error` are wire values, see `eventresults.domain.events`. Times
    ending in `_at`, and `date_done`, are the writers' clocks (UTC); `log_time`, `born_at` and `expires_at` are the log's, in
    milliseconds since the epoch.
    """

    task_id: str
    state: str = TaskState.PENDING.value
    #: "alive": the id exists. "requested": only a revoke request is known. "forgotten": a tombstone.
    phase: Phase = "alive"

    name: str | None = None
    args: Any = None
    kwargs: Any = None
    queue: str | None = None
    worker: str | None = None
    pid: int | None = None
    retries: int | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    ignore_result: bool | None = None

    parent_id: str | None = None
    previous_id: str | None = None
    root_id: str | None = None
    group_id: str | None = None
    group_index: int | None = None
    #: The task that this one repeats.
    replay_of: str | None = None

    #: The return value, or the meta of the last update while the task is unfinished.
    result: Any = None
    error: dict[str, Any] | None = None
    traceback: str | None = None
    children: list[Any] | None = None
    #: The meta of the last `updated` fact that counted.
    progress: Any = None

    sent_at: datetime | None = None
    received_at: datetime | None = None
    #: Start of the first attempt, and of the latest one.
    first_started_at: datetime | None = None
    started_at: datetime | None = None
    #: The time of the fact that finished the current attempt; None while it is unfinished.
    date_done: datetime | None = None
    #: Seconds of work as the worker measured them.
    runtime: float | None = None
    #: When the next attempt is due, after `retried`.
    retry_at: datetime | None = None
    attempts: int = 0
    #: An attempt began, and nobody told of its end.
    running: bool = False
    #: Attempts of whose end nobody told before the next one began: their worker was lost.
    lost: int = 0
    #: No attempt is open: the last one finished and no later one started.
    finished: bool = False

    #: The open request to revoke it: {"terminate", "signal", "reason", "by"}.
    revoke_request: dict[str, Any] | None = None
    #: Why and how it was revoked: {"reason", "terminated", "signal"}.
    revocation: dict[str, Any] | None = None
    #: What a framework's worker said of the request, with the last fact that set the state.
    request: dict[str, Any] | None = None

    partition: int = 0
    #: Offsets of the first fact of this life, and of the last fact in the history (-1: none yet).
    first_offset: int = -1
    last_offset: int = -1
    #: Facts in this life's history.
    facts: int = 0
    born_at: int = 0
    log_time: int = 0
    #: Log time at which the row is gone; None: never.
    expires_at: int | None = None
    #: Eight bytes for each of the last 64 event ids of this life.
    seen: bytes = b""

    @property
    def exists(self) -> bool:
        """Whether the id is known: some fact told of it, and nothing forgot it."""
        return self.phase == "alive"

    @property
    def ready(self) -> bool:
        """Whether the task has ended."""
        return self.state in READY_STATES

    @property
    def position(self) -> Position:
        """Where the last fact in its history stands."""
        return Position(self.partition, self.last_offset)

    @property
    def queue_time(self) -> float | None:
        """Seconds from `sent` to the first start; None until both are known."""
        if self.sent_at is None or self.first_started_at is None:
            return None
        return (self.first_started_at - self.sent_at).total_seconds()

    def expired(self, now: int) -> bool:
        """Whether its time is over at `now` (milliseconds since the epoch)."""
        return self.expires_at is not None and now >= self.expires_at


@dataclass(frozen=True, kw_only=True)
class GroupMeta(Sparse):
    """One group as the log tells it.

    `results` is the saved `as_tuple()` form (None: not saved). `size`, `body`, `structure` describe a chord, to which the tasks `added`
    came later; `parts` maps `"task_id/group_index"` to `[state, offset of the fact that has the result]` for the current `run`. `claim` is
    the open claim to send the body: {"by", "body_id", "until"}; `dispatched` the body's id once it was sent ("" when it has none).
    """

    group_id: str
    phase: Phase = "alive"
    results: Any = None
    size: int | None = None
    added: list[str] | None = None
    body: Any = None
    structure: Any = None
    run: int = 0
    parts: dict[str, list[Any]] | None = None
    #: Offset of the fact that completed the count in this run.
    completed_by: int | None = None
    claim: dict[str, Any] | None = None
    dispatched: str | None = None

    partition: int = 0
    first_offset: int = -1
    last_offset: int = -1
    facts: int = 0
    born_at: int = 0
    log_time: int = 0
    expires_at: int | None = None
    seen: bytes = b""

    @property
    def pending(self) -> bool:
        """Whether a body is still to be sent."""
        return self.dispatched is None and (self.body is not None or self.size is not None)

    @property
    def exists(self) -> bool:
        """Whether the group is known and not forgotten."""
        return self.phase == "alive"

    @property
    def brief(self) -> Self:
        """It without its payloads."""
        return self.evolve(results=None, body=None, structure=None, parts=None)

    @property
    def complete(self) -> bool:
        """Whether every part of the current run has ended."""
        return self.wanted is not None and len(self.parts or ()) >= self.wanted

    @property
    def wanted(self) -> int | None:
        """How many parts it has in all; None while nobody told."""
        return None if self.size is None else self.size + len(self.added or ())

    @property
    def position(self) -> Position:
        """Where the last fact in its history stands."""
        return Position(self.partition, self.last_offset)

    def expired(self, now: int) -> bool:
        """Whether its time is over at `now` (milliseconds since the epoch)."""
        return self.expires_at is not None and now >= self.expires_at
