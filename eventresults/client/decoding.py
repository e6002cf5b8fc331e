"""How what the log tells of a task becomes Python values. Another home of results may read them by other rules."""

from __future__ import annotations

from typing import Any, Final

from eventresults.codec.errors import decode_error
from eventresults.codec.values import decode_as, decode_value
from eventresults.domain.meta import TaskMeta
from eventresults.domain.states import TaskState
from eventresults.errors import TaskRevokedError
from eventresults.privacy.opening import Opener


class Decoder:
    """Reads payloads by the rules of `eventresults.codec`. Nothing is imported, nothing unpickled. Raises nothing, but for `value_as`."""

    def value(self, wire: Any) -> Any:
        """The Python value of a payload."""
        return decode_value(wire)

    def value_as(self, wire: Any, as_type: Any) -> Any:
        """The value of a payload, validated as `as_type`; raises pydantic's ValidationError."""
        return decode_as(wire, as_type)

    def args(self, wire: Any) -> Any:
        """The positional arguments, as a list."""
        # Each is a wire value of its own: the recorder encodes them one by one.
        return [decode_value(one) for one in wire] if isinstance(wire, list) else decode_value(wire)

    def kwargs(self, wire: Any) -> Any:
        """The keyword arguments, as a dict."""
        return {name: decode_value(one) for name, one in wire.items()} if isinstance(wire, dict) else decode_value(wire)

    def error(self, meta: TaskMeta) -> BaseException | None:
        """The exception of a task that failed, was revoked or is to be tried again; None where a retry told none."""
        return _revoked(meta) if meta.state == TaskState.REVOKED else _raised(meta)

    def traceback(self, meta: TaskMeta) -> str | None:
        """The text of the failed task's traceback."""
        return meta.traceback

    def opened(self, meta: TaskMeta) -> TaskMeta:
        """The same task, its payloads decrypted."""
        return meta


class Unsealing(Decoder):
    """Decrypts payloads before another decoder reads them. Raises `ValueErased` and `ValueSealed` for those that it cannot."""

    def __init__(self, inner: Decoder, opener: Opener) -> None:
        self._inner = inner
        self._opener = opener

    def value(self, wire: Any) -> Any:
        """See `Decoder.value`."""
        return self._inner.value(self._opener.wire(wire))

    def value_as(self, wire: Any, as_type: Any) -> Any:
        """See `Decoder.value_as`."""
        return self._inner.value_as(self._opener.wire(wire), as_type)

    def args(self, wire: Any) -> Any:
        """See `Decoder.args`."""
        return self._inner.args(self._opener.wire(wire))

    def kwargs(self, wire: Any) -> Any:
        """See `Decoder.kwargs`."""
        return self._inner.kwargs(self._opener.wire(wire))

    def error(self, meta: TaskMeta) -> BaseException | None:
        """See `Decoder.error`."""
        return self._inner.error(self._opener.error(meta))

    def traceback(self, meta: TaskMeta) -> str | None:
        """See `Decoder.traceback`."""
        return self._inner.traceback(self._opener.error(meta))

    def opened(self, meta: TaskMeta) -> TaskMeta:
        """See `Decoder.opened`."""
        return self._opener.whole(meta)


#: The rules of `eventresults.codec`.
PLAIN: Final = Decoder()


def _raised(meta: TaskMeta) -> BaseException | None:
    if meta.error is None and meta.state == TaskState.RETRY:
        return None
    error = decode_error(meta.error)
    if meta.traceback:
        BaseException.add_note(error, f"Remote traceback:\n{meta.traceback}")
    return error


def _revoked(meta: TaskMeta) -> TaskRevokedError:
    facts = meta.revocation or {}
    reason, terminated, signal = facts.get("reason"), bool(facts.get("terminated")), facts.get("signal")
    said = reason or ("terminated" if terminated else "revoked")
    return TaskRevokedError(said, task_id=meta.task_id, reason=reason, terminated=terminated, signal=signal)
