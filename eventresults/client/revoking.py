"""Asking that tasks be not run, or not any more; and that they be forgotten."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from eventresults.client.waiting import Deadline, arrivals
from eventresults.domain.position import Position
from eventresults.errors import ConfigError, ResultTimeout

if TYPE_CHECKING:
    from eventresults.client.asyncresult import AsyncResult
    from eventresults.client.backend import Backend


logger = logging.getLogger(__name__)


def revoke(
    results: Sequence[AsyncResult], app: Any, *, connection: Any, terminate: bool, signal: str | None, wait: bool, timeout: float | None
) -> None:
    """Record the requests, and pass them on to the workers of a Celery app. See `AsyncResult.revoke`."""
    deadline = Deadline(timeout)
    control = getattr(app, "control", None)
    futures = []
    if not getattr(control, "records_revokes", False):
        futures = [result.backend.request_revoke(result.id, terminate=terminate, signal=signal) for result in results]
    if control is not None:
        ids = [result.id for result in results]
        control.revoke(
            ids if len(ids) != 1 else ids[0], connection=connection, terminate=terminate, signal=signal, reply=wait, timeout=timeout
        )
    if not wait:
        for future in futures:
            future.add_done_callback(_log_failure)
    elif control is None:
        for future in futures:
            try:
                future.result(deadline.remaining())
            except TimeoutError:
                return
        try:
            for _ in arrivals(results, timeout=deadline.remaining()):
                pass
        except ResultTimeout:
            return


def _log_failure(future: Future[Position]) -> None:
    """Nobody waits for it, so nobody else would be told."""
    if not future.cancelled() and future.exception() is not None:
        logger.error("a request to revoke was not recorded: %s", future.exception())


def forget(results: Sequence[AsyncResult]) -> None:
    """Record that these are forgotten, and return when the log has it. See `AsyncResult.forget`."""
    results = [result for result in results if not result.is_local]
    for result in results:
        result.lose()
        result.backend.remove_pending_result(result)
    by_backend: dict[Backend, list[str]] = {}
    for result in results:
        by_backend.setdefault(result.backend, []).append(result.id)
    for backend, ids in by_backend.items():
        backend.forget(*ids)


def revoke_by_stamped_headers(app: Any, headers: dict[str, Any], **arguments: Any) -> None:
    """Pass it on to Celery's control. Raises `ConfigError` where there is none."""
    control = getattr(app, "control", None)
    if control is None:
        raise ConfigError(
            "Only Celery's tasks carry stamped headers: make the result with app=<your Celery app>, or revoke tasks by their ids.",
            setting="app",
        )
    control.revoke_by_stamped_headers(headers, **arguments)
