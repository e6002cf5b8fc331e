"""The facts. Each class is one kind of event; its name is past tense, its instances are frozen.

Payload fields (`args`, `kwargs`, `result`, `meta`, `body`) hold *wire values*: plain JSON, in which `eventresults.codec.values` writes
what JSON lacks. `request` is what a framework's worker knew of the request beside our own fields.
An `error` is a JSON object, ours being `{"type", "module", "message", "args"}`. `children` and saved `results` hold the
`as_tuple()` forms of results. Times are aware datetimes in UTC, from the writer's clock; durations are seconds.

Instances are made by the codec (which validates) or in code (which does not: `Recorder.append` validates then).

They are structs, for every record of a log becomes one on its way into a view: msgspec reads and validates a record's JSON right into a
struct, in a fraction of the time that a dict and a dataclass take. `msgspec.structs` has `fields`, `replace` and `asdict` for them.
"""

from __future__ import annotations

import re
import sys
from datetime import datetime
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from eventresults.domain.states import READY_STATES

# Strict: a number is a number and a flag a flag, never the text of one. Bounds keep NaN and the infinities out.
Seconds = Annotated[float, Meta(ge=-sys.float_info.max, le=sys.float_info.max)]
Lifetime = Annotated[float, Meta(ge=0, le=sys.float_info.max)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Integer = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Moment = Annotated[datetime, Meta(tz=True)]
CustomState = Annotated[str, Meta(min_length=1, max_length=256, pattern=rf"^(?!(?:{'|'.join(sorted(READY_STATES))})$)")]
Wire = Any


def _kind(name: str) -> str:
    """What a class of this name is called on the wire: task-sent for TaskSent."""
    return re.sub(r"\B([A-Z])", r"-\1", name).lower()


# Payloads are trees of JSON, so the collector need not look for cycles.
class Event(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True, tag_field="kind", tag=_kind):
    """What every fact carries.

    `event_id` names the fact (32 hex digits of a UUIDv7 when we wrote it): repeated, it counts once. `source` says who wrote it
    (`name@host/pid`). `observed` marks a fact learned on the side: it informs, and never decides.
    """

    kind: ClassVar[str]

    event_id: str = ""
    time: Moment
    source: str | None = None
    observed: bool = False


class TaskFact(Event, frozen=True, kw_only=True):
    """A fact about one task, keyed by the task's id."""

    task_id: str

    @property
    def subject(self) -> str:
        """The id that keys this fact in the log."""
        return self.task_id


class GroupFact(Event, frozen=True, kw_only=True):
    """A fact about a group, keyed by the group's id."""

    group_id: str

    @property
    def subject(self) -> str:
        """The id that keys this fact in the log."""
        return self.group_id


class TaskSent(TaskFact, frozen=True, kw_only=True):
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
    eta: Moment | None = None
    expires: Moment | None = None
    retries: Count | None = None
    ignore_result: bool | None = None
    replay_of: str | None = None


class TaskReceived(TaskFact, frozen=True, kw_only=True):
    """A worker took the task from the queue."""

    kind: ClassVar[str] = "task-received"
    worker: str | None = None


class TaskStarted(TaskFact, frozen=True, kw_only=True):
    """An attempt began; `attempt` counts from 1."""

    kind: ClassVar[str] = "task-started"
    worker: str | None = None
    pid: Integer | None = None
    attempt: Count | None = None
    request: dict[str, Any] | None = None


class TaskUpdated(TaskFact, frozen=True, kw_only=True):
    """The running task said how far it is: a custom state (never a ready one) and what goes with it."""

    kind: ClassVar[str] = "task-updated"
    state: CustomState
    meta: Wire = None
    request: dict[str, Any] | None = None


class TaskSucceeded(TaskFact, frozen=True, kw_only=True):
    """The task returned. The last fact that a run writes."""

    kind: ClassVar[str] = "task-succeeded"
    result: Wire = None
    children: list[Any] | None = None
    runtime: Seconds | None = None
    worker: str | None = None
    request: dict[str, Any] | None = None
    result_expires: Lifetime | None = None


class TaskFailed(TaskFact, frozen=True, kw_only=True):
    """The task raised. The last fact that a run writes."""

    kind: ClassVar[str] = "task-failed"
    error: dict[str, Any] | None = None
    traceback: str | None = None
    children: list[Any] | None = None
    runtime: Seconds | None = None
    worker: str | None = None
    request: dict[str, Any] | None = None
    result_expires: Lifetime | None = None


class TaskRetried(TaskFact, frozen=True, kw_only=True):
    """An attempt ended and the task will be tried again, at `when` if that is known."""

    kind: ClassVar[str] = "task-retried"
    error: dict[str, Any] | None = None
    traceback: str | None = None
    when: Moment | None = None
    request: dict[str, Any] | None = None


class TaskRevoked(TaskFact, frozen=True, kw_only=True):
    """The task will not run, or its run was ended (`terminated`, by `signal`)."""

    kind: ClassVar[str] = "task-revoked"
    reason: str | None = None
    terminated: bool | None = None
    signal: str | None = None
    error: dict[str, Any] | None = None
    request: dict[str, Any] | None = None
    result_expires: Lifetime | None = None


class TaskRejected(TaskFact, frozen=True, kw_only=True):
    """The worker refused the message; with `requeue` it goes back to the queue."""

    kind: ClassVar[str] = "task-rejected"
    requeue: bool | None = None


class TaskRevokeRequested(TaskFact, frozen=True, kw_only=True):
    """Somebody asked that the task be revoked. An intent: workers obey it, the state is theirs to change.

    With `stamps` (header -> stamps) all tasks that carry one of them are meant, and `task_id` names the request alone.
    """

    kind: ClassVar[str] = "task-revoke-requested"
    terminate: bool = False
    signal: str | None = None
    reason: str | None = None
    by: str | None = None
    stamps: dict[str, list[Any]] | None = None


class TaskForgotten(TaskFact, frozen=True, kw_only=True):
    """The result is no longer wanted: the life of this id ends."""

    kind: ClassVar[str] = "task-forgotten"
    reason: str | None = None


class DataErased(TaskFact, frozen=True, kw_only=True):
    """The key of this id was destroyed: whatever it encrypted can be read no more. `task_id` names the erasure alone."""

    kind: ClassVar[str] = "data-erased"
    key_id: str
    reason: str | None = None
    by: str | None = None


class GroupSaved(GroupFact, frozen=True, kw_only=True):
    """A group result was saved: the `as_tuple()` form of the whole."""

    kind: ClassVar[str] = "group-saved"
    results: Wire = None
    result_expires: Lifetime | None = None


class GroupSized(GroupFact, frozen=True, kw_only=True):
    """How many parts the group has, what follows it (`body`) and how it is built (`structure`).

    Each may be told by a fact of its own. `added` is a task that joins the group later: one part more.
    """

    kind: ClassVar[str] = "group-sized"
    size: Count | None = None
    added: str | None = None
    body: Wire = None
    structure: Wire = None
    result_expires: Lifetime | None = None


class GroupPart(GroupFact, frozen=True, kw_only=True):
    """One part of the group ended with this state and result."""

    kind: ClassVar[str] = "group-part"
    task_id: str
    group_index: Integer | None = None
    state: str
    result: Wire = None
    result_expires: Lifetime | None = None


class GroupDispatching(GroupFact, frozen=True, kw_only=True):
    """`by` claims to send the body `body_id`, until the time `until`."""

    kind: ClassVar[str] = "group-dispatching"
    by: str
    body_id: str | None = None
    until: Moment
    result_expires: Lifetime | None = None


class GroupDispatched(GroupFact, frozen=True, kw_only=True):
    """The body was sent."""

    kind: ClassVar[str] = "group-dispatched"
    body_id: str | None = None
    result_expires: Lifetime | None = None


class GroupForgotten(GroupFact, frozen=True, kw_only=True):
    """The saved group is no longer wanted."""

    kind: ClassVar[str] = "group-forgotten"


class UnknownEvent(Event, frozen=True, kw_only=True):
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
