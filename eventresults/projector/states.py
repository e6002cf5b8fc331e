"""What is known of the ids of one poll, moving from fact to fact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from eventresults.domain.events import EVENT_CLASSES, GroupFact, TaskEvent, TaskFact, UnknownEvent
from eventresults.domain.fold import apply
from eventresults.domain.groups import GroupKind, apply_group
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.view.shard import Meta, Shard

DAY = 24 * 3600 * 1000

_TASK_FACTS = frozenset(cls for cls in EVENT_CLASSES.values() if issubclass(cls, TaskFact))
#: The state before a fact, and after it: the same object (or None) when the fact was dropped.
Step = tuple[TaskMeta | GroupMeta | None, TaskMeta | GroupMeta | None]


@dataclass(frozen=True)
class Lifetimes:
    """How long unfinished lives last (0: for ever), and how long history outlives the result; milliseconds."""

    unfinished: int = 30 * DAY
    history: int = 30 * DAY


class States:
    """Tasks and groups by id, as they were before a poll, and as the facts told so far have made them."""

    def __init__(self, tasks: Mapping[str, TaskMeta], groups: Mapping[str, GroupMeta | None], lifetimes: Lifetimes) -> None:
        self.tasks_before = tasks
        self.groups_before = dict(groups)
        self.tasks = dict(tasks)
        self.groups = dict(groups)
        self._lifetimes = lifetimes
        self._unfinished = lifetimes.unfinished
        self._keep = lifetimes.history

    def again(self) -> States:
        """The states before the poll, to be moved once more."""
        return States(self.tasks_before, self.groups_before, self._lifetimes)

    def tell(self, event: TaskEvent | UnknownEvent, at: Position, log_time: int, shard: Shard) -> Step:
        """Fold one fact; groups are looked up in the shard when they are first met."""
        if type(event) not in _TASK_FACTS:
            return self._tell_other(cast("GroupFact | UnknownEvent", event), at, log_time, shard)
        task_id = event.task_id  # type: ignore[union-attr] # neither a cast nor a property here: this is done for every fact
        task = self.tasks.get(task_id)
        if task is not None and task.expires_at is not None and task.expires_at + self._keep <= log_time:
            task = None  # as `_unless_due` has it
        after = apply(task, event, at, log_time, self._unfinished)  # type: ignore[arg-type]
        if after is not None:
            self.tasks[task_id] = after
        return task, after

    def _tell_other(self, event: GroupFact | UnknownEvent, at: Position, log_time: int, shard: Shard) -> Step:
        """A group's fact, or one of an unknown kind: that is of the task of its id, if there is one, else of the group."""
        subject = event.subject
        if isinstance(event, UnknownEvent):
            task = self._unless_due(self.tasks.get(subject), log_time)
            if task is not None:
                known = apply(task, event, at, log_time, self._unfinished)
                self.tasks[subject] = known or task
                return task, known
        if subject not in self.groups:
            self.groups[subject] = self.groups_before[subject] = shard.group(subject)
        group = self._unless_due(self.groups[subject], log_time)
        after = apply_group(group, cast("GroupKind", event), at, log_time)
        if after is not None:
            self.groups[subject] = after
        return group, after

    def _unless_due(self, meta: Meta | None, log_time: int) -> Meta | None:
        """None for what the sweep may have taken already: nobody shall see from a row or a history when it came by."""
        if meta is None or meta.expires_at is None or meta.expires_at + self._keep > log_time:
            return meta
        return None
