"""Celery's remote control, whose requests to revoke are also recorded: workers that are away obey them when they come back."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from celery.app.control import Control as CeleryControl
from celery.utils.functional import maybe_list

from eventresults.client.backend import ACKNOWLEDGE_SECONDS
from eventresults.contrib.celery.signals import serves
from eventresults.domain.events import TaskRevokeRequested
from eventresults.recorder import Recorder

if TYPE_CHECKING:
    from eventresults.contrib.celery.backend import EventResultsBackend

logger = logging.getLogger(__name__)

#: Where Celery keeps its own.
CELERYS: Final = ("celery.app.control:Control", CeleryControl)
OURS: Final = "eventresults.contrib.celery.control:Control"
_LONGEST: Final = 1_024  # bytes of an id
_STAMPS: Final = "revoke_by_stamped_headers"
_REVOKING: Final = frozenset({"revoke", "terminate", _STAMPS})


def take_control(app: Any, *, anew: bool = False) -> None:
    """Have the app's control record requests to revoke, if it is Celery's own. One that was made already stays, unless `anew`."""
    if app.control_cls in CELERYS and (anew or "control" not in vars(app)):
        app.control_cls = OURS
        vars(app).pop("control", None)


class Control(CeleryControl):  # type: ignore[misc]
    """As Celery's. A request to all workers to revoke tasks is in the log when the call returns, also where the broker fails."""

    @property
    def records_revokes(self) -> bool:
        """Whether it records them: the app's results are ours, and `durable_revokes` is on."""
        return self._recording is not None

    @property
    def _recording(self) -> EventResultsBackend | None:
        backend = self.app.backend
        return backend if serves(backend) and backend.options.durable_revokes else None

    def broadcast(self, command: str, arguments: Any = None, destination: Any = None, *rest: Any, **options: Any) -> Any:
        """See Celery's. What is sent to some workers alone (`destination`, `pattern`) is not recorded: it would bind all."""
        backend = self._recording
        if command not in _REVOKING or destination or options.get("pattern") or backend is None:
            return super().broadcast(command, arguments, destination, *rest, **options)
        home = backend.home
        recorded = [home.recorder.append(request) for request in requests(command, {**(arguments or {}), **options}, home.recorder)]
        try:
            return super().broadcast(command, arguments, destination, *rest, **options)
        finally:
            home.acknowledged([one.accepted for one in recorded], ACKNOWLEDGE_SECONDS)


def requests(command: str, arguments: Mapping[str, Any], recorder: Recorder) -> Iterator[TaskRevokeRequested]:
    """The facts of one command: one for each task; one for all stamps, under an id that follows from them."""
    signal = arguments.get("signal")
    about: dict[str, Any] = {
        "time": recorder.now(),
        "terminate": command == "terminate" or bool(arguments.get("terminate")),
        "signal": None if signal is None else str(signal),
        "by": recorder.source,
    }
    if command == _STAMPS:
        stamps = stamps_of(arguments.get("headers"))
        if stamps:
            yield TaskRevokeRequested(task_id=stamped_id(stamps), stamps=stamps, **about)
        return
    for task_id in maybe_list(arguments.get("task_id")) or ():
        request = TaskRevokeRequested(task_id=str(task_id), **about)
        if 0 < len(request.task_id.encode("utf-8", "replace")) <= _LONGEST:
            yield request
        else:
            logger.warning("the request to revoke %.64r is not recorded: an id has 1 to 1,024 bytes", task_id)


def stamps_of(headers: Any) -> dict[str, list[Any]]:
    """Header -> stamps, of what Celery's command takes: a mapping, or texts like `header=stamp`."""
    if isinstance(headers, list | tuple):
        headers = dict(text.split("=", 1) for text in headers)
    return {str(header): [_plain(stamp) for stamp in maybe_list(stamps)] for header, stamps in (headers or {}).items()}


def stamped_id(stamps: Mapping[str, list[Any]]) -> str:
    """The id under which a request by these stamps is recorded; to forget it ends the request."""
    told = json.dumps(stamps, sort_keys=True)
    return f"revoke-by-stamps-{blake2b(told.encode(), digest_size=16).hexdigest()}"


def _plain(stamp: Any) -> Any:
    return stamp if stamp is None or isinstance(stamp, str | int | float | bool) else str(stamp)
