"""The body of a chord: claimed by one at a time, sent under its own id, recorded as sent."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import uuid_utils
from celery import states
from celery._state import _task_stack
from celery.app.amqp import _callback_publish_max_retries
from celery.backends.base import _create_chord_error_with_cause
from celery.canvas import maybe_signature
from celery.exceptions import ChordError
from celery.result import allow_join_result, result_from_tuple

from eventresults.contrib.celery.sent import following
from eventresults.domain.events import GroupDispatched, GroupDispatching
from eventresults.domain.meta import GroupMeta
from eventresults.errors import EventResultsError
from eventresults.recorder import Recorder

if TYPE_CHECKING:
    from eventresults.contrib.celery.chords import Chords

logger = logging.getLogger(__name__)


class Dispatch:
    """One attempt to send the body of a group that is complete. `request`: the task whose part completed it, if that is at hand.

    A claim holds for `claim_timeout` seconds, or as long as publishing may take. Whoever dies holding one is followed by another attempt,
    which sends the body again under the same id; without a crash it is sent once.
    """

    def __init__(self, backend: Chords, group_id: str, request: Any = None) -> None:
        self._backend = backend
        self._group_id = group_id
        self._request = request
        self._by = f"{backend.home.recorder.source}#{uuid_utils.uuid7().hex}"
        self._until = Recorder.now()
        self._body_id: str | None = None

    def run(self) -> bool:
        """Whether the body was sent, or told that its parts failed; False: somebody else sees to it.

        Raises `EventResultsError` when that could not be known.
        """
        body = self._body()
        if body is None:
            return False
        self._body_id = body.options.get("task_id")
        group = self._claim(self._backend.options.claim_timeout)
        if group is None:
            return False
        try:
            if not self._send(body, group):
                return False
        except Exception:
            logger.exception("the chord %s is left to another worker", self._group_id)
            return False
        self._record()
        return True

    def _body(self) -> Any:
        """The body, as this process can send it."""
        carried = getattr(self._request, "chord", None)
        if carried is None:
            group = self._backend.home.reader.group(self._group_id)
            if group is None or not group.complete or group.dispatched is not None:
                return None
            if group.body is None:
                raise ChordError(f"the body of the chord {self._group_id} is not in the log: none but its own parts can send it")
            carried = self._backend.bodies.decode(self._backend.opener.wire(group.body))
        return maybe_signature(carried, app=self._backend.app)

    def _claim(self, seconds: float) -> GroupMeta | None:
        """The group, once it is ours to see to; None if it is another's."""
        now = Recorder.now()
        until = now + timedelta(seconds=seconds)
        fact = self._backend.group_fact(self._group_id) | {"time": now}
        at = self._backend.append(
            GroupDispatching(**fact, by=self._by, body_id=self._body_id, until=until, result_expires=self._backend.chord_expires)
        )
        group = self._backend.home.reader.group(self._group_id, freshness=at)
        if group is None or not group.complete or group.dispatched is not None or (group.claim or {}).get("by") != self._by:
            return None
        self._until = until
        return group

    def _send(self, body: Any, group: GroupMeta) -> bool:
        """Whether it was sent, or told that it cannot be; False: it is another's by now."""
        app = self._backend.app
        try:
            values = joined(self._backend, group)
        except ChordError as error:
            logger.exception("the parts of the chord %s cannot be joined", self._group_id)
            self._backend.chord_error_from_stack(body, error)
            return True
        except Exception as error:
            logger.exception("the parts of the chord %s cannot be joined", self._group_id)
            self._backend.chord_error_from_stack(body, ChordError(f"Join error: {error!r}"))
            return True
        lease = self._backend.options.claim_timeout
        needed = publishing_seconds(app.conf, body, lease)
        if self._until - Recorder.now() < timedelta(seconds=needed) and self._claim(max(needed, lease)) is None:
            logger.warning("the body of the chord %s was not sent: another worker claimed it meanwhile", self._group_id)
            return False
        parent_id, root_id = self._lineage(body, group)
        try:
            with _working_on(app, parent_id, root_id), following(self._group_id):
                app.amqp._retry_publish(body.apply_async, (values,), parent_id=parent_id, root_id=root_id)  # noqa: SLF001 - as Celery's
        except Exception as error:
            logger.exception("the body of the chord %s cannot be sent", self._group_id)
            self._backend.chord_error_from_stack(body, ChordError(f"Callback error: {error!r}"))
        return True

    def _record(self) -> None:
        fact = self._backend.group_fact(self._group_id)
        try:
            self._backend.append(GroupDispatched(**fact, body_id=self._body_id, result_expires=self._backend.chord_expires))
        except EventResultsError as error:
            logger.warning("the body of the chord %s was sent, which cannot be recorded: it may be sent again: %s", self._group_id, error)

    def _lineage(self, body: Any, group: GroupMeta) -> tuple[str, str]:
        """Who sends the body: the task whose part was the last; and the first task of the whole workflow."""
        root_id = body.options.get("root_id")
        if self._request is not None:
            return self._request.id, root_id or self._request.root_id or self._request.id
        last = next(reversed(group.parts or {}), "").rpartition("/")[0] or self._group_id
        if not root_id:
            part = self._backend.home.reader.get(last, freshness="applied")
            root_id = None if part is None else part.root_id
        return last, root_id or last


