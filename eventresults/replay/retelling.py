"""How an event is told to another log: as it is, or of new tasks that say which ones they repeat."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

from msgspec.structs import replace

from eventresults.codec.events import encode_event
from eventresults.codec.ids import key_of
from eventresults.domain.events import GroupFact, TaskEvent, TaskFact, TaskSent, UnknownEvent
from eventresults.domain.position import Position
from eventresults.log.stretch import Found

#: What to append of an event: key and value; None: nothing.
Retelling = Callable[[Found, TaskEvent | UnknownEvent], tuple[bytes, bytes] | None]

#: Fields that hold an id of a task or group, and those that hold the `as_tuple()` form of results.
_IDS: Final = ("task_id", "group_id", "parent_id", "previous_id", "root_id", "body_id", "added")
_FORMS: Final = ("children", "results")


def same_ids(found: Found, event: TaskEvent | UnknownEvent) -> tuple[bytes, bytes] | None:
    """The record, byte for byte."""
    _, record = found
    return record.key or key_of(event.subject), record.value or b""


class NewIds:
    """Tells it of new tasks and groups. The same `run` gives the same new ids, and so the same event ids, whenever it is told.

    Every id in the event is another one: of the task, its parent, root, group and children. `replay_of` of each `task-sent` is the old id.
    Payloads stay as they are. An event of a kind that this version does not know is left out.
    """

    def __init__(self, run: str) -> None:
        self._run = run.encode()

    def __call__(self, found: Found, event: TaskEvent | UnknownEvent) -> tuple[bytes, bytes] | None:
        """See `Retelling`."""
        if isinstance(event, UnknownEvent):
            return None
        new = replace(event, **self._changed(event), event_id=self._digest(event.event_id or str(_position(found))).hex())
        return key_of(new.subject), encode_event(new)

    def id(self, old: str) -> str:
        """The new id in the place of this one."""
        return str(uuid.UUID(bytes=self._digest(old)))

    def _changed(self, event: TaskFact | GroupFact) -> dict[str, Any]:
        names = {name for name in (*_IDS, *_FORMS) if getattr(event, name, None) is not None}
        changed: dict[str, Any] = {name: self.id(getattr(event, name)) for name in names.intersection(_IDS)}
        changed |= {name: self._form(getattr(event, name)) for name in names.intersection(_FORMS)}
        if isinstance(event, TaskSent):
            changed["replay_of"] = event.task_id
        return changed

    def _form(self, form: Any) -> Any:
        """Results as tuples: `[[id, parent], nodes or null]`; anything else stays."""
        match form:
            case [[str() as one, parent], (None | list()) as nodes]:
                return [[self.id(one), self._form(parent)], self._form(nodes)]
            case [str() as one, (None | list()) as nodes]:
                return [self.id(one), self._form(nodes)]
            case list():
                return [self._form(each) for each in form]
        return form

    def _digest(self, text: str) -> bytes:
        return blake2b(text.encode("utf-8", "surrogatepass"), key=blake2b(self._run, digest_size=32).digest(), digest_size=16).digest()


def _position(found: Found) -> Position:
    return Position(found.partition, found.record.offset)
