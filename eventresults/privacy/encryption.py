"""Encryption: a fact's values, sealed by the key of the subject that they are about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec

from eventresults.codec.sealed import envelope, is_sealed, parts
from eventresults.codec.values import decode_value
from eventresults.errors import ConfigError
from eventresults.privacy.keyring import Keyring, sealed
from eventresults.privacy.paths import Path, inner, parse, resolve
from eventresults.privacy.sealing import Unsealable, cipher_class, seal, unseal

#: What is encrypted unless a policy says otherwise.
FIELDS: Final = ("args", "kwargs", "result", "meta", "error", "body", "request")
#: What stands in the log for the text of an encrypted error.
HIDDEN: Final = "(encrypted)"
#: What stands there for a value of a subject that was erased before.
ERASED: Final = "[erased]"

#: The subject of a task of this name, args and kwargs (Python values); None: not known.
SubjectRule = Callable[[str | None, Any, Any], str | None]

_write = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder().decode


class SubjectNotKnown(Exception):
    """Whom the values of a fact are about is not known, and there is no fallback."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Encryption:
    """A policy: whose values are sealed by whose key.

    `subject` says whom a task is about: a path into its arguments (`kwargs.customer_id`, `args.0`), or several, of which the first that
    is there counts; or a function of (name, args, kwargs). Later facts of the task are of the same subject; where it is not known they
    are sealed by the key of the subject `fallback`, or, with None, withheld. `fields` are those that are encrypted, of `FIELDS`; with an
    error go its message, arguments and traceback, while its class stays readable.
    """

    keyring: Keyring
    subject: str | Sequence[str] | SubjectRule
    fields: Sequence[str] = FIELDS
    fallback: str | None = "unknown"

    def __post_init__(self) -> None:
        """Raises `ConfigError`, also when the extra is missing."""
        cipher_class()
        if strange := sorted(set(self.fields) - set(FIELDS)):
            raise ConfigError(f"fields={strange[0]!r} cannot be encrypted: choose of {', '.join(FIELDS)}", setting="encrypt")
        _ = self._paths  # a path that is none is an error now

    @cached_property
    def _paths(self) -> list[Path]:
        if callable(self.subject):
            return []
        texts = [self.subject] if isinstance(self.subject, str) else self.subject
        return [parse(text, setting="encrypt") for text in texts]

    def subject_of(self, name: str | None, args: Any, kwargs: Any) -> str | None:
        """Whom a task is about, by its arguments as wire values; None where they do not tell. Raises what the rule does."""
        if callable(self.subject):
            found: Any = self.subject(name, decode_value(inner(args)), decode_value(inner(kwargs)))
        else:
            candidates = (resolve(path, {"args": args, "kwargs": kwargs}) for path in self._paths)
            found = next((one for one in candidates if one is not None), None)
        return None if found is None else str(found)

    def seal(self, fields: Mapping[str, Any], subject: str | None) -> dict[str, Any]:
        """These fields of a fact, encrypted. Raises what finding the key does."""
        subject = subject or self.fallback
        if subject is None:
            raise SubjectNotKnown
        names = [name for name in self.fields if fields.get(name) is not None]
        if fields.get("traceback") is not None and "error" in self.fields and "error" not in names:
            names.append("error")
        if not names:
            return dict(fields)
        key_id, key = self.keyring.key_for(subject)
        done = dict(fields)
        for name in names:
            value = fields.get(name)
            if name == "error":
                told = value if isinstance(value, dict) else {}
                inside = {"error": value, "traceback": done.pop("traceback", None)}
                done["error"] = {
                    "type": told.get("type"), "module": told.get("module"), "message": HIDDEN, "args": [],
                    "sealed": sealed_value(key_id, key, inside),
                }  # fmt: skip
            elif name == "request" and isinstance(value, dict):
                done["request"] = {
                    part: sealed_value(key_id, key, one) if part in {"args", "kwargs", "stamps"} and one is not None else one
                    for part, one in value.items()
                }
            else:
                done[name] = sealed_value(key_id, key, value)
        return done


def sealed_value(key_id: str, key: bytes | None, value: Any) -> Any:
    """This wire value encrypted; nothing of it, once the key is destroyed."""
    if key is None:
        return ERASED
    if is_sealed(value):
        return value  # recorded again
    return envelope(key_id, seal(key, _write(value), _context(key_id)))


def opened_value(wire: dict[str, Any], keyring: Keyring | None) -> Any:
    """The wire value that was encrypted. Raises `ValueErased`, `ValueSealed`."""
    found = parts(wire)
    if found is None:
        raise sealed(None, "it is sealed in a way that this version does not know")
    if keyring is None:
        raise sealed(found.key_id, "this process was given no keys; connect with encrypt=…")
    try:
        return _read(unseal(keyring.key(found.key_id), found.raw, _context(found.key_id)))
    except (Unsealable, msgspec.DecodeError):
        raise sealed(found.key_id, "it was altered, or sealed by another key of the same id") from None


def _context(key_id: str) -> bytes:
    return f"eventresults value 1\n{key_id}".encode()
