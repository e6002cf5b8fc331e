"""The fold of a group: saved results, and the count of a chord's parts. Pure and total, like the fold of a task.

A group expires by the last `result_expires` that one of its facts carried, counted from that fact's log time (0: never); facts that carry
none leave the date as it is, and a group that never had one never expires. An observed fact adds to the history of a living group,
and nothing else.
"""

from __future__ import annotations

from typing import Final, assert_never

from eventresults.domain.events import (
    GroupDispatched,
    GroupDispatching,
    GroupForgotten,
    GroupPart,
    GroupSaved,
    GroupSized,
    UnknownEvent,
)
from eventresults.domain.lives import books_of, continue_life, expiry, known, mark_of, open_life
from eventresults.domain.meta import GroupDraft, GroupMeta
from eventresults.domain.position import Position

#: The facts that change what is known of a group.
Deciding = GroupSaved | GroupSized | GroupPart | GroupDispatching | GroupDispatched
#: Whatever may stand under a group's key.
GroupKind = Deciding | GroupForgotten | UnknownEvent

_OPENS_NOTHING: Final = (GroupForgotten, UnknownEvent)
_NEWBORN: Final = GroupMeta(group_id="")


def apply_group(meta: GroupMeta | None, event: GroupKind, at: Position, log_time: int) -> GroupMeta | None:
    """What is known of a group after one more fact. `log_time` is in milliseconds.

    Returns `meta` itself (the same object, or None) exactly when the fact is dropped, for which `reason_dropped` has the reason: such
    a fact enters no history. Otherwise a new object whose `last_offset` is the fact's own.
    """
    mark = mark_of(event.event_id)
    if meta is not None and known(meta, mark, at):
        return meta
    before = None if meta is None or meta.expired(log_time) else meta
    if before is None or before.phase == "forgotten":
        if event.observed or isinstance(event, _OPENS_NOTHING):
            return meta
        draft, before = GroupDraft(group_id=event.subject), _NEWBORN
        open_life(draft, meta, mark, at, log_time)
    else:
        draft = before.draft()
        continue_life(draft, mark, at, log_time)

    if isinstance(event, GroupForgotten) and not event.observed:
        if not before.pending:
            return GroupMeta(group_id=event.group_id, **books_of(draft))
        draft.results = None  # who forgets the saved results does not mean the body that still waits for the parts
    elif not event.observed and not isinstance(event, UnknownEvent | GroupForgotten):
        _decide(before, event, draft, at.offset, log_time)
    return draft.freeze()


def part_key(task_id: str, group_index: int | None) -> str:
    """The key of one part in `GroupMeta.parts`: `task_id/group_index`, with nothing behind the slash when the index is unknown."""
    return f"{task_id}/" if group_index is None else f"{task_id}/{group_index}"


def _decide(before: GroupMeta, event: Deciding, draft: GroupDraft, offset: int, log_time: int) -> None:
    if event.result_expires is not None:
        draft.expires_at = expiry(log_time, event.result_expires)
    match event:
        case GroupPart():
            _count(before, event, draft, offset)
        case GroupSaved():
            draft.results = event.results
        case GroupSized():
            _size(before, event, draft, offset)
        case GroupDispatching():
            _claim(before, event, draft)
        case GroupDispatched():
            draft.dispatched = event.body_id or ""
            draft.claim = None
        case _:
            assert_never(event)


def _count(before: GroupMeta, event: GroupPart, draft: GroupDraft, offset: int) -> None:
    """The first word about a part is the one that counts. Its value stays in the history: a row is written with every part."""
    key = part_key(event.task_id, event.group_index)
    parts = before.parts or {}
    if key in parts:
        return
    draft.parts = {**parts, key: [event.state, offset]}
    if before.completed_by is None and before.wanted is not None and len(parts) + 1 >= before.wanted:
        draft.completed_by = offset


def _size(before: GroupMeta, event: GroupSized, draft: GroupDraft, offset: int) -> None:
    """Learn what the fact tells; once the body of a run was sent, it opens the next run, unless it only adds to the one before."""
    if before.dispatched is not None and event.added is None:
        draft.run = before.run + 1
        draft.size = draft.added = draft.parts = draft.completed_by = draft.claim = draft.dispatched = draft.body = draft.structure = None
    if event.size is not None:
        draft.size = event.size
    if event.body is not None:
        draft.body = event.body
    if event.structure is not None:
        draft.structure = event.structure
    added = draft.added or []
    if event.added is not None and event.added not in added:
        added = draft.added = [*added, event.added]
    if draft.size is None or len(draft.parts or ()) < draft.size + len(added):
        draft.completed_by = None
    elif draft.completed_by is None:
        draft.completed_by = offset


def _claim(before: GroupMeta, event: GroupDispatching, draft: GroupDraft) -> None:
    """The body belongs to one claimant at a time, and to nobody once it was sent."""
    if before.dispatched is not None:
        return
    held = before.claim
    if held is None or held["until"] <= event.time or held["by"] == event.by:
        draft.claim = {"by": event.by, "body_id": event.body_id, "until": event.until}
