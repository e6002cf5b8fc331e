"""The service as operators have it: a process, its socket, its signals, its exit codes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import eventresults
from eventresults.view import protocol
from tests.support.views import until

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from eventresults.cli import main; main()"]
DEADLINE = 30.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and sockets")


@dataclass
class Served:
    """A service that runs."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str

    @property
    def lines(self) -> list[dict]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Signal it, and wait for its end; how long that took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(DEADLINE)
        return time.monotonic() - begun


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("EVENTRESULTS_", "NOTIFY_", "WATCHDOG_"))}
    return {**inherited, "PYTHONPATH": str(ROOT), "EVENTRESULTS_URL": f"sqlite:///{tmp_path}/events.db", "HOME": str(tmp_path)}


@pytest.fixture
def serve(tmp_path, environment) -> Iterator:
    running: list[subprocess.Popen[bytes]] = []

    def start(*options: str, command: list[str] | None = None, ready: bool = True, **more: str) -> Served:
        log = tmp_path / f"serve-{len(running)}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [*(command or [*COMMAND, "serve"]), *(("--port", "0") if "--uds" not in options else ()), *options],
                stderr=stderr, cwd=tmp_path, env={**environment, **more},
            )  # fmt: skip
        running.append(process)
        served = Served(process, log, "")
        until(lambda: "serving" in log.read_text() or process.poll() is not None, timeout=DEADLINE)
        assert process.poll() is None, log.read_text()
        found = re.search(r'"serving \S+ at (\S+)"', log.read_text())
        assert found
        served.url = found[1]
        if ready and "://" in served.url and served.url.startswith("http:"):
            until(lambda: _answers(served.url), timeout=DEADLINE)
        return served

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(DEADLINE)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def tracker(environment) -> Iterator[eventresults.Tracker]:
    """A process that records, and reads elsewhere if at all."""
    with eventresults.connect(environment["EVENTRESULTS_URL"], own="never") as one:
        yield one


def run(environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment, timeout=DEADLINE, check=False)


def test_a_task_is_read_over_http_as_soon_as_it_was_recorded(serve, tracker):
    served = serve()
    recorder = tracker.recorder()
    for number in range(20):
        recorder.sent(f"t/{number}", name="n").result(5)
        found = httpx.get(f"{served.url}/api/v1/tasks/t%2F{number}")
        assert (found.status_code, found.json()["state"]) == (200, "PENDING")
    assert httpx.get(f"{served.url}/api/v1/tasks/nobody").status_code == 404


def test_the_projector_serves_the_same(serve, tracker):
    served = serve(command=[sys.executable, "-m", "consumers.projector"])
    tracker.recorder().succeeded("t", result=1).result(5)
    assert httpx.get(f"{served.url}/api/v1/tasks/t").json()["result"] == 1
    assert served.stop() < 5
    assert served.process.returncode == 0


