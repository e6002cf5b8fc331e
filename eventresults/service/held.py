"""What a process of this host reads: its own view, with the door through which others read it, or that of another process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from eventresults.errors import EventResultsError
from eventresults.log.base import Log
from eventresults.log.forked import leave_to_parent
from eventresults.log.own import OwnWrites
from eventresults.reading import FreshReader, RemoteReader
from eventresults.service.answers import answer
from eventresults.service.doorway import Doorway
from eventresults.service.endpoint import endpoint
from eventresults.service.finder import Held
from eventresults.service.leaving import end_without_destructors
from eventresults.service.owner import Owner
from eventresults.service.places import FolderPlace
from eventresults.service.rebuilding import Rebuilding
from eventresults.service.served import Served
from eventresults.service.session import LONGEST
from eventresults.service.told import Told
from eventresults.view.channel import Channel
from eventresults.view.listeners import Listeners
from eventresults.view.remote import RemoteView

logger = logging.getLogger(__name__)


class Owned:
    """This process's own view, and the door through which others read it."""

    def __init__(self, owner: Owner, reader: FreshReader, on_lost: Callable[[Held], None]) -> None:
        self.owner = owner
        self.reader = reader
        self._on_lost = on_lost
        self.doorway: Doorway | None = None
        #: What other processes read.
        self.served = Served(
            view=owner.view,
            # Each says how long it may take, and what it wrote itself.
            reader=FreshReader(owner.view, owner.log, OwnWrites(), read_timeout=LONGEST),
            log=owner.log,
            log_id=lambda: owner.log_id,
            generation=lambda: owner.generation,
            lifetimes=owner.lifetimes,
            answer=self.ask,
        )
        owner.on_resign = self._resigned
        owner.on_replaced = self._replaced
        self._open_door()
        self._rebuilding = Rebuilding(owner)

    @property
    def lost(self) -> bool:
        """See `Held.lost`."""
        return self.owner.resigned

    @property
    def told(self) -> Told:
        """See `Held.told`."""
        return self.owner.told

    def ask(self, what: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        """See `Held.ask`."""
        return answer(self.owner, what, arguments, timeout, doorway=self.doorway)

    def close(self) -> None:
        """See `Held.close`."""
        self._rebuilding.close()
        doorway = self.doorway
        if doorway is not None:
            self.owner.begin_beat()
            doorway.close()
        self.owner.close()

    def leave_to_parent(self) -> None:
        """See `Held.leave_to_parent`."""
        if self.doorway is not None:
            self.doorway.leave_to_parent()
        leave_to_parent(self, self.owner, self.reader)
        end_without_destructors()

    def _open_door(self) -> None:
        """Listen where others look for the owner of this generation."""
        owner = self.owner
        if not isinstance(owner.place, FolderPlace):
            return
        before = self.doorway
        self.doorway = Doorway(endpoint(owner.place.name, owner.generation), self.served, alive=owner.check)
        owner.end_beat()
        if before is not None:
            before.close()

    def _replaced(self) -> None:
        try:
            self._open_door()
        except EventResultsError:
            logger.exception("other processes cannot read the view at %s", self.owner.place.name)

    def _resigned(self) -> None:
        if self.doorway is not None:
            self.doorway.close()
        self._on_lost(self)


class Joined:
    """The view of another process."""

    def __init__(
        self,
        channel: Channel,
        listeners: Listeners,
        log: Log,
        own: OwnWrites,
        after: Told | None,
        on_lost: Callable[[Held], None],
        *,
        name: str,
        read_timeout: float,
    ) -> None:
        self._view = RemoteView(channel, listeners, name=name, after=after, on_lost=lambda _: on_lost(self))
        self.reader = RemoteReader(self._view, log, own, listeners, read_timeout=read_timeout)

    @property
    def lost(self) -> bool:
        """See `Held.lost`."""
        return self._view.lost is not None

    @property
    def silent(self) -> int | None:
        """The generation whose owner stopped answering, if that is why it was lost."""
        return self._view.hello.generation if self._view.silent else None

    @property
    def told(self) -> Told:
        """See `Held.told`."""
        return Told(*self._view.told)

    @property
    def pid(self) -> int:
        """The owner's process id."""
        return self._view.hello.pid

    def ask(self, what: str, arguments: Mapping[str, Any], timeout: float) -> Any:
        """See `Held.ask`."""
        return self.reader.ask(what, arguments, timeout)

    def close(self) -> None:
        """See `Held.close`."""
        self._view.close()

    def leave_to_parent(self) -> None:
        """See `Held.leave_to_parent`."""
        self._view.leave_to_parent()
        leave_to_parent(self)
