"""What the backend's URL and `result_backend_transport_options` say: settings of the tracker, and options of the backend's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args
from urllib.parse import parse_qsl, urlencode

from pydantic import TypeAdapter, ValidationError

from eventresults.config import Settings, load_settings
from eventresults.errors import ConfigError

Kind = Literal["sent", "received", "started", "retried", "revoked", "rejected", "ignored", "finished"]
#: "finished": how tasks ended whose result is ignored.
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The backend's own options. Each may stand in the URL's query, or in the transport options, which the URL precedes.

    `freshness` is that of reads: "default", "latest", or "applied" for pollers. `sent_durable`: `delay()` returns when the log has the
    fact that the task was sent. `observe`: which facts are learned from Celery's signals, of `KINDS`. `observe_timeout` (seconds) bounds
    how long such a fact may be waited for. `track_ignored`: also tasks whose result is ignored. `durable_revokes`: a request to revoke is
    recorded, and obeyed by workers that were away. `claim_timeout` (seconds) is how long a worker may take to send a chord's body.
    `result_chord_ordered`: a chord's body gets the results in the header's order, not in that of their arrival.
    """

    freshness: Literal["default", "latest", "applied"] = "default"
    sent_durable: bool = False
    observe: bool | tuple[Kind, ...] = True
    observe_timeout: float = 0.05
    track_ignored: bool = False
    durable_revokes: bool = True
    claim_timeout: float = 30.0
    result_chord_ordered: bool = True

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Options of these values, which may be texts. Raises `ConfigError`."""
        values = dict(values)
        if isinstance(values.get("observe"), str) and values["observe"].lower() not in {
            "true",
            "false",
            "1",
            "0",
            "yes",
            "no",
            "on",
            "off",
        }:
            values["observe"] = tuple(values["observe"].split(","))
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            name = str(first["loc"][0])
            raise ConfigError(f"{name}={values[name]!r} cannot be used: {first['msg']}.", setting=name) from None


_NAMES = frozenset(field.name for field in fields(Options))


def read(url: str | None, transport: Mapping[str, Any]) -> tuple[Settings, Options]:
    """The settings and options of a backend with this URL (without `eventresults+`). Raises `ConfigError`.

    Unless said otherwise a process of Celery never owns the view: one is spawned for that.
    """
    own = {name: value for name, value in transport.items() if name in _NAMES}
    if url is not None and "?" in url:
        url, _, query = url.partition("?")
        pairs = parse_qsl(query, keep_blank_values=True)
        own |= {name: value for name, value in pairs if name in _NAMES}
        if rest := [(name, value) for name, value in pairs if name not in _NAMES]:
            url = f"{url}?{urlencode(rest)}"
        transport = {name: value for name, value in transport.items() if name not in dict(pairs)}
    settings = load_settings(url, **{name: value for name, value in transport.items() if name not in _NAMES})
    if settings.sources["own"] == "default":
        settings = settings.model_copy(update={"own": "spawn"})
    return settings, Options.of(own)
