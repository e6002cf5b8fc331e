"""One tracker for all backends of a process that have the same log and settings: one view, one subscription, one way into the log."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

from eventresults.tracker import Tracker

if TYPE_CHECKING:
    from eventresults.config import Settings

_lock = threading.Lock()
_trackers: dict[Any, Tracker] = {}


def tracker_of(settings: Settings, owner: object) -> Tracker:
    """The tracker of these settings, made now if there is none that is open.

    An unnamed log in memory is its `owner`'s alone, and is closed with it.
    """
    if settings.log.scheme == "memory" and not settings.log.name:
        tracker = Tracker(settings)
        weakref.finalize(owner, tracker.close)
        return tracker
    key = tuple((name, getattr(settings, name)) for name in type(settings).model_fields)
    with _lock:
        for gone in [one for one, tracker in _trackers.items() if tracker.closed]:
            del _trackers[gone]
        found = _trackers.get(key)
        if found is None:
            found = _trackers[key] = Tracker(settings)
        return found


def _after_fork() -> None:
    global _lock  # noqa: PLW0603 - another thread of the parent may have had it
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
