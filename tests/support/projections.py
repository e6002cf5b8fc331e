"""Small projections, as a user would write them."""

from __future__ import annotations

from typing import Any

from eventresults import TaskSucceeded, Transition


class Spend:
    """Cents by customer, of what succeeded."""

    name = "spend-by-customer"

    def __init__(self, version: int = 1) -> None:
        self.version = version

    def key(self, transition: Transition) -> str | None:
        if isinstance(transition.event, TaskSucceeded) and transition.after is not None:
            return transition.after.kwargs["customer"]
        return None

    def apply(self, state: Any, transition: Transition) -> Any:
        return (state or 0) + transition.event.result

    def merge(self, one: Any, other: Any) -> Any:
        return one + other


class ByState:
    """How many tasks of a name are in which state: each fact moves its task from one to another."""

    name, version = "by-state", 1

    def key(self, transition: Transition) -> str | None:
        one, other = transition.before, transition.after
        if (one and one.state) == (other and other.state) and (one and one.name) == (other and other.name):
            return None
        return "all"

    def apply(self, state: Any, transition: Transition) -> Any:
        counts = dict(state or {})
        for meta, number in ((transition.before, -1), (transition.after, 1)):
            if meta is not None:
                counts[meta.state] = counts.get(meta.state, 0) + number
        return {name: count for name, count in counts.items() if count} or None

    def merge(self, one: Any, other: Any) -> Any:
        return {name: one.get(name, 0) + other.get(name, 0) for name in one | other}


SPEND, BY_STATE = Spend(), ByState()
