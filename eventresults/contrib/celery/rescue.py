"""Chords whose writer died: every worker looks for those that are complete and that nobody sends the body of.

A worker looks when it is ready, and then again before the shortest claim that it saw ends; so a chord is seen to within twice
`claim_timeout` of its writer's death, by whichever worker lives. The log lets one of them claim it.
"""

from __future__ import annotations

import logging
import random
import threading
from typing import Any, Final

from celery import signals, states

from eventresults.contrib.celery.bodies import Dispatch
from eventresults.contrib.celery.chords import Chords
from eventresults.errors import Closed, EventResultsError
from eventresults.recorder import Recorder

logger = logging.getLogger(__name__)

#: Between two looks, at least.
SHORTEST_SECONDS: Final = 0.05
JOIN_SECONDS: Final = 5.0

_by_worker: dict[int, Rescuer] = {}


class Rescuer:
    """Looks for chords that were left, on a thread of its own from `start` to `stop`."""

    def __init__(self, backend: Chords) -> None:
        self._backend = backend
        self._stopped = threading.Event()
        self._woken = threading.Event()
        self._repeated: list[Any] = []
        #: Chords that could not be seen to, which is said once of each.
        self._hopeless: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="eventresults-chords", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what is under way is finished, unless that takes long."""
        self._stopped.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def repeat(self, request: Any) -> None:
        """This task of a chord was delivered again: if it has succeeded already, and so will not run, record its part again."""
        self._repeated.append(request)
        self._woken.set()

    def look(self) -> float:
        """See to what stands open; the seconds until the next look. Raises `EventResultsError` when the view cannot be read."""
        pause = self._backend.options.claim_timeout / 2
        cursor = None
        hopeless, self._hopeless = self._hopeless, set()
        while not self._stopped.is_set():
            page = self._backend.home.reader.opened("group", cursor=cursor, freshness="applied")
            for row in page.items:
                claim = row.facts["claim"]
                held = 0.0 if claim is None else (claim["until"] - Recorder.now()).total_seconds()
                if held > 0:
                    pause = min(pause, held)
                elif not self._stopped.is_set() and not self._see_to(row.subject, said=row.subject in hopeless):
                    self._hopeless.add(row.subject)
            cursor = page.cursor
            if cursor is None:
                break
        # Workers that look at the same time would claim the same chords in vain.
        return max(pause, SHORTEST_SECONDS) * random.uniform(1.0, 1.2)  # noqa: S311 - not for secrets

    def _see_to(self, group_id: str, *, said: bool) -> bool:
        """False if this worker cannot; with `said` that was said before."""
        try:
            if Dispatch(self._backend, group_id).run():
                logger.info("the body of the chord %s was sent in the place of another worker", group_id)
        except Closed:
            raise
        except Exception:
            if not said:
                logger.exception("the chord %s cannot be seen to by this worker", group_id)
            return False
        return True

    def _run(self) -> None:
        said = ""
        while not self._stopped.is_set():
            try:
                while self._repeated:
                    self._record_again(self._repeated.pop(0))
                pause = self.look()
                said = ""
            except Closed:
                return
            except EventResultsError as error:
                pause = self._backend.options.claim_timeout / 2
                if str(error) != said:
                    said = str(error)
                    logger.warning("cannot look for chords that were left, trying again every %g s: %s", pause, error)
            except Exception:
                pause = self._backend.options.claim_timeout / 2
                logger.exception("cannot look for chords that were left, trying again in %g s", pause)
            self._woken.wait(pause)
            self._woken.clear()

    def _record_again(self, request: Any) -> None:
        meta = self._backend.home.reader.get(str(request.id))
        if meta is not None and meta.state == states.SUCCESS:
            value = self._backend.payloads.decode(self._backend.opener.wire(meta.result))
            self._backend.on_chord_part_return(request, states.SUCCESS, value)


def _begin(sender: Any = None, **_: Any) -> None:
    """A worker is ready."""
    backend = sender.app.backend
    if isinstance(backend, Chords) and id(sender.app) not in _by_worker:
        rescuer = _by_worker[id(sender.app)] = Rescuer(backend)
        rescuer.start()


def _end(sender: Any = None, **_: Any) -> None:
    """A worker ends."""
    rescuer = _by_worker.pop(id(getattr(sender, "app", None)), None)
    if rescuer is not None:
        rescuer.stop()


def _received(request: Any = None, **_: Any) -> None:
    """A task was delivered. One that succeeded before does not run again where workers deduplicate, and would never return its part."""
    if not request.delivery_info.get("redelivered") or not request.app.conf.worker_deduplicate_successful_tasks:
        return
    rescuer = _by_worker.get(id(request.app))
    if rescuer is not None and request.chord:
        rescuer.repeat(request)


signals.worker_ready.connect(_begin, weak=False, dispatch_uid="eventresults.chords")
signals.worker_shutdown.connect(_end, weak=False, dispatch_uid="eventresults.chords")
signals.task_received.connect(_received, weak=False, dispatch_uid="eventresults.chords")
