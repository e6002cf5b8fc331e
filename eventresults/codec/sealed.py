"""The wire form of an encrypted value: the opaque envelope of `eventresults.codec.values`, with a content type and an encoding of its own.

    {"content_type": "application/vnd.eventresults.sealed+json", "encoding": "aes-256-gcm", "body": "<key id>.<base64>"}

The base64 is nonce and ciphertext; what is encrypted is the value's JSON. Who has no key sees that there is a value, and by which key it
is sealed.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final, NamedTuple

CONTENT_TYPE: Final = "application/vnd.eventresults.sealed+json"
ENCODING: Final = "aes-256-gcm"


class Sealed(NamedTuple):
    """The id of the key, and what it encrypted: nonce and ciphertext."""

    key_id: str
    raw: bytes


def is_sealed(wire: Any) -> bool:
    """Whether this wire value is an encrypted one."""
    return type(wire) is dict and wire.get("content_type") == CONTENT_TYPE and len(wire) == 3


def shown(value: Any) -> Any:
    """A wire value for people: encrypted ones are said to be, by which key."""
    if type(value) is list:
        return [shown(item) for item in value]
    if type(value) is not dict:
        return value
    if is_sealed(value):
        return f"(encrypted by {str(value.get('body')).partition('.')[0][:8]}…)"
    return {key: shown(item) for key, item in value.items()}


def envelope(key_id: str, raw: bytes) -> dict[str, str]:
    """The wire value of an encrypted one."""
    return {"content_type": CONTENT_TYPE, "encoding": ENCODING, "body": f"{key_id}.{base64.b64encode(raw).decode()}"}


def parts(wire: dict[str, Any]) -> Sealed | None:
    """What an encrypted value consists of; None when it is none that this version knows."""
    body = wire.get("body")
    if wire.get("encoding") != ENCODING or type(body) is not str:
        return None
    key_id, dot, text = body.partition(".")
    try:
        return Sealed(key_id, base64.b64decode(text, validate=True)) if dot else None
    except binascii.Error:
        return None
