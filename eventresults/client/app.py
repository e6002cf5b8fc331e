"""Which app a result belongs to: the one it was given, else the current one of this process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from eventresults.errors import ConfigError

if TYPE_CHECKING:
    from eventresults.client.backend import Backend


class App(Protocol):
    """What a result asks of its app. A `Tracker` is one, and so is a `Backend` alone."""

    @property
    def backend(self) -> Backend:
        """What answers and records."""


def current_app() -> App:
    """The app that was made current last and is still open. Raises `ConfigError` when there is none."""
    apps = _apps
    if not apps:
        raise ConfigError("There is no tracker to ask: call eventresults.connect(...) first, or pass app=tracker.", setting="app")
    return apps[-1]


def set_current(app: App) -> None:
    """Make this app the current one, for all threads."""
    global _apps  # noqa: PLW0603 - replaced as a whole, so that reading it needs no lock
    with _changing:
        _apps = (*(one for one in _apps if one is not app), app)


def unset_current(app: App) -> None:
    """Take this app back; the one that was current before it is so again. Nothing happens when it never was."""
    global _apps  # noqa: PLW0603
    with _changing:
        _apps = tuple(one for one in _apps if one is not app)


def backend_of(app: Any) -> Backend:
    """The backend of a tracker, or of a Celery app whose result backend is ours (told by its `tracker`; Celery is not imported).

    Raises `ConfigError` for anything else.
    """
    found = ours(getattr(app, "backend", None))
    if found is None:
        raise ConfigError(
            f"The app {app!r} is no tracker and does not keep its results in one: pass app=eventresults.connect(...), or set "
            "result_backend='eventresults+kafka://…' on the Celery app.",
            setting="app",
        )
    return found


def ours(backend: Any) -> Backend | None:
    """The backend itself, or the one behind a Celery result backend of ours; None for anything else."""
    tracker = getattr(backend, "tracker", None)
    found: Any = backend if tracker is None else getattr(backend, "home", tracker.backend)
    return found if hasattr(found, "reader") and hasattr(found, "recorder") else None


def url_of(app: Any) -> str | None:
    """The masked URL of the app's log, where it tells."""
    tracker = getattr(getattr(app, "backend", None), "tracker", app)
    url = getattr(tracker, "url", None)
    return url if isinstance(url, str) else None


_changing = threading.Lock()
_apps: tuple[App, ...] = ()
