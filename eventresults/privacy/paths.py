"""Places in values: `kwargs.customer.email`, `result.items.*.price`, `args.0`. A star stands for any one step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from eventresults.codec.values import decode_value
from eventresults.errors import ConfigError

Path = tuple[str, ...]
#: JSON that Celery's serializers made, in the log: the value itself is the `body`.
INLINE = frozenset({"content_type", "codec", "body"})


def parse(text: str, *, setting: str) -> Path:
    """The steps of a path. Raises `ConfigError`."""
    path = tuple(text.split("."))
    if not all(path):
        raise ConfigError(f"{text!r} is no path: write kwargs.customer.email, result.items.*.price or args.0", setting=setting)
    return path


def below(paths: Iterable[Path], step: str) -> list[Path]:
    """What is left of these paths after this step."""
    return [path[1:] for path in paths if path and path[0] in {step, "*"}]


def resolve(path: Path, value: Any) -> Any:
    """What stands at this place of a wire value, as a Python value; None when nothing does."""
    for step in path:
        value = inner(value)
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list | tuple) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return decode_value(inner(value))


def inner(value: Any) -> Any:
    """The value that Celery's form, or the tag of a tuple, holds."""
    if type(value) is dict and value.keys() == INLINE:
        return value["body"]
    if type(value) is dict and value.get("$type") == "tuple":
        return value.get("value")
    return value
