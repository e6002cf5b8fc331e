"""One view for all processes of a host: the first that reads owns it and serves the others; when it is gone, or silent, another does.

Each asks in turn: is the lock free? Then the view is mine, and I open the door to others. Is it not? Then somebody listens, or will
soon. Does nobody answer there? Then the owner is stopped, and the next generation, filled with a clone of its, is mine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic, sleep, time
from typing import Final

from eventresults.errors import Closed, ViewError, ViewLocked, ViewStale
from eventresults.log.base import Log
from eventresults.log.own import OwnWrites
from eventresults.projector import Lifetimes
from eventresults.projector.registered import NONE, Registered
from eventresults.reading import FreshReader
from eventresults.service.endpoint import check_folder, endpoint
from eventresults.service.finder import Held
from eventresults.service.heir import Heir
from eventresults.service.held import Joined, Owned
from eventresults.service.owner import Owner
from eventresults.service.places import FolderPlace, Place
from eventresults.service.told import Told
from eventresults.service.unfit import RocksThreads, unfit
from eventresults.view.beat import Pulse, work_done
from eventresults.view.channel import Gone, Silent, UnixChannel
from eventresults.view.listeners import Listeners

logger = logging.getLogger(__name__)

#: Between two looks for an owner who is about to be there.
PAUSE_SECONDS: Final = (0.005, 0.1)
#: How long one that may own is given to come first, before an heir is sent.
GRACE_SECONDS: Final = 0.05
#: How long an heir is given to succeed a silent owner, before that one is asked again.
SUCCESSION_SECONDS: Final = 3.0


class HostFinder:
    """Finds the view of one host: this process's own, or that of the process which owns it.

    With `may_own=False`, in a process patched by gevent or eventlet, and in one forked from an owner, never this process's own; these
    send an `heir`, where they have one, when nobody owns it. `projections` are run when this process owns the view. `clock`
    gives milliseconds since the epoch.
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
        heir: Heir | None = None,
        projections: Registered = NONE,
        clock: Callable[[], int] = lambda: int(time() * 1000),
    ) -> None:
        self._log = log
        self._place = place
        self._own = own
        self._lifetimes = lifetimes
        self._read_timeout = read_timeout
        self._may_own = may_own
        self._heir = heir if isinstance(place, FolderPlace) else None
        self._projections = projections
        self._clock = clock
        self._given_up = False

    @property
    def name(self) -> str:
        """See `Finder.name`."""
        return self._place.name

    def find(  # noqa: C901, PLR0912 - one look after another, in order
        self,
        listeners: Listeners,
        *,
        after: Told | None,
        lost: Held | None,
        deadline: float,
        on_lost: Callable[[Held], None],
        silent: int | None = None,
    ) -> Owned | Joined:
        """See `Finder.find`. `silent` is a generation whose owner is known not to answer."""
        place = self._place
        if isinstance(place, FolderPlace):
            check_folder()  # before anything is opened that nobody could be served from
        if isinstance(lost, Joined):
            silent = lost.silent
        pulse, holder = Pulse(), None
        sign: int | None = None
        pause, longest = PAUSE_SECONDS
        patience = monotonic() + GRACE_SECONDS
        ask_again = 0.0 if silent is None or self._heir is None else monotonic() + SUCCESSION_SECONDS
        while not self._given_up:
            locked = self._no_owning()
            may_own = locked is None
            if locked is None:
                try:
                    return self._take(listeners, after, deadline, on_lost, silent=False)
                except ViewLocked as error:
                    locked = error
                    holder = getattr(error, "pid", None)
            if not isinstance(place, FolderPlace):
                raise locked
            generation = place.current()
            # Who may not own asks an owner that was silent again: it may have been woken.
            if generation is not None and not (silent == generation and (may_own or monotonic() < ask_again)):
                try:
                    return self._join(generation, listeners, after, on_lost)
                except Gone:  # not there yet, or not any more
                    sign = place.sign_of_life(generation)
                    silent = generation if pulse.stopped(generation, sign, work_done(holder)) else None
                except Silent:
                    silent, sign = generation, None
            if may_own and generation is not None and silent == generation:
                try:
                    return self._take(listeners, after, deadline, on_lost, silent=True)
                except ViewLocked as error:
                    locked = error  # another process is about to
            ends = monotonic() + pause >= deadline
            if not may_own and self._heir is not None and (ends or monotonic() >= patience):
                if generation is not None and silent == generation and monotonic() >= ask_again:
                    ask_again = monotonic() + SUCCESSION_SECONDS
                locked = self._send(self._heir, generation if silent == generation else None, sign) or locked
                holder = getattr(locked, "pid", None)
            if ends:
                raise self._nobody(locked)
            sleep(pause)
            pause = min(pause * 1.5, longest)
        raise Closed("This tracker is closed: open a new one with eventresults.connect().", what="tracker")

    def give_up(self) -> None:
        """See `Finder.give_up`."""
        self._given_up = True

    def _take(self, listeners: Listeners, after: Told | None, deadline: float, on_lost: Callable[[Held], None], *, silent: bool) -> Owned:
        RocksThreads.opened = RocksThreads.opened or isinstance(self._place, FolderPlace)
        owner = Owner.open(
            self._log,
            self._place,
            lifetimes=self._lifetimes,
            projections=self._projections(),
            timeout=max(deadline - monotonic(), 0.001),
            listeners=listeners,
            after=after,
            silent=silent,
        )
        try:
            reader = FreshReader(owner.view, self._log, self._own, read_timeout=self._read_timeout, clock=self._clock)
            owned = Owned(owner, reader, on_lost)
        except BaseException:
            owner.close()
            raise
        listeners.caught_up(owner.view.told)
        return owned

    def _join(self, generation: int, listeners: Listeners, after: Told | None, on_lost: Callable[[Held], None]) -> Joined:
        channel = UnixChannel(str(endpoint(self._place.name, generation)))
        return Joined(channel, listeners, self._log, self._own, after, on_lost, name=self._place.name, read_timeout=self._read_timeout)

    def _no_owning(self) -> ViewLocked | None:
        """Why this process may not own the view, if it may not."""
        incapable = unfit(on_disk=isinstance(self._place, FolderPlace))
        if self._may_own and incapable is None:
            return None
        why = incapable or "this process was told not to open it (own='never' or 'spawn')"
        return ViewLocked(
            f"Nobody serves the view at {self._place.name} and {why}: start a process that may (`eventresults serve`), "
            "or leave `own` at 'auto'.",
            path=self._place.name,
            pid=None,
        )

    def _send(self, heir: Heir, silent: int | None, sign: int | None) -> ViewLocked | None:
        """Have another process own the view, if nobody does; who does, else.

        The owner of the generation `silent` is silent, as far as it is known; if it was judged by this sign of life, as long as it gives
        no other one.
        """
        locked: ViewLocked | None = None

        def needed() -> bool:
            nonlocal locked
            if silent is not None:
                return self._place.current() == silent and (sign is None or self._place.sign_of_life(silent) == sign)
            try:
                self._place.open().close()
            except ViewLocked as error:
                locked = error
            return locked is None

        heir.send(silent=silent, needed=needed)
        return locked

    def _nobody(self, locked: ViewLocked) -> ViewError:
        pid = getattr(locked, "pid", None)
        if pid is None and self._heir is not None and self._no_owning() is not None:
            why = self._heir.why
            return ViewStale(
                f"Nobody serves the view at {self._place.name}, and this process may not own it. Another was started for that: {why}. Wait "
                "longer (timeout, connect_timeout), or start a process that may own it (`eventresults serve`).",
                reason=f"nobody owns it: {why}",
                path=self._place.name,
            )
        if pid is None:
            return locked
        return ViewStale(
            f"The process {pid} holds the view at {self._place.name}, but does not (yet) answer there: it may be opening it, or be "
            "stopped, or see another folder for sockets (XDG_RUNTIME_DIR). Wait longer (timeout, connect_timeout), or end that process.",
            reason=f"the owner (pid {pid}) does not answer",
            path=self._place.name,
            pid=pid,
        )