def test_sigterm_ends_streams_and_requests_in_good_order(serve, tracker):
    # given
    served = serve()
    tracker.recorder().sent("t", name="n").result(5)
    ended = threading.Event()
    begun = threading.Event()
    seen: list[str] = []

    def follow() -> None:
        with httpx.stream("GET", f"{served.url}/api/v1/events", params={"ids": "t"}, timeout=DEADLINE) as stream:
            for line in stream.iter_lines():
                seen.append(line)
                begun.set()
        ended.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(DEADLINE)

    # when
    took = served.stop()

    # then
    assert served.process.returncode == 0
    assert took < 4
    assert ended.wait(DEADLINE)
    thread.join(5)
    assert any(": the service stops" in line for line in seen)
    assert served.lines[-1]["event"] == "stopped serving"
    assert not any(line["level"] in {"error", "warning"} for line in served.lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_ends_it_with_0(serve, number):
    served = serve()
    assert served.stop(number) < 4
    assert served.process.returncode == 0


def test_a_second_signal_ends_it_at_once(serve, environment):
    # given: a request that takes nothing holds the first one up for its 5 seconds
    served = serve()
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST /api/v1/tasks:batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")
        time.sleep(0.3)
        served.process.send_signal(signal.SIGTERM)
        until(lambda: "Shutting down" in served.log.read_text())

        # when
        took = served.stop()

    # then
    assert took < 1
    assert served.process.returncode == -signal.SIGTERM


def test_a_public_address_without_a_token_is_78_and_says_what_to_do(environment):
    done = run(environment, "serve", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 78
    assert "EVENTRESULTS_TOKEN" in done.stderr
    assert "--token-file" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_public_address_with_a_token_asks_for_it_and_never_logs_it(serve):
    served = serve("--host", "0.0.0.0", EVENTRESULTS_TOKEN="hunter2-secret")
    assert httpx.get(f"{served.url}/api/v1/tasks").status_code == 401
    assert httpx.get(f"{served.url}/api/v1/tasks?token=hunter2-secret").status_code == 401
    assert httpx.get(f"{served.url}/api/v1/tasks", headers={"Authorization": "Bearer hunter2-secret"}).status_code == 200
    served.stop()
    assert "hunter2" not in served.log.read_text()
    assert any(line.get("status") == 401 for line in served.lines)


def test_a_process_with_another_token_is_told_so_and_the_service_takes_it_for_no_fault_of_its_own(serve, environment):
    served = serve("--host", "0.0.0.0", EVENTRESULTS_TOKEN="right")
    done = run({**environment, "EVENTRESULTS_TOKEN": "wrong"}, "task", "show", "t1", "--view", served.url)
    assert done.returncode == 78
    assert "does not accept this process's token (401)" in done.stderr
    served.stop()
    assert not [line for line in served.lines if line["level"] not in {"info", "debug"}]


def test_a_signal_ends_it_while_it_still_waits_for_its_log(environment, tmp_path):
    # given: a log that does not answer
    with socket.create_server(("127.0.0.1", 0)) as silent, (tmp_path / "log").open("wb") as log:
        url = f"kafka://127.0.0.1:{silent.getsockname()[1]}/t?connect_timeout=60s&client=kafka-python"
        process = subprocess.Popen([*COMMAND, "serve", "--port", "0", "--url", url], env=environment, stderr=log)
        try:
            silent.settimeout(DEADLINE)
            silent.accept()[0].close()  # it has begun to ask

            # when
            process.terminate()

            # then
            assert process.wait(DEADLINE) == 0
        finally:
            process.kill()


def test_a_port_that_is_taken_is_78(serve, environment):
    served = serve()
    environment = {**environment, "EVENTRESULTS_URL": "memory://"}
    done = run(environment, "serve", "--port", served.url.rpartition(":")[2])
    assert done.returncode == 78
    assert "--port" in done.stderr


def test_a_view_that_another_service_serves_is_69(serve, environment):
    serve()
    done = run(environment, "serve", "--port", "0")
    assert done.returncode == 69
    assert "A service (pid" in done.stderr


def test_a_process_that_owns_the_view_lets_a_service_have_it_and_reads_on(serve, environment):
    with eventresults.connect(environment["EVENTRESULTS_URL"]) as tracker:
        # given: this process owns it, and waits for something
        fired = []
        tracker.recorder().sent("t-yield")
        assert tracker.read("t-yield") is not None
        tracker.AsyncResult("t-yield").then(lambda result: fired.append(result.result))
        assert tracker.view_stats()["pid"] == os.getpid()

        # when
        served = serve()

        # then
        assert tracker.view_stats()["pid"] == served.process.pid
        tracker.recorder().succeeded("t-yield", result=7).result(10)
        assert tracker.AsyncResult("t-yield").get(timeout=10) == 7
        until(lambda: fired == [7])


def test_a_service_cannot_serve_another_service(environment):
    done = run(environment, "serve", "--port", "0", "--view", "http://127.0.0.1:1")
    assert done.returncode == 78
    assert "folder" in done.stderr


def test_healthcheck_is_0_when_ready_and_1_when_not(serve, environment, tmp_path):
    served = serve()
    done = run(environment, "healthcheck", "--url", served.url)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (0, "", "ready")
    served.stop()
    done = run(environment, "healthcheck", "--url", served.url)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    strict = serve("--min-free", str(2**40), ready=False)
    done = run(environment, "healthcheck", "--url", strict.url)
    assert done.returncode == 1
    assert "disk" in done.stderr


def test_a_unix_socket_is_served_and_left_clean(serve, environment, tmp_path):
    path = tmp_path / "s"
    served = serve("--uds", str(path), EVENTRESULTS_SERVE_HOST="0.0.0.0")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://any.name") as client:
        until(lambda: client.get("/readyz").status_code == 200)
        assert client.get("/api/v1/tasks").json() == {"items": [], "next_cursor": None}
    assert run(environment, "healthcheck", "--uds", str(path)).returncode == 0
    served.stop()
    assert served.process.returncode == 0
    assert not path.exists()


def test_the_service_manager_is_told_when_it_is_ready_lives_and_stops(serve, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE)
        served = serve(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")
        told = ""
        while "READY=1" not in told or told.count("WATCHDOG=1") < 3:
            told += manager.recv(4096).decode() + "\n"
        served.process.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in told:
            told += manager.recv(4096).decode() + "\n"
        assert served.process.wait(DEADLINE) == 0


def test_a_slow_client_does_not_hold_up_the_fold(serve, tracker):
    # given: a client that follows a task and reads nothing
    served = serve()
    recorder = tracker.recorder()
    recorder.sent("busy", name="n").result(5)
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"GET /api/v1/events?ids=busy HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: 'eventresults_connections{kind="stream"} 1.0' in httpx.get(f"{served.url}/metrics").text)

        # when: more happens than any buffer on the way holds
        for number in range(4_000):
            recorder.updated("busy", state="PROGRESS", meta={"n": number, "much": "x" * 6_000})
        assert tracker.flush(DEADLINE)
        begun = time.monotonic()
        found = httpx.get(f"{served.url}/api/v1/tasks/busy", timeout=DEADLINE).json()

        # then
        assert found["progress"]["n"] == 3_999
        assert time.monotonic() - begun < 10
        assert httpx.get(f"{served.url}/readyz").status_code == 200
        # and it is told to come back, once it reads
        slow.settimeout(DEADLINE)
        told = b""
        while data := slow.recv(2**20):
            told = (told + data)[-(2**21) :]
            if b"event: lagged" in told:
                break
        assert b"event: lagged" in told
    assert served.stop() < 5


def test_a_process_elsewhere_reads_and_waits_through_the_service(serve, environment, tracker):
    # given
    served = serve(EVENTRESULTS_TOKEN="t0k3n")
    recorder = tracker.recorder()
    with eventresults.connect(environment["EVENTRESULTS_URL"], view=served.url, token="t0k3n") as elsewhere:
        result = elsewhere.AsyncResult("far")
        assert not result.exists()
        recorder.sent("far", name="n").result(5)
        assert result.exists()
        told: list[int] = []
        result.then(lambda r: told.append(r.result))

        # when
        threading.Timer(0.2, lambda: recorder.succeeded("far", result=42)).start()

        # then
        assert result.get(timeout=DEADLINE) == 42
        until(lambda: told == [42])
        assert elsewhere.verify() == []
        assert 'eventresults_connections{kind="socket"} 1.0' in httpx.get(
            f"{served.url}/metrics", headers={"Authorization": "Bearer t0k3n"}
        ).text  # fmt: skip


def test_projections_and_the_past_are_read_through_the_service(serve, environment):
    # given
    served = serve(EVENTRESULTS_PROJECTIONS="tests.support.projections:SPEND")
    with eventresults.connect(environment["EVENTRESULTS_URL"], view=served.url) as elsewhere:
        recorder = elsewhere.recorder()
        for number in range(10):
            recorder.sent(f"t{number}", name="pay", kwargs={"customer": "ada"})
            last = recorder.succeeded(f"t{number}", result=number)
        position = last.result(DEADLINE)

        # when, then
        spend = elsewhere.projection("spend-by-customer")
        assert (spend.get("ada"), list(spend.items())) == (45, [("ada", 45)])
        assert httpx.get(f"{served.url}/api/v1/projections/spend-by-customer/ada").json() == {"key": "ada", "state": 45}
        assert elsewhere.past.task("t0", position).source == "view"
        assert elsewhere.past.state({0: 4}).counts == {"SUCCESS": 2, "PENDING": 1}
        assert elsewhere.view_stats()["projections"] == {"spend-by-customer": 1}
    until(lambda: "eventresults_projection_failed" in httpx.get(f"{served.url}/metrics").text)


def test_processes_that_are_connected_are_told_that_it_goes(serve):
    # given
    served = serve()
    with connect(f"ws{served.url.removeprefix('http')}/api/v1/socket", max_size=None) as websocket:
        assert isinstance(protocol.reply(websocket.recv(DEADLINE)), protocol.Hello)
        for _ in range(2):
            assert isinstance(protocol.reply(websocket.recv(DEADLINE)), protocol.Beat)

        # when
        served.process.send_signal(signal.SIGTERM)

        # then
        last = None
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                last = protocol.reply(websocket.recv(DEADLINE))
        assert isinstance(last, protocol.Leaving)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert served.process.wait(DEADLINE) == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_https_with_a_certificate_of_ones_own(serve, environment, tmp_path):
    # given
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True, timeout=DEADLINE,
    )  # fmt: skip
    served = serve("--tls-cert", str(cert), "--tls-key", str(key))
    assert served.url.startswith("https://")

    # when / then
    import ssl

    context = ssl.create_default_context(cafile=str(cert))
    until(lambda: httpx.get(f"{served.url}/readyz", verify=context).status_code == 200)
    assert run(environment, "healthcheck", "--url", served.url).returncode == 1
    assert run(environment, "healthcheck", "--url", served.url, "--insecure").returncode == 0
    assert run(environment, "serve", "--tls-cert", str(cert)).returncode == 78
