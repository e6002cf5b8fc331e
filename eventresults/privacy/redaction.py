"""Redaction: values that must not be recorded at all are replaced before the fact leaves this process."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property
from hashlib import sha256
from typing import Any, Final, NamedTuple

from eventresults.codec.sealed import is_sealed
from eventresults.errors import ConfigError
from eventresults.privacy.paths import INLINE, Path, below, parse

MARK: Final = "[redacted]"
#: Values shorter than this are too common to be looked for in texts.
SHORTEST_SECRET: Final = 4
_OPAQUE: Final = frozenset({"content_type", "encoding", "body"})
_SHOWN: Final = frozenset({"too-large", "not-encodable", "given"})


class Value(NamedTuple):
    """What a hook is asked of: a field of a fact, as a wire value that the rules were applied to."""

    kind: str
    task_id: str
    task: str | None
    field: str
    value: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Rules:
    """What is to be redacted.

    `keys`: the values of these keys, wherever they stand; `*` and `?` are wildcards, case does not matter. `paths`: what stands at these
    places (`kwargs.customer.email`, `result.items.*.price`, `args.0`, `error.message`, `traceback`). `patterns`: what these regular
    expressions match in any text, that of errors and tracebacks included.
    """

    keys: Sequence[str] = ()
    paths: Sequence[str] = ()
    patterns: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Redaction(Rules):
    """A policy: rules for every task, and more for the tasks of these names. Raises `ConfigError` for a path that is none.

    With a `hash_key`, a value becomes `[redacted:…]` with a keyed hash (HMAC-SHA-256, 128 bits of it): equal values stay equal, and nobody
    without the key can guess them. Texts that were redacted in a task's arguments are redacted in its errors and tracebacks, too.
    `hook` gets each field of a fact at the end and returns it, changed or not, as a wire value; should it raise, all payloads of the
    fact are withheld. Where the task's name is not known, the rules of all tasks apply.
    """

    tasks: Mapping[str, Rules] = field(default_factory=dict)
    hash_key: bytes | None = field(default=None, repr=False)
    hook: Callable[[Value], Any] | None = None

    def __post_init__(self) -> None:
        _ = self._every, self._by_task, self._unnamed  # rules that cannot be used are an error now

    def walk(self, task: str | None, secrets: set[str]) -> Walk:
        """What redacts the fields of one fact of a task of this name; `secrets` are looked for in texts, and added to."""
        compiled = self._unnamed if task is None else self._by_task.get(task, self._every)
        return Walk(compiled, self.hash_key, secrets)

    @cached_property
    def _every(self) -> Compiled:
        return compiled([self])

    @cached_property
    def _by_task(self) -> dict[str, Compiled]:
        return {name: compiled([self, rules]) for name, rules in self.tasks.items()}

    @cached_property
    def _unnamed(self) -> Compiled:
        return compiled([self, *self.tasks.values()])


class Compiled(NamedTuple):
    """Rules, ready for use."""

    keys: re.Pattern[str] | None
    paths: Sequence[Path]
    patterns: Sequence[re.Pattern[str]]


def compiled(rules: Sequence[Rules]) -> Compiled:
    """Several rules as one. Raises `ConfigError`."""
    keys = [translate(key.lower()) for one in rules for key in one.keys]
    paths = [parse(path, setting="redact") for one in rules for path in one.paths]
    patterns = [_pattern(text) for one in rules for text in one.patterns]
    return Compiled(re.compile("|".join(keys)) if keys else None, paths, patterns)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise ConfigError(f"{text!r} is no regular expression: {error}", setting="redact") from None


class Walk:
    """Goes through the fields of one fact."""

    def __init__(self, rules: Compiled, hash_key: bytes | None, secrets: set[str]) -> None:
        self._keys, self._paths, self._patterns = rules
        self._hash_key = hash_key
        self._secrets = secrets

    def field(self, name: str, value: Any) -> Any:
        """The value of this field of a fact, redacted; a copy wherever it changes."""
        return self._value(value, below(self._paths, name))

    def text(self, text: str) -> str:
        """A text without what patterns match, and without what was redacted elsewhere."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            if secret in text:
                text = text.replace(secret, self._mark(secret))
        for pattern in self._patterns:
            text = pattern.sub(lambda found: self._mark(found[0]), text)
        return text

    def mask(self, value: Any) -> str:
        """What stands in the place of this value. Its texts are redacted wherever they are met from now on."""
        self._remember(value)
        return self._mark(value)

    def _value(self, value: Any, paths: Sequence[Path]) -> Any:
        if () in paths:
            return None if value is None else self.mask(value)
        kind = type(value)
        if kind is str:
            return self.text(value)
        if kind is list:
            return [self._value(item, below(paths, str(index)) if paths else ()) for index, item in enumerate(value)]
        return self._dict(value, paths) if kind is dict else value

    def _dict(self, value: dict[str, Any], paths: Sequence[Path]) -> Any:  # noqa: PLR0911 - one branch per form of an object
        if value.keys() == INLINE:
            return {**value, "body": self._value(value["body"], paths)}
        if value.keys() == _OPAQUE:
            # What nobody here can look into is not let through.
            return value if is_sealed(value) else self._mark(value)
        if value.keys() == {"repr", "flag"} and value["flag"] in _SHOWN:
            # A text that the sender gave is meant to be read; one that was made of the arguments holds whatever they hold.
            return {**value, "repr": self.text(str(value["repr"])) if value["flag"] == "given" else self._mark(value["repr"])}
        tag = value.get("$type")
        if tag == "dict" and isinstance(value.get("value"), list):
            return {**value, "value": [self._pair(pair, paths) for pair in value["value"]]}
        if tag in {"tuple", "set", "frozenset"}:
            return {**value, "value": self._value(value.get("value"), paths)}
        if tag == "bytes" and (self._patterns or self._secrets):
            return self._mark(value)  # it may hold any text
        return {key: self._item(key, item, paths) for key, item in value.items()}

    def _pair(self, pair: Any, paths: Sequence[Path]) -> Any:
        if not isinstance(pair, list) or len(pair) != 2:
            return self._value(pair, paths)
        return [self._value(pair[0], ()), self._item(str(pair[0]), pair[1], paths)]

    def _item(self, key: str, item: Any, paths: Sequence[Path]) -> Any:
        if item is not None and self._keys is not None and self._keys.match(key.lower()):
            return self.mask(item)
        return self._value(item, below(paths, key) if paths else ())

    def _remember(self, value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                self._remember(item)
        elif isinstance(value, list):
            for item in value:
                self._remember(item)
        elif value is not None and not isinstance(value, bool) and len(str(value)) >= SHORTEST_SECRET:
            self._secrets.add(str(value))

    def _mark(self, value: Any) -> str:
        if self._hash_key is None:
            return MARK
        told = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
        return f"{MARK[:-1]}:{hmac.new(self._hash_key, told, sha256).hexdigest()[:32]}]"
