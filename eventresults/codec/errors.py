"""Exceptions as JSON: `{"type", "module", "message", "args"}`, where there are some also `notes`, and `facts` for an error of ours.

Reading never imports and never runs anything but the constructor of an exception class that is imported already.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, TypeVar, cast

from eventresults.codec.tags import printable
from eventresults.codec.values import decode_value, encode_value
from eventresults.errors import EventResultsError, RemoteTaskError, ValueNotEncodable

E = TypeVar("E", bound=Exception)

MAX_MESSAGE_BYTES = 64 * 1024
MAX_REPR_CHARACTERS = 1024


def encode_error(exc: BaseException) -> dict[str, Any]:
    """The wire form of an exception. Never fails.

    The message is cut at 64 KB. An argument that no rule of `eventresults.codec.values` covers becomes its repr, cut at 1 KB.
    """
    cls = type(exc)
    error: dict[str, Any] = {
        "type": printable(cls.__qualname__),
        "module": printable(str(cls.__module__)),
        "message": _cut(_text_of(exc)),
        "args": [_encode_argument(arg) for arg in _arguments_of(exc)],
    }
    own = object.__getattribute__(exc, "__dict__")
    notes = own.get("__notes__")
    if type(notes) is list and notes:
        error["notes"] = [_cut(note) for note in notes if isinstance(note, str)]
    facts = own.get("facts")
    if isinstance(exc, EventResultsError) and type(facts) is dict and facts:
        error["facts"] = {printable(str(name)): _encode_argument(fact) for name, fact in facts.items()}
    return error


def decode_error(error: dict[str, Any] | None) -> Exception:
    """The exception that was recorded, with its arguments and notes; `RemoteTaskError` where it cannot be had.

    It can when its class is imported in this process, derives from `Exception`, and takes the recorded arguments. Any dict will do
    as input, and nothing is raised.
    """
    error = error if isinstance(error, dict) else {}
    return _rebuild(error) or _noted(_remote(error), error)


def _text_of(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as failure:  # noqa: BLE001 - a class may do anything in its __str__
        return f"<its text could not be had: {type(failure).__name__}>"


def _arguments_of(exc: BaseException) -> tuple[Any, ...]:
    # By the built-in descriptors: a class may have put anything in place of `args`.
    if isinstance(exc, OSError) and type(exc).__reduce__ is OSError.__reduce__:
        arguments = exc.__reduce__()[1]  # with the file's name, which `args` lacks
        if isinstance(arguments, tuple):
            return arguments
    arguments = BaseException.__dict__["args"].__get__(exc)
    return arguments if isinstance(arguments, tuple) else ()


def _encode_argument(arg: object) -> Any:
    try:
        return encode_value(arg)
    except (ValueNotEncodable, RuntimeError):
        pass  # its repr says what it was
    try:
        return printable(repr(arg)[:MAX_REPR_CHARACTERS])
    except Exception as failure:  # noqa: BLE001 - likewise
        return f"<{type(arg).__name__}: its repr could not be had: {type(failure).__name__}>"


def _cut(text: str) -> str:
    raw = printable(str.__str__(text)).encode()
    return raw[:MAX_MESSAGE_BYTES].decode("utf-8", "ignore")


def _rebuild(error: dict[str, Any]) -> Exception | None:
    cls = _imported_class(error.get("module"), error.get("type"))
    args, facts = error.get("args"), error.get("facts")
    if cls is None or not isinstance(args, list):
        return None
    try:
        arguments = tuple(decode_value(arg) for arg in args)
        named = {}
        if issubclass(cls, EventResultsError) and isinstance(facts, dict):
            named = {name: decode_value(fact) for name, fact in facts.items() if _is_fact(cls, name)}
        exc: object = cls(*arguments, **named)
        if type(exc) is not cls:
            return None
        if not isinstance(exc, OSError):
            exc.args = arguments  # what was recorded: a constructor may have made a message of its arguments a second time
        return _noted(exc, error)
    except Exception:  # noqa: BLE001 - whatever another's constructor raises, the facts still reach the caller
        return None


def _is_fact(cls: type[EventResultsError], name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and not hasattr(cls, name) and name not in {"message", "facts"}


def _noted(exc: E, error: dict[str, Any]) -> E:
    notes = error.get("notes")
    for note in notes if isinstance(notes, list) else ():
        if isinstance(note, str):
            BaseException.add_note(exc, note)
    return exc


def _imported_class(module: object, qualname: object) -> type[Exception] | None:
    """The class of that name if it is there already: looked up in plain dicts, so that no `__getattr__` runs."""
    if not (isinstance(module, str) and isinstance(qualname, str)):
        return None
    found: object = sys.modules.get(module)
    for name in qualname.split("."):
        if not issubclass(type(found), ModuleType | type):  # isinstance would ask a proxy for its class
            return None
        found = object.__getattribute__(found, "__dict__").get(name)
    if not issubclass(type(found), type):
        return None
    cls = cast("type", found)
    return cls if issubclass(cls, Exception) else None


def _remote(error: dict[str, Any]) -> RemoteTaskError:
    kind, module, message, args = (error.get(name) for name in ("type", "module", "message", "args"))
    try:
        arguments = [decode_value(arg) for arg in args] if isinstance(args, list) else []
    except RecursionError:
        arguments = []
    named = ".".join(part for part in (module, kind) if isinstance(part, str) and part) or "an unnamed exception"
    said = message if isinstance(message, str) else ""
    return RemoteTaskError(
        f"{named}{': ' if said else ''}{said} (the task's own exception: import its class to get it as such, or read the attributes "
        "type, module, remote_message and args_)",
        type=kind,
        module=module,
        remote_message=said,
        args_=arguments,
    )
