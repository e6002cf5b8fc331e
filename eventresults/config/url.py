"""What a log's URL says. Every form that `connect` knows is here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote

from eventresults.config.closest import did_you_mean
from eventresults.errors import ConfigError

SCHEMES = {
    "memory": "memory:// or memory://name",
    "sqlite": "sqlite:///relative.db or sqlite:////absolute.db",
    "kafka": "kafka://[user:password@]host:9092,host:9092/topic",
    "kafka+ssl": "kafka+ssl://[user:password@]host:9093/topic",
}
DEFAULT_KAFKA_PORT = 9092

_SECRET_KEY = re.compile(r"password|secret|token", re.IGNORECASE)
_SERVER = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogUrl:
    """A URL taken apart. Its repr and `masked` show no password; `password` and `query` do hold what was given.

    `servers` are `host:port` texts and `topic` a name (both Kafka's); `path` is a file's, relative or absolute (SQLite's); `name`
    is that of a shared memory log, "" for a private one.
    """

    scheme: str
    servers: tuple[str, ...] = ()
    topic: str = ""
    path: str = ""
    name: str = ""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def masked(self) -> str:
        """The URL with every password shown as `***`."""
        return mask_url(self.bare + self._query())

    @property
    def bare(self) -> str:
        """The URL without its query, the password masked: which log it is."""
        if self.scheme == "memory":
            return f"memory://{quote(self.name)}"
        if self.scheme == "sqlite":
            return f"sqlite:///{quote(self.path)}"
        user = "" if self.user is None else quote(self.user, safe="") + (":***@" if self.password is not None else "@")
        return f"{self.scheme}://{user}{','.join(self.servers)}/{self.topic}"

    def _query(self) -> str:
        pairs = "&".join(f"{key}={quote(value, safe='/:,')}" for key, value in self.query.items())
        return f"?{pairs}" if pairs else ""


def parse_url(url: str) -> LogUrl:
    """Take a URL apart. Raises `ConfigError` that says which forms there are; no message shows a password."""
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    known = "; ".join(SCHEMES.values())
    if not separator:
        raise ConfigError(f"url={mask_url(url)!r} is no URL. Write one of: {known}", setting="url")
    if scheme not in SCHEMES:
        meant = did_you_mean(scheme, SCHEMES) or "."
        raise ConfigError(f"url={mask_url(url)!r}: no log has the scheme {scheme!r}{meant} Known are: {known}", setting="url")
    body, _, query_text = rest.partition("?")
    query = _query(url, query_text)
    if scheme == "memory":
        return LogUrl(scheme=scheme, name=unquote(body.strip("/")), query=query)
    if scheme == "sqlite":
        return LogUrl(scheme=scheme, path=_path(url, body), query=query)
    return _kafka(url, scheme, body, query)


def mask_url(text: str) -> str:
    """Any text meant as a URL, with everything that may be a password shown as `***`; also when the URL is malformed."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text if "@" not in text else "***@" + text.rpartition("@")[2]
    body, mark, query = rest.partition("?")
    if "@" in query and "/" not in body:  # a "?" inside an unescaped password
        body, mark, query = rest, "", ""
    if "@" in body:
        user, colon, _ = body.rpartition("@")[0].partition(":")
        body = f"{user}{':***' if colon else ''}@{body.rpartition('@')[2]}"
    pairs = (_mask_pair(pair) for pair in query.split("&")) if mark else ()
    return f"{scheme}://{body}{mark}{'&'.join(pairs)}"


def _mask_pair(pair: str) -> str:
    key, equals, _ = pair.partition("=")
    return f"{key}=***" if equals and _SECRET_KEY.search(unquote(key)) else pair


def _query(url: str, text: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        if key in query:
            raise ConfigError(f"url={mask_url(url)!r}: {key} is given twice; give it once", setting=key, source="URL")
        query[key] = value
    return query


def _path(url: str, body: str) -> str:
    path = unquote(body.removeprefix("/"))
    if not body.startswith("/"):
        raise ConfigError(f"url={mask_url(url)!r}: a SQLite log is a file, without a host. Write {SCHEMES['sqlite']}", setting="url")
    if not path or path.endswith("/"):
        raise ConfigError(f"url={mask_url(url)!r} names no file. Write {SCHEMES['sqlite']}", setting="url")
    if path == ":memory:":
        raise ConfigError(f"url={mask_url(url)!r}: a log in memory is memory:// (or memory://name)", setting="url")
    return path


def _kafka(url: str, scheme: str, body: str, query: dict[str, str]) -> LogUrl:
    authority, _, topic = body.partition("/")
    userinfo, at, hosts = authority.rpartition("@")
    user, colon, password = userinfo.partition(":")
    if "@" in topic:
        raise ConfigError(
            f"url={mask_url(url)!r}: a '/' or '?' inside a user name or password must be written %2F or %3F; or give sasl_username and "
            "sasl_password as settings",
            setting="url",
        )
    servers = tuple(_server(url, text.strip()) for text in hosts.split(","))
    topic = unquote(topic.removesuffix("/"))
    if not topic:
        raise ConfigError(f"url={mask_url(url)!r} names no topic. Write {SCHEMES[scheme]}, for example …/task-events", setting="url")
    if topic in {".", ".."} or not _TOPIC.fullmatch(topic):
        raise ConfigError(
            f"url={mask_url(url)!r}: {topic[:64]!r} is no topic's name. Use 1 to 249 of: letters, digits, '.', '_', '-'", setting="url"
        )
    return LogUrl(
        scheme=scheme,
        servers=servers,
        topic=topic,
        user=unquote(user) if at else None,
        password=unquote(password) if colon else None,
        query=query,
    )


def _server(url: str, text: str) -> str:
    match = _SERVER.fullmatch(text)
    port = int(match["port"] or DEFAULT_KAFKA_PORT) if match else 0
    if not match or not 0 < port <= 65_535:
        raise ConfigError(
            f"url={mask_url(url)!r}: a server is host:port, several are separated by commas. Write {SCHEMES['kafka']}", setting="url"
        )
    return f"{match['host']}:{port}"
