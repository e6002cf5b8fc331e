"""Projections that were added or changed: the view is built anew beside itself, with them, and put in place of itself."""

from __future__ import annotations

import logging
import threading
from typing import Final

from eventresults.errors import Closed, EventResultsError
from eventresults.service.afresh import rebuild
from eventresults.service.owner import Owner

logger = logging.getLogger(__name__)

#: Before it is tried again.
RETRY_SECONDS: Final = 5.0
JOIN_SECONDS: Final = 4.0


class Rebuilding:
    """Brings about that no projection of this owner is `behind`, on a thread of its own, if one is. Readers go on meanwhile."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        if owner.behind:
            self._thread = threading.Thread(target=self._run, name="eventresults-rebuilding", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Leave it as it is. Idempotent."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        owner, said = self._owner, ""
        while (behind := owner.behind) and not self._over.is_set() and owner.check():
            logger.info("the view at %s is built anew for its projections %s", owner.place.name, ", ".join(behind))
            try:
                rebuild(owner, progress=self._look)
            except Closed:
                return
            except Exception as error:
                if str(error) != said:
                    said = str(error)
                    expected = isinstance(error, EventResultsError)
                    logger.warning("it could not be, and is tried again: %s", error, exc_info=not expected)
                self._over.wait(RETRY_SECONDS)
            finally:
                owner.view.building = None

    def _look(self, done: int, total: int) -> None:
        self._owner.view.building = done, total
        if self._over.is_set():
            raise Closed("The view was closed while it was built anew.", what="view")
