"""What holds a view up: its readers who wait in vain are told, and so is whoever reads the logs, once while it stays the same."""

from __future__ import annotations

import logging
from time import monotonic

from eventresults.errors import EventResultsError, LogError, ViewError
from eventresults.view.live import LiveView

logger = logging.getLogger(__name__)

#: A trouble that stays the same is logged again after so many seconds.
REPEAT_SECONDS = 60.0


class Trouble:
    """Of one view, on the thread that moves it. `called` names the view in what is logged."""

    def __init__(self, view: LiveView, called: str) -> None:
        self._view = view
        self._called = called
        self._said = ""
        self._said_at = 0.0

    def take(self, error: Exception) -> None:
        """The view does not move because of this. What is no error of a log or a view is a defect, and logged with its trace."""
        known = isinstance(error, EventResultsError)
        self._view.hold_up(error if known else ViewError(f"the projector failed: {error!r}", reason=repr(error)))  # type: ignore[arg-type]
        if self._said == str(error) and monotonic() - self._said_at <= REPEAT_SECONDS:
            return
        self._said, self._said_at = str(error), monotonic()
        expected = isinstance(error, LogError | ViewError)
        logger.log(
            logging.WARNING if expected else logging.ERROR, "%s is held up: %s", self._called, error, exc_info=None if expected else error
        )

    def over(self) -> None:
        """The view moves."""
        if self._view.trouble is not None:
            logger.info("%s moves again", self._called)
            self._view.hold_up(None)
