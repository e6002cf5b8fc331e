"""Looking now and then whether a view is still what its log says, beside the thread that moves it.

To ask a broker takes up to some ten milliseconds, and whatever came meanwhile would wait for the answer.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from eventresults.errors import EventResultsError

logger = logging.getLogger(__name__)


class Lookout:
    """Asks `suspects()` every `seconds`, on a thread of its own from `start` to `close`.

    Being `alarmed` is a reason to look, not a finding: whoever moves the view is woken by `wake` and looks for itself, and `rest`s it.
    """

    def __init__(self, suspects: Callable[[], bool], seconds: float, *, wake: Callable[[], None]) -> None:
        #: Whether somebody should look.
        self.alarmed = False
        self._suspects = suspects
        self._seconds = seconds
        self._wake = wake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="eventresults-lookout", daemon=True)

    def start(self) -> None:
        """Begin. Once."""
        self._thread.start()

    def alarm(self) -> None:
        """Have the view looked at. Any thread."""
        self.alarmed = True
        self._wake()

    def rest(self) -> None:
        """Somebody looks now."""
        self.alarmed = False

    def close(self, timeout: float) -> None:
        """Ask no more; waits at most `timeout` seconds for an answer that is on its way. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                suspicious = self._suspects()
            except Exception as error:  # whoever looks meets it, too, and says so
                suspicious = True
                if not isinstance(error, EventResultsError):
                    logger.warning("a look at the log failed", exc_info=error)
            if suspicious and not self._stop.is_set():
                self.alarm()
