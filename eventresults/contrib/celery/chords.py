"""Chords without polling: each part is a fact of its group, and the fact that completes the count elects who sends the body."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import uuid_utils
from celery.result import GroupResult
from celery.utils.functional import _regen
from kombu.exceptions import EncodeError

from eventresults.client.backend import ACKNOWLEDGE_SECONDS
from eventresults.client.tuples import plain
from eventresults.contrib.celery.bodies import Dispatch
from eventresults.contrib.celery.payloads import Payloads
from eventresults.domain.events import GroupPart, GroupSized, TaskEvent
from eventresults.domain.position import Position
from eventresults.errors import EventResultsError
from eventresults.privacy.opening import Opener
from eventresults.recorder import Recorder
from eventresults.recorder.recorder import Appended

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventresults.client.backend import Backend
    from eventresults.contrib.celery.options import Options

logger = logging.getLogger(__name__)


class Chords:
    """The part of a Celery backend that joins chords.

    A group's facts, in log order: `group-sized` with the body as the chord is applied; `group-part` as tasks end; `group-sized` with the
    size, just before the last task is sent; `group-dispatching` and `group-dispatched` as the body is. Whose fact completes the count
    sends the body (see `Dispatch`); should it die before that, a worker does (see `eventresults.contrib.celery.rescue`).
    """

    app: Any
    options: Options
    payloads: Payloads
    bodies: Payloads
    expires: int | None
    prepare_expires: Callable[..., Any]
    encode_result: Callable[[Any, str], Any]
    exception_to_python: Callable[[Any], Any]
    chord_error_from_stack: Callable[..., Any]
    _ensure_retryable: Callable[..., Any]

    @property
    def home(self) -> Backend:
        """What our own results ask."""
        raise NotImplementedError

    @property
    def opener(self) -> Opener:
        """What decrypts payloads."""
        raise NotImplementedError

    @property
    def chord_expires(self) -> float:
        """How long a group is kept after its last fact, in seconds; 0: for ever."""
        own = self.app.conf.get("result_chord_expires")
        return (self.expires if own is None else self.prepare_expires(own, type=int)) or 0

    def apply_chord(self, header_result_args: tuple[Any, ...], body: Any, **_: Any) -> None:
        """Begin a run of this group: record its body, and of a header with groups within how it is built. Returns when the log has it.

        A header that is made while it is sent (a generator) is not looked at.
        """
        group_id, results, *_rest = header_result_args
        structure = None
        if not isinstance(results, _regen) and any(isinstance(one, GroupResult) for one in results):
            structure = plain(((group_id, None), [one.as_tuple() for one in results]))
        self._append(GroupSized(**self.group_fact(group_id), body=self._body(body), structure=structure, result_expires=self.chord_expires))

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """Record how many parts this group has. Returns when the log has it; if all parts were there before, sends the body."""
        sized = self._append(GroupSized(**self.group_fact(group_id), size=chord_size, result_expires=self.chord_expires))
        self._dispatch_if_last(sized, str(group_id))

    def add_to_chord(self, chord_id: str, result: Any) -> None:
        """Record that this task joins the group: one part more. Returns when the log has it."""
        self._append(GroupSized(**self.group_fact(chord_id), added=str(result.id), result_expires=self.chord_expires))

    def on_chord_part_return(self, request: Any, state: str, result: Any, **_: Any) -> None:
        """Record that this part of a chord has ended, and how; if it was the last one, send the body.

        Raises what an append does. Once the log has the part nothing is raised: what is left undone, a worker does.
        """
        group_id = getattr(request, "group", None)
        if not group_id or not request.id:
            return
        part = GroupPart(
            **self.group_fact(group_id),
            task_id=str(request.id),
            group_index=request.group_index,
            state=state,
            result=self.payloads.encode(self.encode_result(result, state)),
            result_expires=self.chord_expires,
        )
        self._dispatch_if_last(self._append(part), str(group_id), request)

    def group_fact(self, group_id: Any) -> dict[str, Any]:
        """What every fact of a group begins with; handed over again, it counts once."""
        return {"event_id": uuid_utils.uuid7().hex, "group_id": str(group_id), "time": Recorder.now()}

    def append(self, event: TaskEvent) -> Position:
        """Append it, and return its position when the log has it, outbox or not. Raises what an append does."""
        [at] = self.home.acknowledged([self.home.recorder.append(event)], ACKNOWLEDGE_SECONDS)
        return at

    def _append(self, event: TaskEvent) -> Appended:
        """Append it; returns when the log, or this host's outbox, has it."""
        appended: Appended = self._ensure_retryable(self._append_once, event)
        return appended

    def _append_once(self, event: TaskEvent) -> Appended:
        appended = self.home.recorder.append(event)
        self.home.acknowledged([appended.accepted], ACKNOWLEDGE_SECONDS)
        return appended

    def _body(self, body: Any) -> dict[str, Any] | None:
        try:
            return self.bodies.encode(body)
        except EncodeError as error:  # the messages of the header, which carry it too, will say so unless their serializer is another
            logger.warning("the body %r of a chord cannot be recorded; none but its own parts can send it: %s", body, error)
            return None

    def _dispatch_if_last(self, appended: Appended, group_id: str, request: Any = None) -> None:
        """Send the body if this fact completed the count; if it waits in the outbox, once it was forwarded."""
        if appended.done():
            self._dispatch_if_completed_by(appended, group_id, request)
        else:
            later = partial(self._dispatch_if_completed_by, appended, group_id, request)
            appended.add_done_callback(lambda _: self.home.callbacks.put(later))

    def _dispatch_if_completed_by(self, appended: Appended, group_id: str, request: Any) -> None:
        try:
            at = appended.result()
            group = self.home.reader.group(group_id, freshness=at, brief=True)
            if group is not None and group.completed_by == at.offset and group.dispatched is None:
                Dispatch(self, group_id, request).run()
        except Exception as error:
            if not isinstance(error, EventResultsError):
                logger.exception("the body of the chord %s cannot be sent from here", group_id)
            logger.warning("the chord %s is left to another worker, which sees to it within %g s: %s", group_id, self.patience, error)

    @property
    def patience(self) -> float:
        """After how many seconds a worker sees to a chord that another one left, at the latest."""
        return 2 * self.options.claim_timeout
