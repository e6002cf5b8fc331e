"""The Celery result backend: `result_backend = "eventresults+kafka://host:9092/task-events"`."""

from eventresults.contrib.celery import rescue as rescue  # listens to the workers of this process
from eventresults.contrib.celery.backend import EventResultsBackend

__all__ = ["EventResultsBackend"]
