"""What a server lets others read, and the threads that it has for that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from eventresults.log.base import Log
from eventresults.projector import Lifetimes
from eventresults.reading import FreshReader
from eventresults.view.live import LiveView


class Served(NamedTuple):
    """What a server lets others read."""

    view: LiveView
    reader: FreshReader
    log: Log
    log_id: Callable[[], str]
    generation: Callable[[], int]
    lifetimes: Lifetimes
    #: Answers `protocol.Ask`: called with what, its arguments and a timeout, on a thread of the pool.
    answer: Callable[[str, Mapping[str, Any], float], Any]
    #: Which partitions of these ids are not here; only a group's member lacks some.
    missing: Callable[[Sequence[str]], Collection[int]] = lambda _: ()


class Pool(Protocol):
    """Threads that may wait."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any) -> Any:
        """Call it on one of them."""
