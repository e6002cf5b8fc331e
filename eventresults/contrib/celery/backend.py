"""`EventResultsBackend`: Celery's result backend over the log."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import uuid_utils
from celery import current_app
from celery.backends.base import BaseBackend
from celery.exceptions import ImproperlyConfigured
from celery.result import result_from_tuple
from kombu.serialization import prepare_accept_content

from eventresults.client.backend import ACKNOWLEDGE_SECONDS
from eventresults.client.result import AsyncResult, GroupResult
from eventresults.client.tuples import plain
from eventresults.contrib.celery import facts, signals
from eventresults.contrib.celery.chords import Chords
from eventresults.contrib.celery.facts import CeleryDecoder
from eventresults.contrib.celery.observing import Observer
from eventresults.contrib.celery.options import read
from eventresults.contrib.celery.payloads import Payloads
from eventresults.contrib.celery.revoking import Revoking
from eventresults.contrib.celery.trackers import tracker_of
from eventresults.contrib.celery.waiting import Waiting
from eventresults.domain.events import GroupForgotten, GroupSaved, TaskEvent
from eventresults.errors import AppendTimeout, LogUnavailable, PrivacyError, ViewStale, ViewUnavailable
from eventresults.privacy.opening import Opener
from eventresults.recorder.recorder import Appended
from eventresults.tracker import Tracker

if TYPE_CHECKING:
    from eventresults.client.backend import Backend

#: What may go away by itself.
PASSING = (LogUnavailable, AppendTimeout, ViewStale, ViewUnavailable)


class EventResultsBackend(Waiting, Chords, Revoking, BaseBackend):  # type: ignore[misc]
    """Keeps results in a log. Made by Celery for `result_backend = "eventresults+kafka://host:9092/topic"`, and the like.

    The URL after `eventresults+` is that of `eventresults.connect`, its query and `result_backend_transport_options` hold settings of the
    tracker and the `Options` of this backend. Nothing is opened before it is used. One instance serves all threads of a process, and,
    forked, each child anew. Raises `ConfigError` for settings that cannot be used.
    """

    persistent = True
    supports_autoexpire = True
    supports_result_compression = True
    supports_failure_expires = True

    def __init__(self, app: Any, url: str | None = None, **kwargs: Any) -> None:
        super().__init__(app, url=url, expires_type=int, **kwargs)
        self.thread_safe = True
        self.settings, self.options = read(url, app.conf.get("result_backend_transport_options") or {})
        failure_expires = app.conf.get("result_failure_expires")
        self.failure_expires = self.expires if failure_expires is None else self.prepare_expires(failure_expires, type=int)
        self.payloads = Payloads(serializer=self.serializer, compression=self.compression, accept=self.accept)
        self.bodies = Payloads(
            serializer=app.conf.task_serializer, compression=None, accept=prepare_accept_content(app.conf.accept_content)
        )
        self.decoder = CeleryDecoder(self)
        self._open: tuple[Tracker, Backend] | None = None
        self._opening = threading.Lock()
        self._made_in = os.getpid()
        self.observer = Observer(self.options, lambda: self.home.recorder)
        signals.serve(self)
        self.serve_revokes()

    @property
    def tracker(self) -> Tracker:
        """The tracker behind it; made at the first use, and shared by the backends of this process that have its settings."""
        return self._opened()[0]

    @property
    def opened(self) -> bool:
        """Whether its tracker was made in this process; asks for none."""
        return self._open is not None

    @property
    def home(self) -> Backend:
        """What our own results ask."""
        return self._opened()[1]

    @property
    def opener(self) -> Opener:
        """What decrypts payloads."""
        return self.tracker.opener

    def tell_about(self, task_id: Any, name: str | None, args: Any, kwargs: Any) -> None:
        """This process works on a task: what keeps its values private may go by its name and arguments."""
        if self.settings.redact is not None or self.settings.encrypt is not None:
            self.home.recorder.about(str(task_id), name=name, args=args, kwargs=kwargs)

    def _opened(self) -> tuple[Tracker, Backend]:
        if self._open is None:
            with self._opening:
                self._check_process()
                if self._open is None:
                    tracker = tracker_of(self.settings, self)
                    self._open = (tracker, tracker.backend_for(self.decoder))
        return self._open

    def as_uri(self, include_password: bool = False) -> str:
        """The URL; passwords are shown only if asked for."""
        return f"eventresults+{self.url if include_password and self.url else self.settings.url}"

    def _check_process(self) -> None:
        if self.settings.log.scheme == "memory" and os.getpid() != self._made_in:
            raise ImproperlyConfigured(
                "eventresults+memory:// lives in one process, and this one was forked from it: use eventresults+sqlite:///path (or Kafka), "
                "or a pool of one process (--pool threads, or solo)."
            )

    # Storing

    def store_result(self, task_id: str, result: Any, state: str, traceback: Any = None, request: Any = None, **kwargs: Any) -> Any:
        """Record it; returns when the log has it (with an outbox: when this host has it). Tried again, it counts once."""
        kwargs.setdefault("event_id", uuid_utils.uuid7().hex)
        return super().store_result(task_id, result, state, traceback=traceback, request=request, **kwargs)

    def _store_result(
        self,
        task_id: Any,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        *,
        event_id: str,
        waits: bool = True,
        **_: Any,
    ) -> Any:
        if request is not None:
            self.tell_about(task_id, getattr(request, "task", None), getattr(request, "args", None), getattr(request, "kwargs", None))
        runtime, when = signals.runtime_of(request), signals.due_of(request)
        fact = facts.stored(self, str(task_id), result, state, traceback, request, event_id=event_id, runtime=runtime, when=when)
        if waits:
            self.record(fact)
        else:
            self.observer.tell(lambda: fact)
        return result

    def record(self, *events: TaskEvent) -> None:
        """Append these, and return when the log has them. Raises what an append does."""
        recorder = self.home.recorder
        self._accepted([recorder.append(event) for event in events])

    def _accepted(self, appended: list[Appended]) -> None:
        self.home.acknowledged([one.accepted for one in appended], ACKNOWLEDGE_SECONDS)

    def prepare_value(self, result: Any) -> Any:
        """As Celery's; a task may also return a result of ours."""
        return plain(result.as_tuple()) if isinstance(result, AsyncResult | GroupResult) else super().prepare_value(result)

    def _forget(self, task_id: Any) -> None:
        self.home.forget(str(task_id))

    # Reading

    def _get_task_meta_for(self, task_id: Any) -> dict[str, Any]:
        found = self.home.reader.get(str(task_id), freshness=self.options.freshness)
        return self.meta_of(task_id, found)

    def meta_of(self, task_id: Any, meta: Any) -> dict[str, Any]:
        """What Celery is to know of a task. In place of a value that is erased, or encrypted and without its key here, stands the error."""
        if meta is None:
            return facts.read(self, task_id, None)
        try:
            return facts.read(self, task_id, self.opener.whole(meta))
        except PrivacyError as error:
            return facts.read(self, task_id, self.opener.without(meta)) | {"result": error}

    def task_result_exists(self, task_id: Any) -> bool:
        """Whether the task is known: from its first fact on, until it is forgotten or expires."""
        return self.home.reader.get(str(task_id), freshness=self.options.freshness) is not None

    # Groups

    def _save_group(self, group_id: Any, result: Any) -> Any:
        self.record(
            GroupSaved(
                group_id=str(group_id), time=self.home.recorder.now(), results=plain(result.as_tuple()), result_expires=self.expires or 0
            )
        )
        return result

    def _restore_group(self, group_id: Any) -> dict[str, Any] | None:
        saved = self.home.reader.group(str(group_id))
        if saved is None or saved.results is None:
            return None
        return {"task_id": group_id, "result": result_from_tuple(saved.results, self.app)}

    def _delete_group(self, group_id: Any) -> None:
        self.record(GroupForgotten(group_id=str(group_id), time=self.home.recorder.now()))

    # What Celery asks beside

    def exception_safe_to_retry(self, exc: BaseException) -> bool:
        """Whether it may go away by itself: the log or the view could not be reached in time."""
        return isinstance(exc, PASSING)

    @property
    def is_extended(self) -> bool:
        """Whether results tell of arguments, name and queue."""
        return bool(self.app.conf.result_extended)

    def on_task_call(self, producer: Any, task_id: Any) -> dict[str, Any]:  # noqa: ARG002 - Celery's
        """A task is about to be published."""
        signals.calling(self, task_id)
        if self.observer.wants("sent"):
            self.observer.prepare()  # before the message goes out: whoever takes it may be faster than a log that opens
        return {}

    def flush(self, timeout: float) -> bool:
        """See off what this process still has to record; False when `timeout` seconds were not enough."""
        return self._open is None or self._open[0].flush(timeout)

    def process_cleanup(self) -> None:
        """See off what was only observed, as long as it may hold up the next task; what was stored is there already."""
        self.flush(self.options.observe_timeout)

    def cleanup(self) -> None:
        """Nothing: what expires leaves by itself."""

    def __reduce__(self, args: Any = (), kwargs: Any = None) -> Any:
        return partial(_unpickled, type(self)), (args, dict(kwargs or {}, url=self.url))


def _unpickled(cls: type[EventResultsBackend], args: Any, kwargs: dict[str, Any]) -> EventResultsBackend:
    """The backend that the current app has of this URL already, else one of its own."""
    app = current_app._get_current_object()  # noqa: SLF001 - as Celery's own backends do
    found = app.backend
    if isinstance(found, cls) and found.url == kwargs.get("url"):
        return found
    return cls(app, *args, **kwargs)
