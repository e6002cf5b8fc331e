"""One task as its executor holds it, from `submit` to its finishing fact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import uuid_utils

from eventresults.errors import ConfigError

if TYPE_CHECKING:
    from eventresults.worker.attempt import Runner
    from eventresults.worker.revokes import Order


class Call(NamedTuple):
    """What a task does."""

    fn: Callable[..., Any]
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}

    def make(self) -> Any:
        """Do it."""
        return self.fn(*self.args, **self.kwargs)


class Phase(Enum):
    """How far a job is."""

    #: Accepted: in the queue, or waiting for its time, its predecessor or its next attempt. It can be withdrawn.
    WAITING = "waiting"
    #: A worker took it up.
    RUNNING = "running"
    DONE = "done"


@dataclass(eq=False, kw_only=True, slots=True)
class Job:
    """One task. `phase` and `order` change only under the crew's lock."""

    id: str
    name: str
    call: Call
    #: The pickled call, where it goes to a process.
    payload: bytes | None = None
    queue: str | None = None
    parent_id: str | None = None
    previous_id: str | None = None
    root_id: str
    group_id: str | None = None
    group_index: int | None = None
    replay_of: str | None = None
    eta: datetime | None = None
    expires: datetime | None = None
    max_retries: int = 0
    successor: Job | None = None

    phase: Phase = Phase.WAITING
    #: Attempts begun.
    attempt: int = 0
    #: What it sent itself, over all attempts (`as_tuple()` forms); None: no trail is kept.
    trail: list[Any] | None = field(default_factory=list)
    #: What runs it, while it runs.
    runner: Runner | None = None
    #: The last order to revoke it.
    order: Order | None = None
    #: Takes it off the schedule.
    unschedule: Callable[[], None] | None = None

    def delay(self) -> float:
        """Seconds until it is due."""
        return 0.0 if self.eta is None else (self.eta - datetime.now(UTC)).total_seconds()

    def expired(self) -> bool:
        """Whether it is too late to begin it."""
        return self.expires is not None and datetime.now(UTC) >= self.expires


def name_of(fn: Callable[..., Any]) -> str:
    """`module.qualname` of a function; of what it wraps, for a partial; of its class, for any other object that can be called."""
    while isinstance(fn, partial):
        fn = fn.func
    named = fn if hasattr(fn, "__qualname__") else type(fn)
    module = getattr(named, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else named.__qualname__


def new_id() -> str:
    """An id that nobody else has, and that sorts by its time."""
    return str(uuid_utils.uuid7())


def moment(given: datetime | float | None) -> datetime | None:
    """A time, or seconds from now, as a time; a naive one is taken as UTC."""
    if given is None:
        return None
    if isinstance(given, datetime):
        return given.astimezone(UTC) if given.tzinfo is not None else given.replace(tzinfo=UTC)
    return datetime.now(UTC) + timedelta(seconds=given)


def no_functions() -> ConfigError:
    """What an empty chain raises."""
    return ConfigError("A chain needs at least one function.", setting="functions", source="chain()")
