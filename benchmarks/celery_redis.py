"""What we are measured against: Celery's own result backend on a Redis of this machine."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from celery import Celery
from redis import Redis
from redis.exceptions import ConnectionError as NotThereYet


@contextmanager
def celery_on_redis(results: dict[str, Any]) -> Iterator[Celery | None]:
    """A Celery app whose finished tasks, by id, have these results; None where no redis-server is installed."""
    with redis_server() as url:
        if url is None:
            yield None
            return
        app = Celery("peer", backend=url, set_as_current=False)
        for task_id, result in results.items():
            app.backend.store_result(task_id, result, "SUCCESS")
        yield app


@contextmanager
def redis_server() -> Iterator[str | None]:
    """The URL of a Redis of this run's own; None where no redis-server is installed.

    On a free port of the loopback interface, without persistence, ended afterwards.
    """
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="eventresults-bench-redis-") as home:
        port = _free_port()
        command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", home]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                _await(server, port)
                yield f"redis://127.0.0.1:{port}/0"
            finally:
                server.terminate()


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(server: subprocess.Popen[bytes], port: int) -> None:
    with Redis(host="127.0.0.1", port=port) as client:
        while True:
            try:
                client.ping()
            except NotThereYet:
                assert server.poll() is None, f"redis-server ended with {server.returncode}"
                time.sleep(0.05)
            else:
                return
