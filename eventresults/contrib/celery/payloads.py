"""What Celery's serializers make of a value, as the log keeps it.

    JSON that is JSON                {"content_type": "application/json", "codec": "kombu", "body": <the JSON itself>}
    any other text (YAML, NaN)       {"content_type": …, "encoding": "utf-8", "body": text}
    bytes (pickle, msgpack)          {"content_type": …, "encoding": "binary", "body": base64}
    anything compressed              {"content_type": …, "encoding": "compressed+…", "body": base64}
    arguments that are not kept      {"repr": text, "flag": "too-large" | "not-encodable" | "given"}

Inline is only what comes back the same: standard JSON without NaN, of integers within 64 bits and bounded depth. It is read by kombu
nevertheless, and so is all the rest: under `result_accept_content`, and by nobody else.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final, NoReturn

from celery.backends.base import compress_payload, decompress_payload
from celery.utils.saferepr import saferepr
from kombu.serialization import dumps, loads, registry
from kombu.utils.json import loads as kombu_loads

from eventresults.codec.tags import printable
from eventresults.codec.values import check_wire, decode_value
from eventresults.errors import ValueNotEncodable

JSON: Final = "application/json"
CODEC: Final = "kombu"
_INLINE: Final = frozenset({"content_type", "codec", "body"})
_REPR: Final = frozenset({"repr", "flag"})
#: Arguments over so many bytes are told by their repr.
LARGE_ARGUMENTS: Final = 64 * 1024
#: Characters of a repr that we make.
SHOWN: Final = 1024
_OPAQUE: Final = frozenset({"content_type", "encoding", "body"})
_COMPRESSED: Final = "compressed+"
_SCALARS: Final = frozenset({type(None), bool, int, float, str})


class Payloads:
    """Writes by one serializer and compression; reads whatever `accept` (content types) lets in."""

    def __init__(self, *, serializer: str, compression: str | None, accept: set[str] | None) -> None:
        self._serializer = serializer
        self._compression = compression
        self._accept = accept

    def encode(self, data: Any) -> dict[str, Any]:
        """The wire value of what the serializer makes of `data`. Raises kombu's `EncodeError`."""
        return self._wire(*dumps(data, serializer=self._serializer))

    def arguments(self, data: Any) -> dict[str, Any]:
        """As `encode`, of what is told on the side: large arguments, and those that cannot be encoded, become their repr."""
        try:
            content_type, encoding, payload = dumps(data, serializer=self._serializer)
            if len(payload) <= LARGE_ARGUMENTS:
                return self._wire(content_type, encoding, payload)
            flag = "too-large"
        except Exception:  # noqa: BLE001 - whatever a serializer raises at an object that is none of ours
            flag = "not-encodable"
        return shown(saferepr(data, SHOWN), flag)

    def _wire(self, content_type: str, encoding: str, payload: str | bytes) -> dict[str, Any]:
        if self._compression:
            return _opaque(content_type, _COMPRESSED + encoding, compress_payload(payload, self._compression))
        if content_type == JSON and (body := _standard(payload)) is not _NOT_STANDARD:
            return {"content_type": JSON, "codec": CODEC, "body": body}
        return _opaque(content_type, encoding, payload)

    def decode(self, wire: Any) -> Any:
        """The value that was encoded. Raises kombu's `ContentDisallowed` for a content type that is not accepted, and `DecodeError`.

        A wire value of another writer is read by the rules of `eventresults.codec.values`.
        """
        if type(wire) is not dict:
            return wire if type(wire) is not list else decode_value(wire)
        if wire.keys() == _INLINE and wire["codec"] == CODEC:
            body, content_type = wire["body"], wire["content_type"]
            return body if self._is_itself(body, content_type) else loads(json.dumps(body), content_type, "utf-8", accept=self._accept)
        if wire.keys() == _REPR:
            return wire["repr"]
        if wire.keys() != _OPAQUE or not all(type(text) is str for text in wire.values()):
            return decode_value(wire)
        content_type, encoding, body = wire["content_type"], wire["encoding"], wire["body"]
        compressed = encoding.startswith(_COMPRESSED)
        encoding = encoding.removeprefix(_COMPRESSED)
        payload = base64.b64decode(body) if compressed or encoding == "binary" else body
        return loads(decompress_payload(payload) if compressed else payload, content_type, encoding, accept=self._accept)

    def _is_itself(self, body: Any, content_type: Any) -> bool:
        """Whether kombu would give back the same: a scalar, of a content type that is accepted, where kombu's own JSON is in use."""
        return (
            type(body) in _SCALARS
            and content_type == JSON
            and self._accept is not None
            and JSON in self._accept
            and registry._decoders.get(JSON) is kombu_loads  # noqa: SLF001 - somebody may have registered another
        )


def shown(text: str, flag: str) -> dict[str, Any]:
    """The wire value of arguments of which only this text is told."""
    return {"repr": printable(text), "flag": flag}


def _opaque(content_type: str, encoding: str, payload: str | bytes) -> dict[str, Any]:
    encoding = encoding.lower()
    if isinstance(payload, bytes) and encoding == "utf-8":
        payload = payload.decode()
    if isinstance(payload, str):
        return {"content_type": content_type, "encoding": encoding, "body": payload}
    encoding = encoding if encoding.startswith(_COMPRESSED) else "binary"
    return {"content_type": content_type, "encoding": encoding, "body": base64.b64encode(payload).decode("ascii")}


_NOT_STANDARD: Final = object()


def _standard(payload: str | bytes) -> Any:
    """The JSON in it, where the log can keep it as such."""
    try:
        body = _strict.decode(payload if isinstance(payload, str) else payload.decode())
        check_wire(body)
    except (ValueError, RecursionError, ValueNotEncodable):
        return _NOT_STANDARD
    return body


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_strict: Final = json.JSONDecoder(parse_constant=_refuse)