def joined(backend: Chords, group: GroupMeta) -> list[Any]:
    """The values of the parts, in order of the header, built as it is. Raises `ChordError` for the first that failed."""
    told = {fact.position.offset: fact.event for fact in backend.home.reader.history(group.group_id, freshness=group.position)}
    parts = list((group.parts or {}).items())
    if backend.options.result_chord_ordered:
        parts.sort(key=lambda part: _index(part[0]))
    values = [(key.rpartition("/")[0], _value(backend, key, state, told[offset])) for key, (state, offset) in parts]
    if group.structure is None:
        return [value for _, value in values]
    by_task = dict(reversed(values))
    header = result_from_tuple(group.structure, app=backend.app)
    try:
        return [_built(one, by_task) for one in header.results]
    except KeyError:  # some part of it came by another id: the results tell
        with allow_join_result():
            return list(header.join_native(timeout=backend.app.conf.result_chord_join_timeout, propagate=True))


def _built(result: Any, by_task: dict[str, Any]) -> Any:
    if hasattr(result, "results"):
        return [_built(one, by_task) for one in result.results]
    return by_task[str(result.id)]


def _index(key: str) -> float:
    index = key.rpartition("/")[2]
    return int(index) if index else math.inf


def _value(backend: Chords, key: str, state: str, part: Any) -> Any:
    value = backend.payloads.decode(backend.opener.wire(part.result))
    if state in states.EXCEPTION_STATES:
        value = backend.exception_to_python(value)
    if state in states.PROPAGATE_STATES:
        raise _create_chord_error_with_cause(message=f"Dependency {key.rpartition('/')[0]} raised {value!r}", original_exc=value)
    return value


def publishing_seconds(conf: Any, body: Any, otherwise: float) -> float:
    """About the longest that publishing with retries takes, the broker's word included; `otherwise`, doubled, if nothing bounds it."""
    default = conf.task_publish_retry_policy or {}
    policy = {**default, **(body.options.get("retry_policy") or {})}
    retry = body.options.get("retry")
    timeout = conf.broker_connection_timeout
    if timeout is None:
        return otherwise * 2
    retries = _callback_publish_max_retries(policy, default) if (conf.task_publish_retry if retry is None else retry) else 0
    retries, timeout = max(0, int(retries)), max(0.0, float(timeout))
    pauses = {"interval_start": 0.0, "interval_step": 0.2, "interval_max": 1.0}
    start, step, most = (float(policy.get(name, usual)) for name, usual in pauses.items())
    return (retries + 1) * timeout + sum(min(start + step * number, most) for number in range(retries)) + timeout


@contextmanager
def _working_on(app: Any, task_id: str, root_id: str) -> Iterator[None]:
    """Send as that task does: what a chain sends has the parent and root of the task at work, whatever it is told."""
    current = app.current_worker_task
    if current is not None and current.request.id == task_id:
        yield
        return
    task = app.tasks["celery.accumulate"]
    _task_stack.push(task)
    task.push_request(id=task_id, root_id=root_id, called_directly=False, delivery_info={})
    try:
        yield
    finally:
        task.pop_request()
        _task_stack.pop()
