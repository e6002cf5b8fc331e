"""Finding who tells of the view: what is looked for, and what is held once it is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from eventresults.domain.position import Position
from eventresults.service.told import Told
from eventresults.view.base import ViewReader
from eventresults.view.listeners import Listeners


class Reading(ViewReader, Protocol):
    """A reader that can also wait for a position."""

    def wait_until(self, position: Position, timeout: float | None = None) -> bool:
        """See `FreshReader.wait_until`."""


class Held(Protocol):
    """A reader for as long as it lasts."""

    @property
    def reader(self) -> Reading:
        """What is asked."""

    @property
    def lost(self) -> bool:
        """Whether it will answer no more."""

    @property
    def told(self) -> Told:
        """How far the listeners were told."""

    def ask(self, what: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        """Whatever else its owner knows: see `eventresults.service.answers`."""

    def close(self) -> None:
        """Idempotent."""

    def leave_to_parent(self) -> None:
        """In a forked child: it is the parent's."""


class Finder(Protocol):
    """Finds a reader."""

    @property
    def name(self) -> str:
        """What is looked for, for people."""

    def find(
        self, listeners: Listeners, *, after: Told | None, lost: Held | None, deadline: float, on_lost: Callable[[Held], None]
    ) -> Held:
        """A reader that tells `listeners` from `after` on; `lost` is the one before. Calls `on_lost` when it answers no more, once all
        that it told was told. Raises `EventResultsError` when there is none until the monotonic `deadline`.
        """

    def give_up(self) -> None:
        """Whoever looks for one need not find it any more: let `find` raise `Closed` soon."""
