"""Where settings come from, and what is said when one cannot be used."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr, ValidationError

from eventresults.config.closest import closest, did_you_mean
from eventresults.config.settings import DEFAULT_URL, Settings, allowed
from eventresults.config.url import LogUrl, mask_url, parse_url
from eventresults.errors import ConfigError

FILE = "eventresults.toml"
PREFIX = "EVENTRESULTS_"

_NAMES = frozenset(Settings.model_fields)


def load_settings(url: str | None = None, **arguments: Any) -> Settings:
    """Every setting, from the first place that gives it: argument, URL, `EVENTRESULTS_…`, `eventresults.toml`, default.

    The file is read from the working directory, or is the one that `EVENTRESULTS_CONFIG` names. An empty environment variable counts as
    not given. Raises `ConfigError`, naming the setting, where it came from and what it takes.
    """
    return resolve(url, arguments, os.environ)


class _Place(NamedTuple):
    """One place that gives settings: where it is, for people, and what it gives."""

    where: str
    values: Mapping[str, Any]

    def label(self, name: str) -> str:
        return f"{PREFIX}{name.upper()}" if self.where == PREFIX else self.where


def resolve(url: str | None, arguments: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """As `load_settings`, of this environment."""
    _refuse_unknown(_Place("argument", arguments))
    if url is not None:
        arguments = {**arguments, "url": url}
    places = [_Place("argument", arguments), _Place(PREFIX, _environment(environ)), _file(environ)]
    log, url_place = _url(places)
    places.insert(1, url_place)

    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for place in places:
        for name in place.values.keys() - values.keys():
            values[name] = place.values[name]
            sources[name] = place.label(name)
    values["url"] = log.masked
    _security(log, values, sources)
    try:
        return Settings.sourced(values, {name: sources.get(name, "default") for name in _NAMES})
    except ValidationError as error:
        raise _refused(error, values, sources) from None


def _url(places: list[_Place]) -> tuple[LogUrl, _Place]:
    """The log's URL, and what the URL itself sets."""
    text = next((place.values["url"] for place in places if place.values.get("url") is not None), DEFAULT_URL)
    if not isinstance(text, str):
        raise ConfigError(f"url is a {type(text).__name__}: it takes {allowed('url')}", setting="url")
    log = parse_url(text)
    credentials = {"sasl_username": log.user, "sasl_password": log.password}
    place = _Place("URL", {**{name: value for name, value in credentials.items() if value is not None}, **log.query})
    if "url" in log.query:
        raise ConfigError("a URL does not set url: write one URL", setting="url", source="URL")
    _refuse_unknown(place)
    return log, place


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    given = {name.removeprefix(PREFIX).lower(): value for name, value in environ.items() if name.startswith(PREFIX) and value}
    for name in sorted(given.keys() - _NAMES - {"config", "debug"}):
        if name.startswith("serve_"):
            continue  # an option of `eventresults serve`
        # A stranger's variable (Kubernetes makes EVENTRESULTS_PORT for a service of that name) is none of ours; a misspelt one is.
        meant = closest(name, _NAMES, cutoff=0.85)
        if meant:
            raise ConfigError(
                f"{PREFIX}{name.upper()} is no setting; did you mean {PREFIX}{meant.upper()}?",
                setting=name,
                source=f"{PREFIX}{name.upper()}",
            )
    return {name: value for name, value in given.items() if name in _NAMES}


def _file(environ: Mapping[str, str]) -> _Place:
    named = environ.get(f"{PREFIX}CONFIG")
    path = Path(named or FILE)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if named:
            raise ConfigError(
                f"{PREFIX}CONFIG names {named}, which is not there: correct it, or unset it", setting="config", source=f"{PREFIX}CONFIG"
            ) from None
        return _Place(FILE, {})
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}", setting="config", source=str(path)) from error
    place = _Place(str(path), values)
    _refuse_unknown(place)
    return place


def _refuse_unknown(place: _Place) -> None:
    for name in sorted(place.values.keys() - _NAMES):
        raise ConfigError(
            f"{name!r} ({place.where}) is no setting{did_you_mean(name, _NAMES)}. `eventresults config show` lists them all",
            setting=name,
            source=place.where,
        )


def _security(log: LogUrl, values: dict[str, Any], sources: Mapping[str, str]) -> None:
    """Fill in what the URL's scheme and the credentials imply of Kafka's security."""
    if log.scheme not in {"kafka", "kafka+ssl"}:
        return
    sasl = values.get("sasl_username") is not None
    ssl = log.scheme == "kafka+ssl" or values.get("ssl_cafile") is not None
    implied = ("SASL_SSL" if ssl else "SASL_PLAINTEXT") if sasl else ("SSL" if ssl else "PLAINTEXT")
    if values.get("security_protocol") is None:
        values["security_protocol"] = implied
    protocol = values["security_protocol"]
    if log.scheme == "kafka+ssl" and protocol in {"PLAINTEXT", "SASL_PLAINTEXT"}:
        raise ConfigError(
            f"security_protocol={protocol} ({sources['security_protocol']}) contradicts the scheme kafka+ssl: leave it out, or write kafka://",
            setting="security_protocol",
            source=sources["security_protocol"],
        )
    if str(protocol).startswith("SASL"):
        values["sasl_mechanism"] = values.get("sasl_mechanism") or "PLAIN"
        missing = [name for name in ("sasl_username", "sasl_password") if values.get(name) is None]
        if missing:
            where = sources.get("security_protocol") or sources.get("sasl_username", "URL")
            raise ConfigError(
                f"security_protocol={protocol} ({where}) needs {' and '.join(missing)}: give {PREFIX}{missing[0].upper()}, "
                "or user:password@ in the URL",
                setting=missing[0],
                source=where,
            )


def _refused(error: ValidationError, values: Mapping[str, Any], sources: Mapping[str, str]) -> ConfigError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    name = str(first["loc"][0])
    value = values[name]
    secret = "password" in name or name == "token" or isinstance(value, SecretStr)
    text = "***" if secret else mask_url(repr(value)[:80])
    source = sources.get(name, "default")
    return ConfigError(f"{name}={text} ({source}) cannot be used: it takes {allowed(name)}", setting=name, source=source)
