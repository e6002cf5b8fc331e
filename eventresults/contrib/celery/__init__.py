"""The Celery result backend: `result_backend = "eventresults+kafka://host:9092/task-events"`."""

from eventresults.contrib.celery import joinflag as joinflag  # shares Celery's mark
from eventresults.contrib.celery import rescue as rescue  # listens to the workers of this process
from eventresults.contrib.celery.backend import EventResultsBackend
from eventresults.contrib.celery.results import as_of, history, install, wait_async, watch

__all__ = ["EventResultsBackend", "as_of", "history", "install", "wait_async", "watch"]
