"""What travels between an executor and its task processes, as bytes.

To the process      (RUN, task, call)   (ANSWER, right?, value)   (END,)
From it, once       (READY,)   or   (BROKEN, error)
Then                (ASK, what, value)
At the end          (RETURNED, runtime, children, value)   (RAISED, error, traceback, runtime, children)
of each attempt     (AGAIN, error, traceback, countdown, children)

`task` is (id, name, root_id, parent_id, group_id, attempt, max_retries, trail?). Errors are wire forms. What is the task's own
(`call`, `value`) is pickled by itself, so that a message can always be read, whatever it carries.
"""

from __future__ import annotations

import pickle
import sys
from typing import Any

from eventresults.errors import NotPicklable
from eventresults.worker.job import Call

RUN = "run"
ANSWER = "answer"
END = "end"
READY = "ready"
BROKEN = "broken"
ASK = "ask"
RETURNED = "returned"
RAISED = "raised"
AGAIN = "again"

_PROTOCOL = pickle.HIGHEST_PROTOCOL


def pack(message: tuple[Any, ...]) -> bytes:
    """A message as bytes."""
    return pickle.dumps(message, _PROTOCOL)


def unpack(raw: bytes) -> tuple[Any, ...]:
    """A message, from what the other side of the pipe packed."""
    message: tuple[Any, ...] = pickle.loads(raw)  # noqa: S301 - our own process wrote it
    return message


def pack_call(call: Call, name: str) -> bytes:
    """A call as bytes. Raises `NotPicklable` when a process could not make it."""
    if getattr(call.fn, "__module__", None) == "__main__" and not _main_can_be_imported():
        raise NotPicklable(
            f"A process cannot import {name} from a session or a pipe: put the function into a file and import it from there.",
            what=name,
            reason="__main__ has no file",
        )
    try:
        return pickle.dumps(tuple(call), _PROTOCOL)
    except Exception as error:
        raise NotPicklable(
            f"Task {name} cannot be sent to a process ({error}): define the function at the top level of a module that can be imported "
            "(no lambda, no inner function), and give it arguments that pickle.",
            what=name,
            reason=repr(error),
        ) from error


def unpack_call(raw: bytes, name: str) -> Call:
    """The call, in the process that makes it. Raises `NotPicklable` when it cannot be found here."""
    try:
        return Call(*pickle.loads(raw))  # noqa: S301 - the parent process wrote it
    except Exception as error:
        raise NotPicklable(
            f"The task process cannot load {name} or its arguments ({error!r}): what they need must be importable there, and defined "
            "outside of `if __name__ == '__main__':`.",
            what=name,
            reason=repr(error),
        ) from error


def pack_value(value: Any, what: str) -> bytes:
    """A value of the task's own as bytes; `what` says whose. Raises `NotPicklable`."""
    try:
        return pickle.dumps(value, _PROTOCOL)
    except Exception as error:
        raise NotPicklable(
            f"{what} is a {type(value).__qualname__} that cannot leave its process ({error}): use plain data.",
            what=what,
            reason=repr(error),
        ) from error


def unpack_value(raw: bytes, what: str) -> Any:
    """A value of the other process. Raises `NotPicklable`."""
    try:
        return pickle.loads(raw)  # noqa: S301 - our own process wrote it
    except Exception as error:
        raise NotPicklable(
            f"{what} left its process but cannot be loaded in this one ({error!r}): use plain data, or classes that unpickle.",
            what=what,
            reason=repr(error),
        ) from error


def _main_can_be_imported() -> bool:
    main = sys.modules["__main__"]
    return getattr(main, "__spec__", None) is not None or getattr(main, "__file__", None) is not None
