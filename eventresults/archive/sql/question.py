"""A question by name: its SQL, what it can be told, and how its answer is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from eventresults.errors import QueryRefused


class Given(NamedTuple):
    """Something that can be said with a question: a `$name` of its SQL."""

    default: Any
    meaning: str


class Chart(NamedTuple):
    """How to draw the answer: a bar for each row, or a line over time for each `series`. `label`, `value` and `series` are columns."""

    kind: Literal["bars", "lines"]
    label: str
    value: str
    unit: str = ""
    series: str | None = None


@dataclass(frozen=True)
class Question:
    """One saved question."""

    name: str
    meaning: str
    sql: str
    chart: Chart
    given: Mapping[str, Given] = field(default_factory=dict)

    def values(self, told: Mapping[str, str]) -> dict[str, Any]:
        """What its SQL is given: what was told, else the defaults. Raises `QueryRefused` for anything that it does not take."""
        unknown = sorted(told.keys() - self.given.keys())
        if unknown:
            takes = ", ".join(f"{name}={given.default}" for name, given in self.given.items()) or "nothing"
            raise QueryRefused(f"{self.name} does not take {', '.join(unknown)}: it takes {takes}.", reason="unknown parameter")
        values = {}
        for name, given in self.given.items():
            try:
                values[name] = type(given.default)(told[name]) if name in told else given.default
            except ValueError:
                raise QueryRefused(
                    f"{self.name} takes a {type(given.default).__name__} as {name}, and {told[name]!r} is none.", reason="wrong parameter"
                ) from None
        return values


def find(name: str, questions: Sequence[Question]) -> Question:
    """The question of this name. Raises `QueryRefused`, with the names that there are."""
    for question in questions:
        if question.name == name:
            return question
    raise QueryRefused(f"There is no question {name!r}. Ask one of: {', '.join(one.name for one in questions)}.", reason="unknown question")
