"""The facts. Each class is one kind of event; its name is past tense, its instances are frozen.

Payload fields (`args`, `kwargs`, `result`, `meta`, `body`) hold *wire values*: plain JSON, in which `eventresults.codec.values` writes
what JSON lacks. `request` is what a framework's worker knew of the request beside our own fields.
An `error` is a JSON object, ours being `{"type", "module", "message", "args"}`. `children` and saved `results` hold the
`as_tuple()` forms of results. Times are aware datetimes in UTC, from the writer's clock; durations are seconds.

Instances are made by the codec (which validates) or in code (which does not: `Recorder.append` validates then).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import AllowInfNan, AwareDatetime, ConfigDict, Field

from eventresults.domain.states import READY_STATES

# Strict: a number is a number and a flag a flag, never the text of one.
Seconds = Annotated[float, AllowInfNan(allow_inf_nan=False), Field(strict=True)]
Lifetime = Annotated[float, AllowInfNan(allow_inf_nan=False), Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Integer = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]
Flag = Annotated[bool, Field(strict=True)]
CustomState = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^(?!(?:" + "|".join(sorted(READY_STATES)) + r")$)")]
Wire = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every fact carries.

    `event_id` names the fact (32 hex digits of a UUIDv7 when we wrote it): repeated, it counts once. `source` says who wrote it
    (`name@host/pid`). `observed` marks a fact learned on the side: it informs, and never decides.
    """

    # Unknown fields are found by refusing them first; the look-ahead of `CustomState` needs Python's own regular expressions.
    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", regex_engine="python-re")

    kind: ClassVar[str]

    event_id: str = ""
    time: AwareDatetime
    source: str | None = None
    observed: Flag = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFact(Event):
    """A fact about one task, keyed by the task's id."""

    task_id: str

    @property
    def subject(self) -> str:
        """The id that keys this fact in the log."""
        return self.task_id


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFact(Event):
    """A fact about a group, keyed by the group's id."""

    group_id: str

    @property
    def subject(self) -> str:
        """The id that keys this fact in the log."""
        return self.group_id


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSent(TaskFact):
    """A caller handed the task to a queue.

    `previous_id` precedes it in a chain; `parent_id` is the task that sent it; `replay_of` the task that it repeats.
    """

    kind: ClassVar[str] = "task-sent"
    name: str | None = None
    args: Wire = None
    kwargs: Wire = None
    queue: str | None = None
    parent_id: str | None = None
    previous_id: str | None = None
    root_id: str | None = None
    group_id: str | None = None
    group_index: Integer | None = None
    eta: AwareDatetime | None = None
    expires: AwareDatetime | None = None
    retries: Count | None = None
    ignore_result: Flag | None = None
    replay_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReceived(TaskFact):
    """A worker took the task from the queue."""

    kind: ClassVar[str] = "task-received"
    worker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted(TaskFact):
    """An attempt began; `attempt` counts from 1."""

    kind: ClassVar[str] = "task-started"
    worker: str | None = None
    pid: Integer | None = None
    attempt: Count | None = None
    request: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskUpdated(TaskFact):
    """The running task said how far it is: a custom state (never a ready one) and what goes with it."""

    kind: ClassVar[str] = "task-updated"
    state: CustomState
    meta: Wire = None
    request: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSucceeded(TaskFact):
    """The task returned. The last fact that a run writes."""

    kind: ClassVar[str] = "task-succeeded"
    result: Wire = None
    children: list[Any] | None = None
    runtime: Seconds | None = None
    worker: str | None = None
    request: dict[str, Any] | None = None
    result_expires: Lifetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(TaskFact):
    """The task raised. The last fact that a run writes."""

    kind: ClassVar[str] = "task-failed"
    error: dict[str, Any] | None = None
    traceback: str | None = None
    children: list[Any] | None = None
    runtime: Seconds | None = None
    worker: str | None = None
    request: dict[str, Any] | None = None
    result_expires: Lifetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRetried(TaskFact):
    """An attempt ended and the task will be tried again, at `when` if that is known."""

    kind: ClassVar[str] = "task-retried"
    error: dict[str, Any] | None = None
    traceback: str | None = None
    when: AwareDatetime | None = None
    request: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRevoked(TaskFact):
    """The task will not run, or its run was ended (`terminated`, by `signal`)."""

    kind: ClassVar[str] = "task-revoked"
    reason: str | None = None
    terminated: Flag | None = None
    signal: str | None = None
    error: dict[str, Any] | None = None
    request: dict[str, Any] | None = None
    result_expires: Lifetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRejected(TaskFact):
    """The worker refused the message; with `requeue` it goes back to the queue."""

    kind: ClassVar[str] = "task-rejected"
    requeue: Flag | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRevokeRequested(TaskFact):
    """Somebody asked that the task be revoked. An intent: workers obey it, the state is theirs to change.

    With `stamps` (header -> stamps) all tasks that carry one of them are meant, and `task_id` names the request alone.
    """

    kind: ClassVar[str] = "task-revoke-requested"
    terminate: Flag = False
    signal: str | None = None
    reason: str | None = None
    by: str | None = None
    stamps: dict[str, list[Any]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskForgotten(TaskFact):
    """The result is no longer wanted: the life of this id ends."""

    kind: ClassVar[str] = "task-forgotten"
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataErased(TaskFact):
    """The key of this id was destroyed: whatever it encrypted can be read no more. `task_id` names the erasure alone."""

    kind: ClassVar[str] = "data-erased"
    key_id: str
    reason: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSaved(GroupFact):
    """A group result was saved: the `as_tuple()` form of the whole."""

    kind: ClassVar[str] = "group-saved"
    results: Wire = None
    result_expires: Lifetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSized(GroupFact):
    """How many parts the group has, what follows it (`body`) and how it is built (`structure`).

    Each may be told by a fact of its own. `added` is a task that joins the group later: one part more.
    """

    kind: ClassVar[str] = "group-sized"
    size: Count | None = None
    added: str | None = None
    body: Wire = None
    structure: Wire = None
    result_expires: Lifetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupPart(GroupFact):
    """One part of the group ended with this state and result."""

    kind: ClassVar[str] = "group-part"
    task_id: str
    group_index: Integer | None = None
    state: str
    result: Wire = None
    result_expires: Lifetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDispatching(GroupFact):
    """`by` claims to send the body `body_id`, until the time `until`."""

    kind: ClassVar[str] = "group-dispatching"
    by: str
    body_id: str | None = None
    until: AwareDatetime
    result_expires: Lifetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDispatched(GroupFact):
    """The body was sent."""

    kind: ClassVar[str] = "group-dispatched"
    body_id: str | None = None
    result_expires: Lifetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupForgotten(GroupFact):
    """The saved group is no longer wanted."""

    kind: ClassVar[str] = "group-forgotten"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownEvent(Event):
    """A kind that this version does not know, kept as it came: it adds to the history of `subject` and decides nothing."""

    kind: ClassVar[str] = "unknown"
    subject: str
    named: str
    fields: dict[str, Any]


TaskEvent = (
    TaskSent
    | TaskReceived
    | TaskStarted
    | TaskUpdated
    | TaskSucceeded
    | TaskFailed
    | TaskRetried
    | TaskRevoked
    | TaskRejected
    | TaskRevokeRequested
    | TaskForgotten
    | DataErased
    | GroupSaved
    | GroupSized
    | GroupPart
    | GroupDispatching
    | GroupDispatched
    | GroupForgotten
)
"""Every kind of fact."""

_TASK_CLASSES = (
    TaskSent,
    TaskReceived,
    TaskStarted,
    TaskUpdated,
    TaskSucceeded,
    TaskFailed,
    TaskRetried,
    TaskRevoked,
    TaskRejected,
    TaskRevokeRequested,
    TaskForgotten,
    DataErased,
)
_GROUP_CLASSES = (GroupSaved, GroupSized, GroupPart, GroupDispatching, GroupDispatched, GroupForgotten)

#: kind on the wire -> class
EVENT_CLASSES: dict[str, type[Event]] = {cls.kind: cls for cls in (*_TASK_CLASSES, *_GROUP_CLASSES)}
