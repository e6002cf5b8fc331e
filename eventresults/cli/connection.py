"""How a command reaches the tracker: the CLI's own patience, and news on stderr while a view catches up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eventresults.cli.logs import set_log_level
from eventresults.cli.progress import tell_lag
from eventresults.config import Settings, load_settings
from eventresults.domain.position import Position
from eventresults.errors import AppendTimeout

if TYPE_CHECKING:
    from eventresults.tracker import Tracker

#: A person waits for a view that is being built, unless they said how long.
PATIENCE = 600.0


def settings_of(url: str | None, view: str | None, **arguments: Any) -> Settings:
    """The settings of this command; options not given are left to the other places."""
    given = {name: value for name, value in {"view": view, **arguments}.items() if value is not None}
    settings = load_settings(url, **given)
    set_log_level(settings.log_level)
    return settings


@contextmanager
def opened(url: str | None, view: str | None, **arguments: Any) -> Iterator[Tracker]:
    """A tracker for one command, closed at its end. Only its first read opens the view."""
    settings = settings_of(url, view, **arguments)
    given = {name: value for name, value in {"view": view, **arguments}.items() if value is not None}
    if settings.sources["read_timeout"] == "default":
        given["read_timeout"] = PATIENCE
    from eventresults.tracker import connect  # noqa: PLC0415 - brings the log's and the view's libraries

    with connect(url, **given) as tracker:
        yield tracker


def settled(future: Future[Position], what: str) -> Position:
    """Where the log has put a fact. Raises what the recorder's futures do."""
    try:
        return future.result(PATIENCE)
    except TimeoutError as error:
        raise AppendTimeout(
            f"The log did not say in time whether it has {what}: ask `eventresults events tail`.", key=what, timeout=PATIENCE
        ) from error


@contextmanager
def catching_up(tracker: Tracker) -> Iterator[None]:
    """While the block reads: after a second of waiting, say on stderr how far the view is behind, until the block ends."""
    tracker.view.open()  # here, and not by the thread
    done = threading.Event()
    teller = threading.Thread(target=tell_lag, args=(tracker, done), name="eventresults-cli-progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join(5)
