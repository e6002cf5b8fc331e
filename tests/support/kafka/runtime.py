"""Kafka's Java programs: what has to be installed to run them, and how they are called."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.kafka import jars
from tests.support.kafka.polling import poll
from tests.support.kafka.ports import ReservedPorts
from tests.support.kafka.process import Child
from tests.support.kafka.settings import NodePorts, server_properties

if TYPE_CHECKING:
    from collections.abc import Sequence

BROKER = "kafka.Kafka"
STORAGE_TOOL = "kafka.tools.StorageTool"

FAST_START = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""JVM options for a broker that lives for seconds. Hand others to a cluster that is measured."""

CLUSTER_ID = "ZXZlbnRyZXN1bHRzLXRlcw"
_STARTED = b"Kafka Server started"
_ARCHIVING_TIMEOUT = 60.0


def install() -> Path:
    """Return the folder of Kafka's jars, fetched first if need be (some 115 MB, ten seconds or so).

    Any number of processes may call it at once. Raises KafkaNotInstallableError.
    """
    jars.java()
    if not jars.jars_are_present():
        with jars.install_lock():
            if not jars.jars_are_present():
                jars.fetch_jars()
                _record_class_archive()
    return jars.jar_folder()


def java_command(main_class: str, *arguments: str, heap_mb: int, options: Sequence[str] = FAST_START) -> list[str]:
    """Return the command line that runs a class of the installed jars with at most `heap_mb` MiB of heap."""
    archive = _archive()
    shared = [f"-XX:SharedArchiveFile={archive}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"] if archive.exists() else []
    heap = [f"-Xmx{heap_mb}m"]
    return [jars.java(), *heap, *options, *shared, *_LOGGING, "-cp", jars.classpath(), main_class, *arguments]


def format_arguments(properties: Path, *, scram: str | None = None) -> list[str]:
    """Return StorageTool's arguments to prepare a node's data folder; `scram` is a user as --add-scram wants it."""
    login = [] if scram is None else ["--add-scram", scram]
    return ["format", "--cluster-id", CLUSTER_ID, "--config", str(properties), *login]


_LOGGING = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    # Hundreds of lines each time, which push what matters out of the tail.
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config.AbstractConfig=warn",
)


def _archive() -> Path:
    return jars.jar_folder() / "classes.jsa"


def _record_class_archive() -> None:
    # A JVM that maps the broker's classes from an archive starts in half the time, and tests start many. The archive
    # is recorded by a broker as it ends. It is a matter of speed alone: without it, or with one that a newer Java
    # refuses, everything works. Made in place, since it is bound to the jars' full paths.
    with tempfile.TemporaryDirectory(prefix="eventresults-kafka-archive-") as scratch:
        folder = Path(scratch)
        log, properties, recorded = folder / "log", folder / "server.properties", folder / "classes.jsa"
        ports = ReservedPorts(2)
        plain, controller = ports.numbers
        listening = [NodePorts(plain=plain, controller=controller)]
        properties.write_text(server_properties(0, listening, data=folder / "data"))
        options = (*FAST_START, f"-XX:ArchiveClassesAtExit={recorded}")
        tool = Child(java_command(STORAGE_TOOL, *format_arguments(properties), heap_mb=256), log=log)
        broker = None
        try:
            tool.wait(_ARCHIVING_TIMEOUT)
            broker = Child(java_command(BROKER, str(properties), heap_mb=512, options=options), log=log)
            if _ends_well(broker, log) and recorded.exists():
                # Beside its place first: the two folders may be on different disks, where a move is no single step.
                beside = _archive().with_suffix(".new")
                beside.write_bytes(recorded.read_bytes())
                beside.replace(_archive())
        finally:
            tool.kill()
            if broker is not None:
                broker.kill()
            ports.release()


def _ends_well(broker: Child, log: Path) -> bool:
    def started_or_ended() -> bool:
        return broker.exit_code is not None or _STARTED in log.read_bytes()

    try:
        poll(started_or_ended, timeout=_ARCHIVING_TIMEOUT, what="a broker to record its classes")
    except TimeoutError:
        return False
    broker.ask_to_end()
    return broker.wait(_ARCHIVING_TIMEOUT)
