"""Which events of a stretch are meant: conditions on their fields, all of which must hold.

    kind=task-failed    name~resize*    kwargs.customer!=ada    runtime>5

A field is one of the event's own, dots leading into what it holds; `id` is the id of its task or group, `kind` its kind. What only the
`task-sent` fact of a task tells (its name, queue, arguments, parent, root, group) counts for all facts of that task that come after it in
the stretch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from eventresults.codec.readable import kind_of
from eventresults.domain.events import TaskEvent, TaskSent, UnknownEvent

_FORM: Final = re.compile(r"([A-Za-z_][\w.-]*?)\s*(!=|=|~|<|>)\s*(.*)", re.DOTALL)
#: What the fact that a task was sent tells of all its facts.
_OF_SENT: Final = frozenset({"name", "queue", "args", "kwargs", "parent_id", "previous_id", "root_id", "group_id", "replay_of"})


class Condition(NamedTuple):
    """One of them."""

    field: str
    path: tuple[str, ...]
    holds: Callable[[Any], bool]


class Where:
    """Conditions, and what they must remember on the way. Used by one thread, for one stretch.

    Raises ValueError for a text that is no condition.
    """

    def __init__(self, conditions: Iterable[str] = ()) -> None:
        self._conditions = [_parsed(text) for text in conditions]
        self._needed = {one.field for one in self._conditions} & _OF_SENT
        self._sent: dict[str, dict[str, Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._conditions)

    @property
    def remembers(self) -> bool:
        """Whether it depends on earlier events, so that it must be shown them all: `learn`."""
        return bool(self._needed)

    def learn(self, event: TaskEvent | UnknownEvent) -> None:
        """Remember of this event what later ones will be judged by."""
        if self._needed and isinstance(event, TaskSent):
            told = {name: value for name in self._needed if (value := getattr(event, name)) is not None}
            self._sent[event.task_id] = {**self._sent.get(event.task_id, {}), **told}

    def matches(self, event: TaskEvent | UnknownEvent) -> bool:
        """Whether this event is meant; it is learned from, too."""
        self.learn(event)
        return all(one.holds(self._value(event, one)) for one in self._conditions)

    def _value(self, event: TaskEvent | UnknownEvent, one: Condition) -> Any:
        found: Any
        if one.field == "kind":
            return kind_of(event)
        if one.field == "id":
            return event.subject
        found = event.fields.get(one.field) if isinstance(event, UnknownEvent) else getattr(event, one.field, None)
        if found is None:
            found = self._sent.get(event.subject, {}).get(one.field)
        for step in one.path:
            found = _below(found, step)
        return found


def _parsed(text: str) -> Condition:
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(f"{text!r} is no condition: write FIELD=VALUE, FIELD!=VALUE, FIELD~PATTERN, FIELD<NUMBER or FIELD>NUMBER")
    named, operator, wanted = form.groups()
    field, *path = named.split(".")
    return Condition(field, tuple(path), _test(text, operator, wanted))


def _test(text: str, operator: str, wanted: str) -> Callable[[Any], bool]:
    match operator:
        case "=":
            return lambda value: _text(value) == wanted
        case "!=":
            return lambda value: _text(value) != wanted
        case "~":
            return lambda value: value is not None and fnmatchcase(_text(value), wanted)
    try:
        number = float(wanted)
    except ValueError:
        raise ValueError(f"{text!r} compares with {wanted!r}, which is no number") from None
    if operator == "<":
        return lambda value: _is_number(value) and value < number
    return lambda value: _is_number(value) and value > number


def _below(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.isdecimal():
        return value[int(step)] if int(step) < len(value) else None
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """As it is written in a condition: texts as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
