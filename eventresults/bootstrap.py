"""The only room that names implementations: settings become a log, a view and a projector."""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from eventresults.archive import as_log
from eventresults.config import Settings
from eventresults.config.handover import hand_over
from eventresults.domain.projection import Projection
from eventresults.errors import ConfigError
from eventresults.log.base import Log
from eventresults.log.membership import GroupLog
from eventresults.log.own import OwnWrites
from eventresults.privacy.guard import Guard
from eventresults.privacy.opening import NO_KEYS, Opener
from eventresults.projector import Lifetimes
from eventresults.projector.registered import Registered
from eventresults.recorder import Appender
from eventresults.replay.system import SystemTravel
from eventresults.service.heir import HeirProcess
from eventresults.service.local import LocalView
from eventresults.service.memoryplace import MemoryPlace
from eventresults.service.places import FolderPlace, Place
from eventresults.service.pointed import PointedView
from eventresults.service.unfit import patched_by
from eventresults.view.base import Store

if TYPE_CHECKING:
    from pydantic import SecretStr

    from eventresults.service.group import GroupView
    from eventresults.view.rocksdb import RocksResources


def make_log(settings: Settings) -> Log:
    """The log that the URL names. Opens nothing."""
    url = settings.log
    if url.scheme == "memory":
        from eventresults.log.memory import MemoryLog  # noqa: PLC0415 - only what is used is loaded

        return MemoryLog(url.name or None, settings.partitions, max_value_bytes=settings.max_value_bytes)
    if url.scheme == "sqlite":
        from eventresults.log.sqlite import SqliteLog  # noqa: PLC0415

        return SqliteLog(
            url.path,
            append_timeout=settings.append_timeout,
            max_in_flight=settings.max_in_flight,
            max_in_flight_bytes=settings.max_in_flight_bytes,
            max_value_bytes=settings.max_value_bytes,
            synchronous=settings.synchronous,
        )
    from eventresults.log.brokerlog import BrokerLog  # noqa: PLC0415

    client: type[BrokerLog]
    if kafka_client(settings) == "confluent":
        from eventresults.log.confluent import ConfluentLog  # noqa: PLC0415

        client = ConfluentLog
    else:
        from eventresults.log.kafka import KafkaLog  # noqa: PLC0415

        client = KafkaLog
    return client(
        url.servers,
        url.topic,
        security_protocol=settings.security_protocol,
        sasl_mechanism=settings.sasl_mechanism,
        sasl_username=settings.sasl_username,
        sasl_password=_secret(settings.sasl_password),
        ssl_cafile=settings.ssl_cafile,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
        ssl_password=_secret(settings.ssl_password),
        ssl_check_hostname=settings.ssl_check_hostname,
        connect_timeout=settings.connect_timeout,
        append_timeout=settings.append_timeout,
        max_value_bytes=settings.max_value_bytes,
        max_in_flight=settings.max_in_flight,
        max_in_flight_bytes=settings.max_in_flight_bytes,
        compression=settings.compression,
        linger=settings.linger_ms / 1000,
        create_topic=settings.create_topic,
        partitions=settings.partitions or 1,
        replication=settings.replication_factor,
        result_expires=settings.result_expires,
    )


def make_appender(settings: Settings, log: Log) -> Appender:
    """The way of facts into this log: through the outbox, where one is set."""
    if settings.outbox is None:
        return Appender(log, append_timeout=settings.append_timeout, max_value_bytes=settings.max_value_bytes)
    from eventresults.log.outbox import Outbox  # noqa: PLC0415 - only what is used is loaded
    from eventresults.recorder.outboxed import OutboxAppender  # noqa: PLC0415

    outbox = Outbox(
        log,
        Path(settings.outbox).expanduser(),
        max_bytes=settings.outbox_max_bytes,
        max_value_bytes=settings.max_value_bytes,
        append_timeout=settings.append_timeout,
    )
    return OutboxAppender(outbox)


def make_guard(settings: Settings) -> tuple[Guard | None, Opener]:
    """What keeps values private on their way into the log, if anything does, and what reads them. Raises `ConfigError`."""
    if settings.redact is None and settings.encrypt is None:
        return None, NO_KEYS
    from eventresults.privacy import policy  # noqa: PLC0415 - only what is used is loaded

    redaction = None if settings.redact is None else policy.redaction(settings.redact)
    encryption = None if settings.encrypt is None else policy.encryption(settings.encrypt)
    return Guard(redaction=redaction, encryption=encryption), Opener(encryption.keyring) if encryption else NO_KEYS


def make_place(settings: Settings, make_store: Callable[[Path], Store]) -> Place:
    """Where the view of this log is kept."""
    if settings.view is None and settings.log.scheme == "memory":
        from eventresults.view.memory import MemoryStore  # noqa: PLC0415

        return MemoryPlace(MemoryStore)
    return FolderPlace(view_folder(settings), make_store)


def log_name(settings: Settings) -> str:
    """What to call the log where names must be short: its topic, its file's name, or its name in memory."""
    url = settings.log
    return url.topic or Path(url.path).stem or url.name or "memory"


def view_folder(settings: Settings) -> Path:
    """The folder of the view: as set, else beside the SQLite file, else the user's cache folder by URL."""
    view = settings.view
    if view is not None and not is_elsewhere(settings):
        return Path(view).expanduser()
    if settings.log.scheme == "sqlite":
        return Path(settings.log.path + ".view")
    import platformdirs  # noqa: PLC0415

    name = hashlib.blake2b(settings.log.bare.encode(), digest_size=8).hexdigest()
    return Path(platformdirs.user_cache_dir("eventresults")) / f"{settings.log.topic}-{name}"


