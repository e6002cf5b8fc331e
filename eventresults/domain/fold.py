"""The fold of a task: its facts, in log order, become one `TaskMeta`. Pure and total: no clock, no I/O, no exception.

A row that has expired counts as no row, so that it never matters whether the sweep has taken it yet; while it is still there, facts
that it holds are known again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from eventresults.domain import steps
from eventresults.domain.events import (
    DataErased,
    TaskFailed,
    TaskForgotten,
    TaskReceived,
    TaskRejected,
    TaskRetried,
    TaskRevoked,
    TaskRevokeRequested,
    TaskSent,
    TaskStarted,
    TaskSucceeded,
    TaskUpdated,
    UnknownEvent,
)
from eventresults.domain.lives import books_of, continue_life, known, mark_of, open_life, reason_dropped
from eventresults.domain.meta import TaskDraft, TaskMeta
from eventresults.domain.position import Position
from eventresults.domain.states import READY_STATES
from eventresults.domain.steps import NEWBORN, SUCCESS, Step

__all__ = ["UNFINISHED_EXPIRES", "Finishing", "TaskKind", "Telling", "apply", "reason_dropped"]

#: The facts that end an attempt for good.
Finishing = TaskSucceeded | TaskFailed | TaskRevoked
#: The facts that tell of a task.
Telling = TaskSent | TaskReceived | TaskStarted | TaskUpdated | Finishing | TaskRetried | TaskRejected
#: Whatever may stand under a task's key.
TaskKind = Telling | TaskRevokeRequested | TaskForgotten | DataErased | UnknownEvent

#: How long (ms) an unfinished life lasts after its latest fact.
UNFINISHED_EXPIRES: Final = 30 * 24 * 3600 * 1000

_REOPENS: Final = frozenset({TaskSent, TaskReceived, TaskStarted, TaskSucceeded, TaskFailed, TaskRevoked})
_OPENS_NOTHING: Final = frozenset({TaskForgotten, DataErased, UnknownEvent})
_TELLS_NOTHING: Final = _OPENS_NOTHING | {TaskRevokeRequested}


def apply(
    meta: TaskMeta | None,
    event: TaskKind,
    at: Position,
    log_time: int,
    unfinished_expires: int = UNFINISHED_EXPIRES,
) -> TaskMeta | None:
    """What is known of a task after one more fact. `log_time` and `unfinished_expires` (0: never) are milliseconds.

    Returns `meta` itself (the same object, or None) exactly when the fact is dropped, for which `reason_dropped` has the reason: such
    a fact enters no history. Otherwise a new object whose `last_offset` is the fact's own.
    """
    mark = mark_of(event.event_id)
    if meta is not None and known(meta, mark, at):
        return meta
    kind = type(event)
    before = meta
    if meta is not None and meta.expires_at is not None and log_time >= meta.expires_at:
        before = None
    if before is None or before.phase == "forgotten":
        if not _opens_life(before, event):
            return meta
        draft, before = TaskDraft(task_id=event.subject), NEWBORN
        open_life(draft, meta, mark, at, log_time)
    else:
        draft = before.draft()
        continue_life(draft, mark, at, log_time)

    if before.phase == "requested" and kind not in _TELLS_NOTHING:
        draft.phase = "alive"
    if kind is TaskForgotten and not event.observed:
        return TaskMeta(task_id=event.subject, date_done=event.time, **books_of(draft))
    if before.state == SUCCESS:
        _COMPLETING[kind](before, event, draft, log_time)
    else:
        (_INFORMING if event.observed else _DECIDING)[kind](before, event, draft, log_time)
        if draft.state not in READY_STATES:
            draft.expires_at = log_time + unfinished_expires if unfinished_expires else None
    return draft.freeze()


def _opens_life(tombstone: TaskMeta | None, event: TaskKind) -> bool:
    """Whether a fact begins something where nothing is (None), or where a life was forgotten."""
    kind = type(event)
    if tombstone is None:
        # An observed wish binds nobody, and there is nothing else to know of it.
        return kind not in _OPENS_NOTHING and not (event.observed and kind is TaskRevokeRequested)
    if not event.observed:
        return kind in _REOPENS
    return kind is TaskSent and tombstone.date_done is not None and event.time > tombstone.date_done


# One look into a table costs a tenth of asking for one class after the other. A test holds them whole.

#: Told by whoever brought it about, of a life that is not SUCCESS.
_DECIDING: Final[Mapping[type[Any], Step]] = {
    TaskSent: steps.send,
    TaskReceived: steps.receive,
    TaskStarted: steps.start,
    TaskUpdated: steps.update,
    TaskSucceeded: steps.succeed,
    TaskFailed: steps.fail,
    TaskRevoked: steps.revoke,
    TaskRetried: steps.retry,
    TaskRejected: steps.reject,
    TaskRevokeRequested: steps.request,
    TaskForgotten: steps.nothing,
    DataErased: steps.nothing,
    UnknownEvent: steps.nothing,
}
#: Learned on the side, of a life that is not SUCCESS.
_INFORMING: Final[Mapping[type[Any], Step]] = {
    **dict.fromkeys(_DECIDING, steps.nothing),
    TaskSent: steps.send_observed,
    TaskReceived: steps.receive_observed,
    TaskStarted: steps.start_observed,
    TaskUpdated: steps.update_observed,
    TaskSucceeded: steps.finish_observed,
    TaskFailed: steps.finish_observed,
    TaskRevoked: steps.close_observed,
    TaskRetried: steps.close_observed,
    TaskRejected: steps.close_observed,
}
#: Of a life that is SUCCESS.
_COMPLETING: Final[Mapping[type[Any], Step]] = {
    **dict.fromkeys(_DECIDING, steps.nothing),
    TaskSent: steps.send_observed,
    TaskReceived: steps.receive_late,
}
