"""`eventresults doctor`: is everything as it should be on this machine, and if not, what to do."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Literal, NamedTuple

import typer

from eventresults.bootstrap import kafka_client, view_folder
from eventresults.cli.connection import opened, settings_of
from eventresults.cli.exits import ExitCode
from eventresults.cli.logread import Stretch, read
from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import print_rows
from eventresults.cli.terminal import say
from eventresults.cli.topic import problems_of
from eventresults.config import Settings
from eventresults.config.durations import words
from eventresults.errors import EventResultsError, ViewLocked
from eventresults.log.base import LogInfo

if TYPE_CHECKING:
    from eventresults.tracker import Tracker

OLDEST_PYTHON = (3, 11)
FREE_BYTES = 2**30
FREE_BYTES_LEAST = 100 * 2**20
SKEW = 5.0


class Finding(NamedTuple):
    """What one check found; `advice` says what to do about it."""

    check: str
    status: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Patient:
    """What is examined."""

    settings: Settings
    tracker: Tracker


def doctor(*, url: Url = None, view: View = None, output: Output = None) -> None:
    """Check Python, dependencies, configuration, log, topic, view, disk and clock. Exit 1 if a check fails; each says what to do."""
    findings = list(examine(url, view))
    rows = [finding._asdict() for finding in findings]
    print_rows(rows, output=output, columns=Finding._fields)
    failed = sum(finding.status == "fail" for finding in findings)
    if failed:
        say(f"{failed} of {len(findings)} checks failed.")
        raise typer.Exit(ExitCode.FAILED)


def examine(url: str | None, view: str | None) -> Iterator[Finding]:
    """Check after check; one that fails ends neither the others nor the command."""
    yield _python()
    yield from _dependencies()
    try:
        settings = settings_of(url, view)
    except EventResultsError as error:
        yield Finding("configuration", "fail", str(error), "correct it; the checks that need it were left out")
        return
    given = [name for name, source in settings.sources.items() if source != "default"]
    yield Finding("configuration", "ok", f"{settings.log.masked} ({', '.join(given) or 'all defaults'})")
    with opened(url, view) as tracker:
        patient = Patient(settings, tracker)
        for name, check in CHECKS.items():
            try:
                yield from check(patient)
            except EventResultsError as error:
                yield Finding(name, "fail", str(error), "see the message")
            except OSError as error:
                yield Finding(name, "fail", f"{type(error).__name__}: {error}", "see the message")


def _python() -> Finding:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("Python", "fail", found, "use 3.11 or later")
    return Finding("Python", "ok", f"{found} at {sys.executable}")


def _dependencies() -> Iterator[Finding]:
    try:
        wanted = requires("eventresults") or []
    except PackageNotFoundError:
        yield Finding("dependencies", "warn", "eventresults is not installed as a package", "run pip install eventresults")
        return
    missing = [text for text in wanted if "extra ==" not in text and not _met(text)]
    if missing:
        yield Finding("dependencies", "fail", f"not met: {', '.join(missing)}", "run pip install --upgrade eventresults")
    else:
        yield Finding("dependencies", "ok", f"eventresults {version('eventresults')}, all requirements met")


def _met(requirement: str) -> bool:
    """Whether it is installed, in the version asked for or a later one."""
    name = re.match(r"[\w.-]+", requirement)
    least = re.search(r">=\s*([\d.]+)", requirement)
    try:
        found = version(name[0] if name else requirement)
    except PackageNotFoundError:
        return False
    return least is None or _numbers(found) >= _numbers(least[1])


def _numbers(text: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", text)]


def _client(patient: Patient) -> Iterator[Finding]:
    settings = patient.settings
    if settings.log.scheme == "sqlite":
        import sqlite3  # noqa: PLC0415 - only where it is used

        yield Finding("client", "ok", f"SQLite {sqlite3.sqlite_version}")
    elif settings.log.scheme.startswith("kafka"):
        client = kafka_client(settings)
        package = "confluent-kafka" if client == "confluent" else "kafka-python"
        slower = client != "confluent"
        advice = "pip install 'eventresults[confluent]' for a faster client" if slower else ""
        yield Finding("client", "ok", f"{package} {version(package)}", advice)


def _log(patient: Patient) -> Iterator[Finding]:
    begun = monotonic()
    info = patient.tracker.log.info(patient.settings.connect_timeout)
    took = monotonic() - begun
    held = sum(info.ends[p] - info.starts[p] for p in info.ends)
    yield Finding("log", "ok", f"answered in {words(max(took, 0.001))}: {info.partitions} partition(s), about {held:,} records")
    yield from _clock(patient, info)


def _clock(patient: Patient, info: LogInfo) -> Iterator[Finding]:
    """Nothing recorded may lie in our future."""
    newest = None
    for partition, end in info.ends.items():
        if end > info.starts[partition]:
            for one in read(patient.tracker.log, Stretch({partition: max(info.starts[partition], end - 8)}, {partition: end})):
                newest = max(newest or 0, one.record.log_time)
    if newest is None:
        yield Finding("clock", "ok", "the log is empty: nothing to compare with")
        return
    ahead = newest / 1000 - time()
    if ahead > SKEW:
        yield Finding(
            "clock",
            "warn",
            f"the last record lies {words(round(ahead))} in this machine's future",
            "synchronise the clocks (NTP) of this machine and the brokers",
        )
    else:
        yield Finding("clock", "ok", f"the last record is {words(max(round(-ahead), 0))} old")


def _topic(patient: Patient) -> Iterator[Finding]:
    problems = problems_of(patient.tracker.log, patient.settings.connect_timeout)
    for problem in problems:
        status: Literal["fail", "warn"] = "fail" if problem.severity == "error" else "warn"
        yield Finding("topic", status, f"{problem.setting} is {problem.have or 'unset'}", f"set it to {problem.want}: {problem.why}")
    if not problems:
        yield Finding("topic", "ok", "as it should be")


def _view(patient: Patient) -> Iterator[Finding]:
    try:
        stats = patient.tracker.view_stats()
    except ViewLocked as locked:
        yield Finding("view", "warn", str(locked), "fine while that process is yours: it owns the view")
        return
    lag = sum(one["lag"] for one in stats["partitions"])
    yield Finding("view", "ok", f"{stats['path']}, generation {stats['generation']}, {lag:,} records behind")


def _disk(patient: Patient) -> Iterator[Finding]:
    if patient.settings.log.scheme == "memory" and patient.settings.view is None:
        return
    folder = view_folder(patient.settings).absolute()
    while not folder.exists() and folder != folder.parent:
        folder = Path(folder.parent)
    usage = shutil.disk_usage(folder)
    found = f"{usage.free / 2**30:,.1f} GiB free at {folder}"
    advice = "make room, or choose another folder with --view"
    if usage.free < FREE_BYTES_LEAST:
        yield Finding("disk", "fail", found, advice)
    elif usage.free < FREE_BYTES:
        yield Finding("disk", "warn", found, advice)
    else:
        yield Finding("disk", "ok", found)


CHECKS: Mapping[str, Callable[[Patient], Iterator[Finding]]] = {
    "client": _client,
    "log": _log,
    "topic": _topic,
    "view": _view,
    "disk": _disk,
}
