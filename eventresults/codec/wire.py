"""What a wire value is: None, bool, 64-bit int, finite float, UTF-8 str, list, and dict with str keys, `MAX_DEPTH` deep at most."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from eventresults.codec import tags
from eventresults.codec.tags import SMALLEST, is_utf8
from eventresults.errors import ValueNotEncodable

#: How deep arrays and objects of the *wire* form may nest: a list or dict counts 1, a tuple or set 2, a dict with other keys 3.
MAX_DEPTH = 256


def check_wire(value: Any, *, name: str = "value") -> None:
    """Raise `ValueNotEncodable`, naming the place, unless this is a wire value already (and of exactly these types).

    Integers may go up to 2**64 - 1, which readers and rows hold too.
    """
    try:
        _check(value, 0)
    except Refused as refused:
        raise refused.error(name) from None


def adopt(parsed: Any) -> Any:
    """The wire value of what a JSON parser made of another writer's record.

    What our own writer would have tagged (lone surrogates, integers beyond 64 bits, NaN and infinities) gets its tag. Raises ValueError for
    nesting beyond what we write, or for a number of more than 4,300 digits.
    """
    return _adopt(parsed, 0)


class Refused(Exception):
    """Why a value has no wire form; `path` grows on the way out, innermost step first."""

    def __init__(self, obj: object, reason: str) -> None:
        super().__init__(reason)
        self.type_name = f"{type(obj).__module__}.{type(obj).__qualname__}".removeprefix("builtins.")
        self.reason = reason
        self.path: list[str] = []

    def error(self, name: str) -> ValueNotEncodable:
        """The error to raise, the whole being called `name`."""
        steps = self.path[::-1]
        path = name + "".join(steps if len(steps) <= 12 else [*steps[:6], "…", *steps[-6:]])
        return ValueNotEncodable(f"{path} ({self.type_name}) cannot be recorded: {self.reason}", path=path, type_name=self.type_name)


def key_step(key: object) -> str:
    """One step of a path: into a list by index, into a dict by key."""
    shown = ascii(key) if type(key) in {str, int, float, bytes, bool, type(None)} else f"<{type(key).__name__}>"
    return f"[{shown if len(shown) <= 64 else shown[:60] + '…'}]"


def check_depth(obj: object, depth: int) -> None:
    """Raise `Refused` when a container of `obj` would lie this deep."""
    if depth > MAX_DEPTH:
        raise Refused(obj, f"it nests deeper than {MAX_DEPTH} levels, or contains itself. Flatten it, or record a reference to it.")


def _check(value: Any, depth: int) -> None:
    kind = type(value)
    steps: Iterable[tuple[Any, Any]]
    if kind is list:
        steps = enumerate(value)
    elif kind is dict:
        steps = value.items()
    else:
        _check_leaf(value)
        return
    check_depth(value, depth)  # one more than encode_value allows: a tag for a leaf is an object too
    key: Any = None
    try:
        for key, item in steps:
            if kind is dict:
                _check_key(key)
            _check(item, depth + 1)
    except Refused as refused:
        refused.path.append(key_step(key))
        raise


def _check_key(key: object) -> None:
    if type(key) is not str or not is_utf8(key):
        raise Refused(key, "JSON has only texts as keys. Pass the dict through encode_value first.")


def _check_leaf(value: Any) -> None:
    kind = type(value)
    if value is None or kind is bool:
        return
    if kind is str:
        if not is_utf8(value):
            raise Refused(value, "it holds a lone surrogate. Pass it through encode_value first.")
    elif kind is int:
        if not SMALLEST <= value < 2**64:
            raise Refused(value, "it is beyond 64 bits. Pass it through encode_value first.")
    elif kind is float:
        if value - value != 0:
            raise Refused(value, "JSON has no NaN and no infinity. Pass it through encode_value first.")
    else:
        raise Refused(value, "JSON has no such type. Pass it through encode_value first.")


def _adopt(parsed: Any, depth: int) -> Any:  # noqa: PLR0911 - one branch per JSON type
    kind = type(parsed)
    if kind is str:
        return tags.of_text(parsed)
    if kind is int:
        return parsed if SMALLEST <= parsed < 2**64 else tags.of_integer(parsed)
    if kind is float:
        return tags.of_float(parsed)
    if kind is not list and kind is not dict:
        return parsed
    if depth > MAX_DEPTH + 8:  # an error's arguments lie a few levels below their record
        raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
    if kind is list:
        return [_adopt(item, depth + 1) for item in parsed]
    if all(map(is_utf8, parsed)):
        return {key: _adopt(item, depth + 1) for key, item in parsed.items()}
    return tags.tagged("dict", [[tags.of_text(key), _adopt(item, depth + 3)] for key, item in parsed.items()])
