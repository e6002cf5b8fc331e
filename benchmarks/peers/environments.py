"""Each peer's own environment, under `.cache/peers`, made once for each list of requirements."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / ".cache" / "peers"
INSTALL_SECONDS = 600.0
MADE = "made-of.txt"


class Unavailable(Exception):
    """This peer cannot be measured here; its text says why."""


def python(name: str, requirements: Sequence[str]) -> Path:
    """The Python of an environment that has these packages, installed first if need be. Raises `Unavailable`."""
    home = FOLDER / name
    made = home / MADE
    if not (made.is_file() and made.read_text().split("\n") == list(requirements)):
        shutil.rmtree(home, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(home)])
        _run([str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements])
        made.write_text("\n".join(requirements))
    return home / "bin" / "python"


def java(name: str, project: Path) -> list[str]:
    """The command that runs a class of this Maven project, built first if need be. Raises `Unavailable`."""
    program, maven = shutil.which("java"), shutil.which("mvn")
    if program is None or maven is None:
        raise Unavailable("it needs java (17 or later) and mvn on the PATH")
    home = FOLDER / name
    sources = "\n".join(path.read_text() for path in sorted(project.rglob("*")) if path.suffix in {".java", ".xml"})
    made = home / MADE
    if not (made.is_file() and made.read_text() == sources):
        shutil.rmtree(home, ignore_errors=True)
        _run([maven, "-q", "-B", "-f", str(project / "pom.xml"), "package", f"-DbuildFolder={home}"])
        made.write_text(sources)
    return [program, "-cp", f"{home}/*:{home}/libs/*"]


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"its installation took more than {INSTALL_SECONDS:g} s") from error
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        raise Unavailable(f"it could not be installed: {' '.join(lines[-3:])[-500:]}")
