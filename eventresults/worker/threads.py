"""Tasks that run in the executor's own threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from eventresults.client.joins import inside_task
from eventresults.errors import WorkerLostError
from eventresults.worker.attempt import Outcome, attempt
from eventresults.worker.context import CurrentTask
from eventresults.worker.job import Job


class ThreadRunner:
    """Runs each attempt in the thread that asks. No thread can be ended from outside, so `terminate` always declines."""

    def __init__(self, initializer: Callable[..., object] | None, initargs: Sequence[Any]) -> None:
        self._initializer = initializer
        self._initargs = initargs

    def prepare(self) -> int:
        """See `Runner.prepare`."""
        if self._initializer is not None:
            try:
                self._initializer(*self._initargs)
            except Exception as error:
                raise WorkerLostError(
                    f"The executor's initializer failed in a worker thread: {error!r}. Mend it and submit again.", pid=os.getpid()
                ) from error
            self._initializer = None
        return os.getpid()

    def run(self, job: Job, task: CurrentTask) -> Outcome:
        """See `Runner.run`."""
        return attempt(job.call.make, task, inside_task())

    def terminate(self, job: Job, signal: str) -> bool:  # noqa: ARG002
        """See `Runner.terminate`."""
        return False

    def close(self) -> None:
        """See `Runner.close`."""
