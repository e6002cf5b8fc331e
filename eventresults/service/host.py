"""One view for all processes of a host: the first that reads owns it and serves the others; when it is gone, or silent, another does.

Each asks in turn: is the lock free? Then the view is mine, and I open the door to others. Is it not? Then somebody listens, or will
soon. Does nobody answer there? Then the owner is stopped, and the next generation, filled with a clone of its, is mine.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from time import monotonic, sleep, time
from typing import Any, Final

from eventresults.errors import ViewError, ViewLocked, ViewStale
from eventresults.log.base import Log
from eventresults.log.forked import leave_to_parent
from eventresults.log.own import OwnWrites
from eventresults.projector import Lifetimes
from eventresults.reading import FreshReader, RemoteReader
from eventresults.service.answers import answer
from eventresults.service.doorway import Doorway
from eventresults.service.endpoint import endpoint
from eventresults.service.leaving import end_without_destructors
from eventresults.service.owner import Owner, Told
from eventresults.service.places import FolderPlace, Place
from eventresults.service.pointed import Held
from eventresults.service.session import Served
from eventresults.view.channel import Gone, Silent, UnixChannel
from eventresults.view.listeners import Listeners
from eventresults.view.remote import RemoteView

logger = logging.getLogger(__name__)

#: Between two looks for an owner who is about to be there.
PAUSE_SECONDS: Final = (0.005, 0.1)


class HostFinder:
    """Finds the view of one host: this process's own, or that of the process which owns it.

    With `may_own=False` (`own="never"`), and in a process patched by gevent or eventlet, never this process's own. `clock` gives
    milliseconds since the epoch.
    """

    def __init__(
        self,
        log: Log,
        place: Place,
        own: OwnWrites,
        *,
        lifetimes: Lifetimes,
        read_timeout: float,
        may_own: bool = True,
        clock: Callable[[], int] = lambda: int(time() * 1000),
    ) -> None:
        self._log = log
        self._place = place
        self._own = own
        self._lifetimes = lifetimes
        self._read_timeout = read_timeout
        self._may_own = may_own
        self._clock = clock

    @property
    def name(self) -> str:
        """See `Finder.name`."""
        return self._place.name

    def find(
        self, listeners: Listeners, *, after: Told | None, lost: Held | None, deadline: float, on_lost: Callable[[Held], None]
    ) -> Owned | Joined:
        """See `Finder.find`."""
        silent = lost.silent if isinstance(lost, Joined) else None
        pause, longest = PAUSE_SECONDS
        while True:
            locked = self._no_owning()
            if locked is None:
                try:
                    return self._take(listeners, after, deadline, on_lost, silent=False)
                except ViewLocked as error:
                    locked = error
            generation = self._place.current()
            if generation is not None and isinstance(self._place, FolderPlace):
                try:
                    if silent == generation:
                        raise Silent
                    return self._join(generation, listeners, after, on_lost)
                except Gone:
                    pass  # not there yet, or not any more
                except Silent:
                    silent = generation
                    if self._no_owning() is None:
                        try:
                            return self._take(listeners, after, deadline, on_lost, silent=True)
                        except ViewLocked as error:
                            locked = error  # another process is about to
            if monotonic() + pause >= deadline:
                raise self._nobody(locked)
            sleep(pause)
            pause = min(pause * 1.5, longest)

    def _take(self, listeners: Listeners, after: Told | None, deadline: float, on_lost: Callable[[Held], None], *, silent: bool) -> Owned:
        owner = Owner.open(
            self._log,
            self._place,
            lifetimes=self._lifetimes,
            timeout=max(deadline - monotonic(), 0.001),
            listeners=listeners,
            after=after,
            silent=silent,
        )
        try:
            reader = FreshReader(owner.view, self._log, self._own, read_timeout=self._read_timeout, clock=self._clock)
            return Owned(owner, reader, on_lost, read_timeout=self._read_timeout)
        except BaseException:
            owner.close()
            raise

    def _join(self, generation: int, listeners: Listeners, after: Told | None, on_lost: Callable[[Held], None]) -> Joined:
        channel = UnixChannel(str(endpoint(self._place.name, generation)))
        return Joined(channel, listeners, self._log, self._own, after, on_lost, name=self._place.name, read_timeout=self._read_timeout)

    def _no_owning(self) -> ViewLocked | None:
        """Why this process may not own the view, if it may not."""
        patched = _patched()
        if self._may_own and patched is None:
            return None
        why = "own='never' forbids this process to open it" if patched is None else f"a process patched by {patched} cannot own one"
        return ViewLocked(
            f"Nobody serves the view at {self._place.name} and {why}: start a process that may (`eventresults serve`), or leave `own` at 'auto'.",
            path=self._place.name,
            pid=None,
        )

    def _nobody(self, locked: ViewLocked) -> ViewError:
        pid = getattr(locked, "pid", None)
        if pid is None:
            return locked
        return ViewStale(
            f"The process {pid} holds the view at {self._place.name}, but does not (yet) answer there: it may be opening it, or be stopped, or "
            "see another folder for sockets (XDG_RUNTIME_DIR). Wait longer (timeout, connect_timeout), or end that process.",
            reason=f"the owner (pid {pid}) does not answer",
            path=self._place.name,
            pid=pid,
        )


class Owned:
    """This process's own view, and the door through which others read it."""

    def __init__(self, owner: Owner, reader: FreshReader, on_lost: Callable[[Held], None], *, read_timeout: float) -> None:
        self.owner = owner
        self.reader = reader
        self._on_lost = on_lost
        self._read_timeout = read_timeout
        self.doorway: Doorway | None = None
        owner.on_resign = self._resigned
        owner.on_replaced = self._open_door
        self._open_door()

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
        doorway = self.doorway
        if doorway is not None:
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
        served = Served(
            view=owner.view,
            reader=FreshReader(owner.view, owner.log, OwnWrites(), read_timeout=self._read_timeout),
            log=owner.log,
            log_id=lambda: owner.told.log_id,
            generation=lambda: owner.generation,
            lifetimes=owner.lifetimes,
            answer=self.ask,
        )
        self.doorway = Doorway(endpoint(owner.place.name, owner.generation), served, alive=owner.check)
        if before is not None:
            before.close()

    def _resigned(self) -> None:
        if self.doorway is not None:
            self.doorway.close()
        self._on_lost(self)


class Joined:
    """The view of another process."""

    def __init__(
        self,
        channel: UnixChannel,
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
        self.reader = RemoteReader(self._view, log, own, read_timeout=read_timeout)

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


def _patched() -> str | None:
    """What has replaced Python's threads in this process, if anything has: a projector would never get its turn."""
    for name in ("gevent", "eventlet"):
        module = sys.modules.get(name)
        if module is None:
            continue
        patcher = sys.modules.get(f"{name}.monkey") or sys.modules.get(f"{name}.patcher")
        patched = getattr(patcher, "is_module_patched", None) or getattr(patcher, "is_monkey_patched", None)
        if patched is not None and (patched("threading") or patched("thread")):
            return name
    return None
