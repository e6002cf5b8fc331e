"""Kafka's jars: which version, where they are kept, how they get there."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.kafka.errors import KafkaNotInstallableError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBS_VARIABLE = "EVENTRESULTS_KAFKA_LIBS"
_POM = Path(__file__).with_name("pom.xml")
_REPOSITORY = Path(__file__).parents[3]
_MAVEN_TIMEOUT = 600.0


def kafka_version() -> str:
    """Return the version of Kafka that `pom.xml` names."""
    match = re.search(r"<kafka\.version>(.+?)</kafka\.version>", _POM.read_text())
    if match is None:
        message = f"{_POM} names no kafka.version"
        raise ValueError(message)
    return match[1]


def jar_folder() -> Path:
    """Return where the jars are kept: $EVENTRESULTS_KAFKA_LIBS, else `.cache/kafka/<version>/` in the repository."""
    chosen = os.environ.get(LIBS_VARIABLE)
    return Path(chosen).absolute() if chosen else _REPOSITORY / ".cache" / "kafka" / kafka_version()


def jars_are_present() -> bool:
    """Say whether the folder holds the jars of the present `pom.xml`."""
    stamp = jar_folder() / _POM.name
    return stamp.is_file() and stamp.read_bytes() == _POM.read_bytes()


def classpath() -> str:
    """Return the Java class path. Sorted, because a class archive is only good for the order it was recorded with."""
    return os.pathsep.join(map(str, sorted(jar_folder().glob("*.jar"))))


def java() -> str:
    """Return the Java to run. Raises KafkaNotInstallableError if there is none."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if found is None:
        message = "there is no java: install a Java 17 runtime or newer, or set JAVA_HOME"
        raise KafkaNotInstallableError(message)
    return found


@contextmanager
def install_lock() -> Iterator[None]:
    """Hold off other processes that would install at the same time. Not re-entrant."""
    parent = jar_folder().parent
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / f".{jar_folder().name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def fetch_jars() -> None:
    """Have Maven copy the jars into the folder, which appears whole or not at all. Call with the lock held.

    Raises KafkaNotInstallableError, with Maven's words, if that cannot be done within ten minutes.
    """
    maven = shutil.which("mvn")
    if maven is None:
        message = "there is no mvn: install Maven 3.6 or newer, or point EVENTRESULTS_KAFKA_LIBS at installed jars"
        raise KafkaNotInstallableError(message)
    target = jar_folder()
    if not os.environ.get(LIBS_VARIABLE):
        # The cache ignores itself, so that it needs no line in the repository's own .gitignore.
        (target.parent / ".gitignore").write_text("*\n")
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        fresh = Path(scratch) / "fresh"
        _run_maven(maven, fresh)
        shutil.copy(_POM, fresh)
        if target.exists():
            target.rename(Path(scratch) / "stale")
        fresh.rename(target)


def _run_maven(maven: str, target: Path) -> None:
    command = [maven, "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_MAVEN_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"Maven did not fetch Kafka within {_MAVEN_TIMEOUT:g} s: is its repository reachable?"
        raise KafkaNotInstallableError(message) from error
    if done.returncode != 0:
        message = f"Maven could not fetch Kafka (exit code {done.returncode}):\n{done.stdout[-2000:]}"
        raise KafkaNotInstallableError(message)
