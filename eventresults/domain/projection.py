"""Projections: folds of a user's own, run beside that of the tasks, over the same facts.

    class SpendByCustomer:
        name, version = "spend-by-customer", 1

        def key(self, transition):
            if isinstance(transition.event, TaskSucceeded):
                return transition.after.kwargs["customer"]

        def apply(self, state, transition):
            return (state or 0) + transition.event.result["cents"]

        def merge(self, one, other):
            return one + other

The projector runs them on every fact that counts, once, in log order, and commits their rows with the tasks' rows and the position. Each
partition folds its own facts, so a key may have a *partial* state in each; a read merges them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

from eventresults.domain.events import TaskEvent, UnknownEvent
from eventresults.domain.meta import GroupMeta, TaskMeta
from eventresults.domain.position import Position
from eventresults.errors import ConfigError

LONGEST_KEY: Final = 1024
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Transition(NamedTuple):
    """One fact that counted, and what was known of its task (or group) before and after it: None where it did not exist.

    `log_time` is in milliseconds since the epoch. Payloads are wire values, as the log has them: what JSON lacks is tagged (see
    `eventresults.codec.values.decode_value`), and what is encrypted stays so. Facts that change nothing (repeated, or of an id that was
    forgotten) are not told.
    """

    event: TaskEvent | UnknownEvent
    position: Position
    log_time: int
    before: TaskMeta | GroupMeta | None
    after: TaskMeta | GroupMeta | None


class Projection(Protocol):
    """A fold. All methods are pure: they depend on their arguments alone, change none of them, and do no I/O.

    A state is whatever JSON holds: None, bool, int (64 bits), float (finite), str, list, and dict with str keys. When `key`, `apply` or a
    state does not hold to this, or raises, the projection is marked as failed at that position and not run on: its reads raise
    `ProjectionFailed` until it is built anew, by another `version` or by `eventresults view rebuild`. The tasks' own fold goes on.
    """

    @property
    def name(self) -> str:
        """By which it is read: lower-case letters, digits, `-`, `.` and `_`, at most 64."""

    @property
    def version(self) -> int:
        """To be raised whenever what it computes changes: it is then built anew from the log."""

    def key(self, transition: Transition, /) -> str | None:
        """Whose state this fact changes (1 to 1,024 bytes of UTF-8); None: nobody's."""

    def apply(self, state: Any, transition: Transition, /) -> Any:
        """The state of that key after this fact; `state` is the one before, None where there is none. None removes it."""

    def merge(self, one: Any, other: Any, /) -> Any:
        """What two partial states add up to. Associative and commutative, and never called for a key that only one partition has.

        A projection keyed by task id has nothing to merge, for all facts of a task lie in one partition.
        """


def checked(projections: Iterable[Projection]) -> tuple[Projection, ...]:
    """These, if they can be run together. Raises `ConfigError`."""
    found = tuple(projections)
    for one in found:
        _check(one)
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Two projections are named {name!r}: rename one.", setting="projections")
    return found


def _check(one: Projection) -> None:
    name, version = getattr(one, "name", None), getattr(one, "version", None)
    missing = [method for method in ("key", "apply", "merge") if not callable(getattr(one, method, None))]
    if isinstance(one, type) or missing:
        what = "it is a class: pass an instance" if isinstance(one, type) else f"it has no {', '.join(missing)}"
        raise ConfigError(f"{one!r} is no projection: {what} (see eventresults.Projection).", setting="projections")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"A projection is named {name!r}: write lower-case letters, digits, '-', '.' and '_', at most 64.", setting="projections"
        )
    if type(version) is not int or version < 0:
        raise ConfigError(f"The projection {name!r} has version {version!r}: write a whole number, such as 1.", setting="projections")
