"""Where a command finds the evidence: the ledger, published checkpoints, and files of proofs and reports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import typer

from eventresults.archive import as_log
from eventresults.audit.ledger import Ledger
from eventresults.audit.published import PublishedCheckpoints
from eventresults.audit.signing import PublicKey
from eventresults.audit.source import LogSource, Source
from eventresults.audit.succession import Chain, trusted
from eventresults.bootstrap import make_log
from eventresults.cli.connection import opened, settings_of
from eventresults.cli.terminal import say, to_json
from eventresults.config.url import LogUrl
from eventresults.domain.position import Position


@contextmanager
def source_of(url: str | None, view: str | None, archive: str | None) -> Iterator[tuple[Source, LogUrl]]:
    """The records to look at, those of the archive where one is named, else of the log; and the log's URL."""
    if archive is not None:
        settings = settings_of(url, view)
        yield ArchiveSource(as_log(archive), timeout=settings.connect_timeout), settings.log
        return
    with opened(url, view) as tracker:
        yield LogSource(tracker.log, timeout=tracker.settings.connect_timeout), tracker.settings.log


class ArchiveSource(LogSource):
    """The records of an archive, as it is when this is made. Raises as `eventresults.archive.as_log` does."""

    final = False


def signed_chains(source: Source, ledger: Ledger, keys: Mapping[str, PublicKey], published: str | None) -> Mapping[int, Chain]:
    """What is signed: by what was published, where that is named, and by the ledger."""
    with published_in(published, keys) as elsewhere:
        first = [] if elsewhere is None else elsewhere.checkpoints(source.log_id or "")
    if first and not ledger.exists:
        say(f"There is no ledger in {ledger.folder}: going by what was published alone.")
        return trusted(first, keys, log_id=source.log_id, url=source.url)
    return trusted([*first, *ledger.checkpoints()], keys, log_id=source.log_id, url=source.url)


@contextmanager
def published_in(url: str | None, keys: Mapping[str, PublicKey]) -> Iterator[PublishedCheckpoints | None]:
    """The published checkpoints in the log at this URL; None without one."""
    if url is None:
        yield None
        return
    settings = settings_of(url, None)
    with ExitStack() as stack:
        log = make_log(settings)
        stack.callback(log.close)
        yield stack.enter_context(PublishedCheckpoints(log, keys, timeout=settings.connect_timeout))


def ledger_folder(given: str | None, log: LogUrl) -> Path:
    """The folder that was given, else the one that goes with the log."""
    if given is not None:
        return Path(given).expanduser()
    return Path(f"{log.path}.ledger") if log.scheme == "sqlite" else Path(f"{log.topic or log.name or 'memory'}.ledger")


def position_of(text: str) -> Position | None:
    """The position that a text is; None when it is none."""
    try:
        return Position.parse(text)
    except ValueError:
        return None


def read_file(path: str) -> bytes:
    """A file that an argument names."""
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from error


def write_json(path: str, value: Any) -> None:
    """Write JSON to a file, all of it or nothing."""
    target = Path(path).expanduser()
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        part.write_text(to_json(value, indent=2) + "\n", "utf-8")
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}") from error
