"""What the facts of one id add up to."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from msgspec import Struct
from msgspec.structs import replace

from eventresults.domain.position import Position
from eventresults.domain.states import READY_STATES, TaskState

Phase = Literal["alive", "requested", "forgotten"]


class Books(Struct, kw_only=True, omit_defaults=True, gc=False):
    """What is kept of every life. Structs that hold trees of plain data: the collector need not look for cycles in them."""

    #: "alive": the id exists. "requested": only a revoke request is known. "forgotten": a tombstone.
    phase: Phase = "alive"
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


class TaskDraft(Books, kw_only=True):
    """What is known of a task while a fact is folded into it."""

    task_id: str
    state: str = TaskState.PENDING.value

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

    def freeze(self) -> TaskMeta:
        """It is done, and a draft no more."""
        self.__class__ = TaskMeta
        return self  # type: ignore[return-value]


class TaskMeta(TaskDraft, frozen=True, kw_only=True):  # type: ignore[misc] # a struct can
    """One task as the log tells it: the outcome of folding its facts in order.

    Payloads (`args`, `kwargs`, `result`, `progress`, `request`) and `error` are wire values, see `eventresults.domain.events`. Times
    ending in `_at`, and `date_done`, are the writers' clocks (UTC); `log_time`, `born_at` and `expires_at` are the log's, in
    milliseconds since the epoch.
    """

    def draft(self) -> TaskDraft:
        """A copy that the next fact may change."""
        draft: TaskDraft = _copy(self)
        _set_class(draft, TaskDraft)
        return draft

    def evolve(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        return replace(self, **changes)

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


class GroupDraft(Books, kw_only=True):
    """What is known of a group while a fact is folded into it."""

    group_id: str
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

    def freeze(self) -> GroupMeta:
        """It is done, and a draft no more."""
        self.__class__ = GroupMeta
        return self  # type: ignore[return-value]


class GroupMeta(GroupDraft, frozen=True, kw_only=True):  # type: ignore[misc]
    """One group as the log tells it.

    `results` is the saved `as_tuple()` form (None: not saved). `size`, `body`, `structure` describe a chord, to which the tasks `added`
    came later; `parts` maps `"task_id/group_index"` to `[state, offset of the fact that has the result]` for the current `run`. `claim` is
    the open claim to send the body: {"by", "body_id", "until"}; `dispatched` the body's id once it was sent ("" when it has none).
    """

    def draft(self) -> GroupDraft:
        """A copy that the next fact may change."""
        draft: GroupDraft = _copy(self)
        _set_class(draft, GroupDraft)
        return draft

    def evolve(self, **changes: Any) -> Self:
        """A copy with these fields changed."""
        return replace(self, **changes)

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


#: Sets the class also of what is frozen. Drafts and metas have one layout, so that copying is all else there is to it.
_set_class: Any = object.__dict__["__class__"].__set__
_copy: Any = Struct.__copy__  # type: ignore[attr-defined]
