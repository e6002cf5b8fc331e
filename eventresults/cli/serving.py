"""What `eventresults serve` does: a tracker, what its view is held by, and the service around them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

from eventresults.bootstrap import view_folder
from eventresults.config import Settings
from eventresults.errors import Closed, ConfigError, ViewError, ViewUnavailable
from eventresults.projector import Observer, unobserved
from eventresults.service.held import Joined, Owned
from eventresults.service.local import LocalView
from eventresults.service.owner import Owner
from eventresults.service.served import Served
from eventresults.service.web.logs import structured_logs
from eventresults.service.web.run import Service, Source, Terms
from eventresults.service.web.sessions import Sessions
from eventresults.tracker import Tracker, connect

#: How long the process that owns the view may take to let a service have it.
TAKE_SECONDS: Final = 5.0


def run(terms: Terms, *, url: str | None, view: str | None, level: str) -> None:
    """Serve until a signal, and close everything. Raises what opening the view does, and `ConfigError` as `Service` does."""
    given = {} if view is None else {"view": view}
    with structured_logs(level):
        service = Service(terms)
        try:
            with connect(url, **given) as tracker:
                here = tracker.view
                if not isinstance(here, LocalView):
                    raise ConfigError(
                        f"view={tracker.settings.view}: a service owns its view: name a folder on this host, or leave `view` unset.",
                        setting="view",
                        source=tracker.settings.sources["view"],
                    )
                _take(here)  # what cannot be opened is an error now, and not one for every reader
                holding = Holding(tracker, here)
                try:
                    service.run(holding.source, os.environ)
                finally:
                    holding.close()
        finally:
            service.close()


def _take(view: LocalView) -> None:
    """Own the view: a process that owns it for its own readers' sake lets a service have it. Raises `ViewLocked` when it does not."""
    deadline = monotonic() + TAKE_SECONDS
    while isinstance(held := view.held, Joined) and monotonic() < deadline:
        with suppress(ViewUnavailable, Closed):  # it went by itself
            held.ask("yield", {}, TAKE_SECONDS)
        while not held.lost and monotonic() < deadline:
            sleep(0.005)
    view.owner.stays = True


class Holding:
    """What this process holds of the view, which may become another's, and its own again."""

    def __init__(self, tracker: Tracker, view: LocalView) -> None:
        self._tracker = tracker
        self._view = view
        self._observer: Observer = unobserved
        self._sessions = Sessions(self._owned_and_served)

    @property
    def source(self) -> Source:
        """What the service serves."""
        return Source(
            reader=self._view,
            log=self._tracker.log,
            holder=self._owner,
            observe_with=self._observe_with,
            open_sessions=self._sessions.open,
            folder=_folder(self._tracker.settings),
        )

    def close(self) -> None:
        """Begin no more conversations."""
        self._sessions.close()

    def _owned(self) -> Owned | None:
        held = self._view.held
        if not isinstance(held, Owned):
            return None
        held.owner.stays = True
        held.owner.observer = self._observer
        return held

    def _owner(self) -> Owner | None:
        owned = self._owned()
        return None if owned is None else owned.owner

    def _observe_with(self, observer: Observer) -> None:
        self._observer = observer
        self._owned()

    def _owned_and_served(self) -> tuple[Owner, Served] | None:
        owned = self._owned()
        return None if owned is None else (owned.owner, owned.served._replace(answer=partial(_answered, owned)))


def _answered(owned: Owned, what: str, arguments: Mapping[str, Any], timeout: float) -> Any:
    if what not in {"stats", "survey", "verify"}:  # the others name folders of this host
        raise ViewError(
            f"The owner of the view cannot be asked for {what!r} from elsewhere: do that on its host.", reason="unknown question"
        )
    return owned.ask(what, arguments, timeout)


def _folder(settings: Settings) -> Path | None:
    return None if settings.log.scheme == "memory" and settings.view is None else view_folder(settings)
