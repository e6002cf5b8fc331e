"""This host's view, opened by the first read: this process's own, or that of another process of this host."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from eventresults.errors import ViewLocked
from eventresults.log.base import Log
from eventresults.log.own import OwnWrites
from eventresults.projector import Lifetimes
from eventresults.projector.registered import NONE, Registered
from eventresults.service.heir import Heir
from eventresults.service.held import Joined, Owned
from eventresults.service.host import HostFinder
from eventresults.service.owner import Owner
from eventresults.service.places import Place
from eventresults.service.pointed import PointedView


class LocalView(PointedView):
    """A `ViewReader` of the view at `place`: nothing is opened before the first call, and every call may raise what `Owner.open` does.

    With `may_own=False` (`own="never"`) it only reads what another process owns. `heir` has another process own it where this one cannot,
    and nobody does. `projections` are run when this process owns it. `clock` gives milliseconds since the epoch.
    """

    def __init__(
        self,
        log: Log,
        place: Place,
        own: OwnWrites,
        *,
        lifetimes: Lifetimes,
        read_timeout: float,
        connect_timeout: float,
        may_own: bool = True,
        heir: Heir | None = None,
        projections: Registered = NONE,
        clock: Callable[[], int] = lambda: int(time() * 1000),
    ) -> None:
        finder = HostFinder(
            log,
            place,
            own,
            lifetimes=lifetimes,
            read_timeout=read_timeout,
            may_own=may_own,
            heir=heir,
            projections=projections,
            clock=clock,
        )
        super().__init__(finder, log, own, read_timeout=read_timeout, connect_timeout=connect_timeout)

    @property
    def owner(self) -> Owner:
        """The owner behind it, opened now if need be. Raises `ViewLocked` when that is another process."""
        held = self.held
        if isinstance(held, Owned):
            return held.owner
        pid = held.pid if isinstance(held, Joined) else None
        raise ViewLocked(
            f"Another process (pid {pid}) owns the view at {self.finder.name}: do this there, or end that process.",
            path=self.finder.name,
            pid=pid,
        )
