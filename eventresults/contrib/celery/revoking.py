"""Revoked tasks, as the backend stores them; and what its app's control and workers have to do with that."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from celery import states
from celery.exceptions import TaskRevokedError

from eventresults.contrib.celery import facts
from eventresults.contrib.celery.control import take_control
from eventresults.contrib.celery.options import Options
from eventresults.contrib.celery.revokes import Revokes, obey, serve
from eventresults.domain.meta import TaskMeta
from eventresults.errors import EventResultsError

if TYPE_CHECKING:
    from eventresults.client.backend import Backend


class Revoking:
    """The part of a Celery backend that has to do with revoking."""

    app: Any
    options: Options
    store_result: Callable[..., Any]
    on_chord_part_return: Callable[..., Any]
    get_task_meta: Callable[[Any], dict[str, Any]]

    #: What the main process of a worker obeys.
    revokes: Revokes | None = None

    @property
    def home(self) -> Backend:
        """What our own results ask."""
        raise NotImplementedError

    def serve_revokes(self) -> None:
        """Have the app's control record requests, and its workers obey them."""
        if self.options.durable_revokes:
            take_control(self.app)
            serve()

    def obey_revokes(self, consumer: Any) -> None:
        """A worker of this app is ready."""
        if self.options.durable_revokes:
            self.revokes = obey(lambda: self.home, consumer)

    def mark_as_revoked(
        self, task_id: Any, reason: str = "", request: Any = None, store_result: bool = True, state: str = states.REVOKED
    ) -> None:
        """Store that the task was revoked: once, however many workers do."""
        if store_result:
            meta = self._glance(str(task_id))
            if meta is None or meta.state != state or not meta.finished:
                event_id = facts.revocation_id(str(task_id), reason, meta)
                # Told by a command to a worker that has no such task: the request is in the log, and a command may name thousands.
                waits = request is not None or self._commanded is None
                self.store_result(task_id, TaskRevokedError(reason), state, request=request, event_id=event_id, waits=waits)
        if request and request.chord:
            self.on_chord_part_return(request, state, TaskRevokedError(reason))

    def get_state(self, task_id: Any) -> str:
        """The state of a task."""
        commanded = self._commanded
        return self.get_task_meta(task_id)["status"] if commanded is None else commanded.state_of(str(task_id))

    @property
    def _commanded(self) -> Revokes | None:
        """What is obeyed, on the thread on which a worker obeys commands."""
        return self.revokes if self.revokes is not None and self.revokes.on_main_loop else None

    def _glance(self, task_id: str) -> TaskMeta | None:
        """What the view holds of a task, if it tells at once."""
        commanded = self._commanded
        known, meta = (False, None) if commanded is None else commanded.seen(task_id)
        if known:
            return meta
        try:
            return self.home.reader.get(task_id, freshness="applied", timeout=self.options.observe_timeout)
        except EventResultsError:
            return None
