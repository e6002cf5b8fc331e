"""A real worker, with a broker made of files."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from celery import _state

from tests.support.views import until

DEADLINE = 40.0


class Farm:
    """The workers of one app, and its client: the module `tasks` in this process."""

    def __init__(self, folder: Path, module: str, backend: str, *, conf: dict[str, Any] | None = None, **options: Any) -> None:
        """`conf` is Celery's, `options` are the backend's."""
        self.folder = folder
        self.module = module
        for name in ("queue", "control"):
            (folder / name).mkdir(exist_ok=True)
        self.settings = {
            "EVENTRESULTS_TEST_FOLDER": str(folder),
            "EVENTRESULTS_TEST_BACKEND": backend,
            "EVENTRESULTS_TEST_CONF": json.dumps(conf or {}),
            "EVENTRESULTS_TEST_OPTIONS": json.dumps({"view": str(folder / "view"), **options}),
        }

    @contextmanager
    def client(self) -> Iterator[Any]:
        """The module, as it reads this farm's settings."""
        before = dict(os.environ)
        current, default = _state._tls.current_app, _state.default_app
        os.environ.update(self.settings)
        sys.modules.pop(self.module, None)
        tasks = importlib.import_module(self.module)
        try:
            yield tasks
        finally:
            os.environ.clear()
            os.environ.update(before)
            tasks.app.backend.tracker.close()
            tasks.app.close()
            del sys.modules[self.module]
            _state._tls.current_app, _state.default_app = current, default

    @contextmanager
    def worker(self, name: str = "one", pool: str = "prefork") -> Iterator[subprocess.Popen[bytes]]:
        """A worker that is ready; it ends as it is told to."""
        log = self.folder / f"{name}.log"
        options = ["-P", pool, "-c", "2", "-l", "INFO", "-n", f"{name}@farm", "--without-mingle", "--without-gossip"]
        with log.open("ab") as file:
            process = subprocess.Popen(
                self.celery("worker", *options), env={**os.environ, **self.settings}, stdout=file, stderr=file, start_new_session=True
            )
        try:
            until(lambda: "ready." in log.read_text() or process.poll() is not None, timeout=DEADLINE)
            assert process.poll() is None, log.read_text()
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def celery(self, *arguments: str) -> list[str]:
        """A command line of Celery's."""
        return [sys.executable, "-m", "celery", "-A", self.module, *arguments]

    def run(self, *arguments: str) -> str:
        """What such a command prints."""
        done = subprocess.run(
            self.celery(*arguments), env={**os.environ, **self.settings}, capture_output=True, text=True, timeout=DEADLINE, check=True
        )
        return done.stdout

    def lose_commands(self) -> None:
        """The broker forgets who would have been told by it, and what."""
        for path in (*(self.folder / "control").iterdir(), *(self.folder / "queue").glob("*pidbox*")):
            path.unlink()

    def lines(self, name: str) -> int:
        """How often a task left a line in the file of this name."""
        file = self.folder / name
        return len(file.read_text().splitlines()) if file.exists() else 0
