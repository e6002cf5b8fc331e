"""Every setting: its name, type, default and meaning."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, PrivateAttr, SecretStr

from eventresults.config import durations
from eventresults.config.url import LogUrl, parse_url

DEFAULT_URL = "sqlite:///eventresults.db"


class Allowed(str):
    """What a setting takes, in words: for messages and the table."""

    __slots__ = ()


def _lifetime(value: Any) -> float | None:
    """Seconds; None (or 0, or the text none or never) is for ever."""
    if value is None or (isinstance(value, str) and value.strip().lower() in {"none", "never"}):
        return None
    return durations.seconds(value) or None


def _view(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ",".join(str(part) for part in value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value


Wait = Annotated[float, BeforeValidator(durations.seconds), Field(gt=0), Allowed(f"{durations.FORMS}; more than 0")]
Lifetime = Annotated[
    Annotated[float, Field(gt=0)] | None, BeforeValidator(_lifetime), Allowed(f"{durations.FORMS}; 0 or never keeps for ever")
]
Bytes = Annotated[ByteSize, Field(ge=1), Allowed("bytes, or 512KiB, 8MiB; at least 1")]
Many = Annotated[int, Field(ge=1), Allowed("a whole number, at least 1")]
Maybe = Annotated[Annotated[int, Field(ge=1)] | None, Allowed("a whole number, at least 1")]
Switch = Annotated[bool, Allowed("true or false")]
Text = Annotated[str | None, Allowed("a text")]
File = Annotated[str | None, BeforeValidator(_view), Allowed("a file's path")]
Paths = Annotated[str | None, BeforeValidator(_view), Allowed("import paths such as shop.spend:SPEND, with commas between")]
Secret = Annotated[SecretStr | None, Allowed("a secret text")]


class Settings(BaseModel):
    """All settings of one tracker, validated and frozen. No repr and no dump of it shows a password, `url` included."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=False)

    url: Annotated[str, Allowed("a URL: memory://, sqlite:///file.db or kafka://host:9092/topic")] = Field(
        DEFAULT_URL, description="The log. Once loaded, passwords in it are masked: they have moved to the sasl_ and ssl_ settings."
    )
    view: Annotated[str | None, BeforeValidator(_view), Allowed("a folder's path, http://host:port, or group")] = Field(
        None,
        description="Where the view is: a folder on this host, a view service, or the consumer group; by default this host's own, by URL.",
    )
    group: Text = Field(None, description="Name of the consumer group with view=group; eventresults-TOPIC unless set.")
    own: Literal["auto", "spawn", "never"] = Field(
        "auto",
        description="Who owns the view if nobody else does: auto (this process may), spawn (a process started for that) or never (nobody).",
    )
    client: Literal["auto", "kafka-python", "confluent"] = Field(
        "auto", description="Kafka client library; auto takes confluent-kafka where it is installed."
    )
    create_topic: Switch = Field(False, description="Create the topic if it is missing, with the settings we rely on.")
    partitions: Maybe = Field(None, description="Partitions of a log that we create: 1 unless set. An existing log keeps its own.")
    replication_factor: Maybe = Field(None, description="Replicas of a topic that we create; the broker's default unless set.")

    append_timeout: Wait = Field(10.0, description="How long a fact may take to be accepted, a full buffer included.")
    read_timeout: Wait = Field(10.0, description="How long a read waits for an answer that is new enough.")
    connect_timeout: Wait = Field(10.0, description="How long the first contact with the log may take.")

    archive: Annotated[str | None, BeforeValidator(_view), Allowed("a folder's path, or s3://bucket/prefix")] = Field(
        None, description="An archive of the log: what is asked of the past, and retention has removed, is read there."
    )
    projections: Paths = Field(
        None, description="Projections to run beside the view, with those of installed packages: each as module:object."
    )

    max_value_bytes: Bytes = Field(ByteSize(8 * 2**20), description="Largest fact; a larger one raises ValueTooLarge.")
    max_in_flight: Many = Field(10_000, description="Facts that a recorder holds unacknowledged before it blocks.")
    max_in_flight_bytes: Bytes = Field(ByteSize(64 * 2**20), description="Bytes that a recorder holds unacknowledged before it blocks.")
    outbox: Annotated[str | None, BeforeValidator(_view), Allowed("a folder's path")] = Field(
        None, description="Folder of files through which every fact goes: workers then outlive the log, and lose nothing by kill -9."
    )
    outbox_max_bytes: Bytes = Field(
        ByteSize(2**30), description="Bytes that a process may have waiting in its outbox before recording blocks."
    )
    redact: Annotated[Any, BeforeValidator(_view), Allowed("a TOML file's path, or a Redaction")] = Field(
        None, description="What is never recorded: keys, places and patterns whose values are replaced before a fact leaves the process."
    )
    encrypt: Annotated[Any, BeforeValidator(_view), Allowed("a TOML file's path, or an Encryption")] = Field(
        None, description="Whose values are encrypted by whose key, and where the keys are; readers need it to read them."
    )
    view_memory: Bytes = Field(
        ByteSize(384 * 2**20),
        description="Memory of a view that this process owns: a third for rows not yet on disk, the rest for blocks that were read.",
    )

    result_expires: Lifetime = Field(7 * 86_400.0, description="How long a finished task stays in the view; never if 0.")
    unfinished_expires: Lifetime = Field(30 * 86_400.0, description="How long a task without an end stays in the view; never leaves if 0.")
    history_expires: Lifetime = Field(30 * 86_400.0, description="How much longer than its task a history stays in the view.")

    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] | None = Field(
        None, description="Kafka's security protocol; unless set, what the URL's scheme, the user name and ssl_cafile imply."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="SASL mechanism; PLAIN unless set, where there is a user name."
    )
    sasl_username: Text = Field(None, description="User name for SASL; also the URL's user.")
    sasl_password: Secret = Field(None, description="Password for SASL; also the URL's password.")
    ssl_cafile: File = Field(None, description="Certificates (PEM) to trust; the system's unless set.")
    ssl_certfile: File = Field(None, description="Our certificate (PEM), where the broker asks for one.")
    ssl_keyfile: File = Field(None, description="The private key (PEM) of our certificate.")
    ssl_password: Secret = Field(None, description="Password of the private key.")
    ssl_check_hostname: Switch = Field(True, description="Whether the broker's certificate must carry its host name.")

    compression: Literal["none", "gzip", "lz4", "zstd", "snappy"] = Field("none", description="How Kafka batches are compressed.")
    linger_ms: Annotated[int, Field(ge=0, le=60_000), Allowed("milliseconds, 0 to 60000")] = Field(
        0, description="How long Kafka's producer waits to fill a batch."
    )
    token: Secret = Field(None, description="What a view service asks of its readers: the bearer token, on both sides.")
    token_file: File = Field(None, description="A file with the token; a service takes any of its lines, a reader gives the first.")
    synchronous: Literal["NORMAL", "FULL"] = Field(
        "NORMAL", description="SQLite's durability: NORMAL survives a crash of the process, FULL also a power cut."
    )
    source: Text = Field(None, description="Name under which this process writes facts; host name and process id unless set.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("WARNING", description="Level of the CLI's own log, on stderr.")

    _sources: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @property
    def log(self) -> LogUrl:
        """The URL taken apart."""
        return parse_url(self.url)

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value came from: "argument", "URL", "EVENTRESULTS_…", the configuration file's name, or "default"."""
        given = self.model_fields_set
        return {name: self._sources.get(name, "argument" if name in given else "default") for name in type(self).model_fields}

    @classmethod
    def sourced(cls, values: Mapping[str, Any], sources: Mapping[str, str]) -> Settings:
        """Settings of these values, which came from these sources. Raises pydantic's ValidationError."""
        settings = cls.model_validate(dict(values))
        settings._sources = dict(sources)  # noqa: SLF001 - our own
        return settings


class SettingRow(NamedTuple):
    """One setting, in words."""

    name: str
    type: str
    default: str
    description: str


def settings_table() -> list[SettingRow]:
    """Every setting as (name, what it takes, default, meaning), in the order of the class."""
    return [SettingRow(name, allowed(name), _default(name), field.description or "") for name, field in Settings.model_fields.items()]


def allowed(name: str) -> str:
    """What this setting takes, in words."""
    field = Settings.model_fields[name]
    words = [part for part in field.metadata if isinstance(part, Allowed)]
    if words:
        return str(words[0])
    return ", ".join(_choices(field.annotation))


def _choices(annotation: Any) -> list[str]:
    """The values of a Literal, or of a Literal within a union."""
    values: list[str] = []
    for part in getattr(annotation, "__args__", ()):
        if isinstance(part, str):
            values.append(part)
        else:
            values.extend(_choices(part))
    return values


def _default(name: str) -> str:
    value = Settings.model_fields[name].default
    return shown(name, value)


def shown(name: str, value: Any) -> str:
    """A setting's value as text: durations and sizes in units, secrets as `***`, None as an empty text."""
    if value is None:
        return "never" if name.endswith("_expires") else ""
    if isinstance(value, SecretStr):
        return "***"
    if name.endswith(("_timeout", "_expires")):
        return durations.words(value)
    if isinstance(value, ByteSize) and value % 1024 == 0:
        return value.human_readable().replace(".0", "")
    if name in {"redact", "encrypt"} and not isinstance(value, str):
        return f"({type(value).__name__})"
    return str(value).lower() if isinstance(value, bool) else str(value)