def make_stores(settings: Settings) -> Callable[[Path], Store]:
    """Opens stores on disk that share the view's memory among themselves."""
    resources: list[RocksResources] = []

    def make_store(path: Path) -> Store:
        from eventresults.view.rocksdb import RocksResources, RocksStore  # noqa: PLC0415 - whoever only connects or records loads none of it

        if not resources:
            buffers = settings.view_memory // 3
            resources.append(RocksResources(block_cache=settings.view_memory - buffers, write_buffers=buffers))
        return RocksStore(path, resources=resources[0])

    return make_store


def lifetimes(settings: Settings) -> Lifetimes:
    """How long rows stay."""
    forever = 2**50
    unfinished, history = settings.unfinished_expires, settings.history_expires
    return Lifetimes(
        unfinished=forever if unfinished is None else int(unfinished * 1000),
        history=forever if history is None else int(history * 1000),
    )


def projections(settings: Settings, given: Iterable[Projection] = ()) -> Registered:
    """What is folded beside the tasks: these, those that the settings name, and those of installed packages. Raises `ConfigError`."""
    return Registered(given, paths=[path for path in (settings.projections or "").replace(" ", "").split(",") if path])


def is_elsewhere(settings: Settings) -> bool:
    """Whether other processes than those of this host serve the view."""
    return settings.view is not None and (settings.view == "group" or settings.view.startswith(("http://", "https://")))


def group_name(settings: Settings) -> str:
    """The consumer group that shares the view of this log."""
    return settings.group or f"eventresults-{settings.log.topic}"


def group_log(settings: Settings, log: Log) -> GroupLog:
    """The log, of which a group can share the partitions. Raises `ConfigError` for one that is no Kafka topic."""
    if settings.log.scheme.startswith("kafka"):
        return cast("GroupLog", log)
    raise ConfigError(
        f"A consumer group shares the partitions of a Kafka topic, and {settings.log.masked} is none: leave `view` unset.",
        setting="view",
        source=settings.sources["view"],
    )


def make_view(settings: Settings, log: Log, own: OwnWrites, place: Place, projections: Registered) -> PointedView | GroupView:
    """What this process reads."""
    if settings.view == "group":
        from eventresults.service.group import GroupView  # noqa: PLC0415 - brings the WebSocket's library

        return GroupView(
            group_log(settings, log),
            own,
            group=group_name(settings),
            token=token(settings),
            read_timeout=settings.read_timeout,
            connect_timeout=settings.connect_timeout,
            projections=projections,
        )
    if settings.view is not None and is_elsewhere(settings):
        from eventresults.service.remote import ServiceFinder  # noqa: PLC0415 - brings the WebSocket's library

        services = [one.strip() for one in settings.view.split(",") if one.strip()]
        finder = ServiceFinder(services, log, own, token=token(settings), read_timeout=settings.read_timeout)
        return PointedView(finder, log, own, read_timeout=settings.read_timeout, connect_timeout=settings.connect_timeout)
    return LocalView(
        log,
        place,
        own,
        lifetimes=lifetimes(settings),
        read_timeout=settings.read_timeout,
        connect_timeout=settings.connect_timeout,
        # The memory log is this process's alone.
        may_own=settings.own == "auto" or (settings.own == "spawn" and settings.log.scheme == "memory"),
        heir=make_heir(settings),
        projections=projections,
    )


def make_travel(
    settings: Settings, log: Log, view: PointedView | GroupView, place: Place, make_store: Callable[[Path], Store]
) -> SystemTravel:
    """What answers what was known earlier; from the archive, too, where one is set."""
    scratch = tempfile.TemporaryDirectory if is_elsewhere(settings) else place.scratch
    older = None if settings.archive is None else partial(as_log, settings.archive)
    return SystemTravel(
        view, log, lifetimes=lifetimes(settings), make_store=make_store, scratch=scratch, timeout=settings.connect_timeout, older=older
    )


def make_heir(settings: Settings) -> HeirProcess | None:
    """What can own the view for forks of an owner, when nobody else does; None where no other process can, or none is to be started."""
    if settings.own == "never" or settings.log.scheme == "memory":
        return None
    folder = view_folder(settings).absolute()
    return HeirProcess(folder, module="eventresults.cli.heir", handed=hand_over(settings, view=folder))


def kafka_client(settings: Settings) -> str:
    """Which Kafka client this process uses: "confluent" or "kafka-python". Raises `ConfigError` when the chosen one is not installed.

    A process patched by gevent or eventlet gets kafka-python, unless told otherwise: librdkafka waits where no greenlet can go on.
    """
    installed = importlib.util.find_spec("confluent_kafka") is not None
    if settings.client == "confluent" and not installed:
        raise ConfigError(
            "client='confluent' needs the extra: run `pip install 'eventresults[confluent]'`.",
            setting="client",
            source=settings.sources["client"],
        )
    if settings.client == "auto":
        return "confluent" if installed and patched_by() is None else "kafka-python"
    return settings.client


def token(settings: Settings) -> str | None:
    """What a reader gives a service."""
    if settings.token is not None or settings.token_file is None:
        return _secret(settings.token)
    try:
        lines = Path(settings.token_file).expanduser().read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"token_file={settings.token_file!r} cannot be read: {error}", setting="token_file") from error
    return lines[0] if lines else None


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()
