"""One promise for many tasks: kept when the last of them is ready."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from eventresults.client.pending import Outcome, Promise, Runner, run_here

if TYPE_CHECKING:
    from eventresults.client.asyncresult import AsyncResult
    from eventresults.client.backend import Backend
    from eventresults.client.membership import Membership


class AllReady:
    """Waits for all tasks of a `ResultSet`, those added meanwhile too.

    Fires once: its promise then holds the set, and the exception of the first (in the set's order) that failed.
    """

    def __init__(self, target: Membership) -> None:
        leaves = list(target.leaves())
        self.promise = Promise(_runner(leaves))
        self._target = weakref.ref(target)
        self._kept: Membership | None = None
        self._lock = threading.RLock()
        self._open: dict[int, AsyncResult] = {}
        self._fired = False
        # One more than there are tasks, so that it cannot fire before all are listed.
        self._gathering = True
        self._follow(leaves)

    def start(self, *, weak: bool) -> None:
        """Have the promise kept; unless `weak`, the set stays alive until then."""
        if not weak:
            self._kept = self._target()
        by_backend: dict[Backend, list[AsyncResult]] = {}
        with self._lock:
            for leaf in self._open.values():
                if not leaf.is_settled:
                    by_backend.setdefault(leaf.backend, []).append(leaf)
        for backend, leaves in by_backend.items():
            backend.registry.add(leaves, weak=weak)
        with self._lock:
            self._gathering = False
        self._fire_if_done()

    def add(self, leaves: Iterable[AsyncResult]) -> None:
        """Wait for these too, unless it has fired."""
        with self._lock:
            if self._fired:
                return
            self._gathering = True
        self._follow(leaves)
        self.start(weak=self._kept is None)

    def drop_others(self, leaves: Iterable[AsyncResult]) -> None:
        """Wait for no task but these."""
        left = {id(leaf) for leaf in leaves}
        with self._lock:
            self._open = {key: leaf for key, leaf in self._open.items() if key in left}
        self._fire_if_done()

    def _follow(self, leaves: Iterable[AsyncResult]) -> None:
        for leaf in leaves:
            if leaf.is_settled:
                continue
            with self._lock:
                if id(leaf) in self._open:
                    continue
                self._open[id(leaf)] = leaf
            leaf.on_ready.then(partial(self._arrived, leaf), partial(self._told_of_error, leaf))

    def _arrived(self, leaf: AsyncResult, _: object = None) -> None:
        with self._lock:
            self._open.pop(id(leaf), None)
        self._fire_if_done()

    def _told_of_error(self, leaf: AsyncResult, error: BaseException) -> None:
        if leaf.is_settled:
            self._arrived(leaf)
        else:  # nobody will tell whether it gets ready
            self._end(Outcome(None, error))

    def _fire_if_done(self) -> None:
        target = self._target()
        if self._open or self._gathering or target is None:
            return
        failures = (leaf.failure() for leaf in target.leaves())
        self._end(Outcome((target,), next((error for error in failures if error is not None), None)))

    def _end(self, outcome: Outcome) -> None:
        with self._lock:
            if self._fired:
                return
            self._fired = True
            self._open.clear()
        target, self._kept = self._target(), None
        if target is not None:
            target.fired(self)
        self.promise.settle(outcome)


def _runner(leaves: Iterable[AsyncResult]) -> Runner:
    """The callback thread of the tracker that tells of them; local results need none."""
    return next((leaf.backend.callbacks.put for leaf in leaves if not leaf.is_local), run_here)
