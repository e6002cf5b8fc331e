"""The service manager, the log on stderr, and the socket's file."""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import uuid

import pytest
from kafka.errors import NodeNotReadyError

from eventresults.errors import ConfigError
from eventresults.service.web.address import listen, listen_unix, remove_unix
from eventresults.service.web.brokernews import BrokerNews
from eventresults.service.web.logs import structured_logs
from eventresults.service.web.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path, monkeypatch):
    """A service manager's end, and its name."""
    monkeypatch.chdir(tmp_path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    named = str(tmp_path / "n") if request.param == "path" else f"@eventresults-{uuid.uuid4().hex}"
    listening.bind("\0" + named[1:] if named[0] == "@" else named)
    listening.settimeout(5)
    yield named, listening
    listening.close()


def test_the_service_manager_is_told(manager):
    named, listening = manager
    notifier = Notifier({"NOTIFY_SOCKET": named})
    notifier.tell(READY=1, STATUS="two\nlines")
    assert notifier
    assert listening.recv(1000) == b"READY=1\nSTATUS=two lines"


def test_without_a_service_manager_nobody_is_told():
    notifier = Notifier({})
    notifier.tell(READY=1)
    assert not notifier
    assert notifier.watchdog is None


def test_a_service_manager_that_is_gone_is_told_of_once(tmp_path, caplog):
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.tell(READY=1)
    notifier.tell(READY=1)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_hears_of_us_twice_in_its_time(environ, seconds):
    assert Notifier(environ).watchdog == seconds


# Logs


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_logs_are_json_lines_with_their_fields(capsys):
    with structured_logs("INFO", terminal=False):
        logging.getLogger("eventresults.some").info("moved to %d", 3)
        logging.getLogger("eventresults.some").debug("not this")
        logging.getLogger("another.library").info("nor this")
        try:
            raise ValueError("inner")
        except ValueError:
            logging.getLogger("another.library").exception("but this")
    first, second = lines(capsys.readouterr().err)
    assert (first["event"], first["level"], first["logger"]) == ("moved to 3", "info", "eventresults.some")
    assert first["timestamp"].endswith("Z")
    assert "ValueError: inner" in second["exception"]


def test_requests_are_logged_as_fields_without_their_query_and_without_health(capsys):
    access = logging.getLogger("uvicorn.access")
    with structured_logs("INFO", terminal=False):
        for path in ("/livez", "/metrics", "/api/v1/tasks/a?token=hunter2"):
            access.info('%s - "%s %s HTTP/%s" %d', "1.2.3.4:5", "GET", path, "1.1", 200)
    text = capsys.readouterr().err
    (said,) = lines(text)
    assert (said["event"], said["client"], said["method"], said["path"], said["status"]) == (
        "request",
        "1.2.3.4:5",
        "GET",
        "/api/v1/tasks/a",
        200,
    )
    assert "hunter2" not in text


def test_on_a_terminal_nothing_that_is_logged_moves_the_cursor(capsys):
    with structured_logs("INFO", terminal=True):
        logging.getLogger("eventresults.some").info("task %s", "\x1b[2Jfalse\nline")
    text = capsys.readouterr().err
    assert "\\x1b[2Jfalse\\nline" in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_a_traceback_shows_no_variables(capsys, terminal):
    def asked(token: str) -> None:
        raise ValueError("inner")

    with structured_logs("INFO", terminal=terminal):
        try:
            asked("hunter" + "2")
        except ValueError:
            logging.getLogger("eventresults.some").exception("failed")
    text = capsys.readouterr().err
    assert "ValueError: inner" in text
    assert "hunter2" not in text


RESET = "[Errno 104] Connection reset by peer"


def lose_broker(number: int) -> None:
    """What kafka-python 3.0.12 logs of one connection."""
    transport, connection = "<KafkaTCPTransport [none]>", f"<KafkaConnection node_id={number} broker_version=(4, 3) (disconnected)>"
    try:
        raise ConnectionResetError(104, "Connection reset by peer")
    except ConnectionResetError:
        logging.getLogger("kafka.net.transport").exception("%s: Error receiving network data closing socket", transport)
    logging.getLogger("kafka.net.transport").error("%s: Abort (KafkaConnectionError: %s)", transport, RESET)
    logging.getLogger("kafka.net.connection").error("%s: Connection lost: KafkaConnectionError: %s", connection, RESET)
    logging.getLogger("kafka.consumer.fetcher").error("Fetch to node %s failed: KafkaConnectionError: %s", number, RESET)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_broker_that_goes_away_is_one_line_without_a_traceback(capsys, terminal):
    with structured_logs("INFO", terminal=terminal):
        for _ in range(10):
            lose_broker(2)
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 1
    assert "node_id=2" in text
    assert RESET in text
    assert "Traceback" not in text


def test_each_broker_that_is_away_is_told_of_once_a_minute(caplog):
    now = [0.0]
    with caplog.filtering(BrokerNews(lambda: now[0])):
        for now[0] in (0.0, 1.0, 59.0, 60.0, 61.0):
            lose_broker(1)
            lose_broker(2)
    assert [next(broker for broker in (1, 2) if f"node_id={broker}" in said) for said in caplog.messages] == [1, 2, 1, 2]


def test_a_broker_that_librdkafka_cannot_reach_is_told_of_once_a_minute_for_all_its_clients(caplog):
    lost = "FAIL [us#consumer-4] [thrd:h:1/1]: h:1/1: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)"
    with caplog.filtering(BrokerNews(lambda: 0.0)):
        for name in ("reader", "membership", "asker", "reader"):
            logging.getLogger(f"eventresults.log.confluent.{name}").error(lost)
        logging.getLogger("eventresults.log.confluent.reader").error("FAIL [us#consumer-4]: SASL authentication error")
    assert caplog.messages == [lost, "FAIL [us#consumer-4]: SASL authentication error"]


def test_an_address_to_begin_with_that_is_away_is_no_news(caplog):
    with caplog.filtering(BrokerNews()):
        connection = "<KafkaConnection node_id=bootstrap-2 broker_version=unknown (disconnected)>"
        logging.getLogger("kafka.net.connection").error("%s: Connection lost: KafkaConnectionError: 111 ECONNREFUSED", connection)
    assert caplog.messages == []


def test_what_a_broker_refused_is_one_line_without_a_traceback(capsys):
    with structured_logs("INFO", terminal=False):
        try:
            raise NodeNotReadyError("node 1")
        except NodeNotReadyError:
            logging.getLogger("kafka.coordinator").exception("Offset commit failed")
    (said,) = lines(capsys.readouterr().err)
    assert (said["event"], said["error"]) == ("Offset commit failed", "NodeNotReadyError: node 1")


def test_a_defect_that_a_kafka_client_met_keeps_its_traceback(capsys):
    with structured_logs("INFO", terminal=False):
        try:
            raise KeyError("inner")
        except KeyError:
            logging.getLogger("kafka.future").exception("Error processing callback")
    (said,) = lines(capsys.readouterr().err)
    assert "Traceback" in said["exception"]


def test_logging_is_as_before_afterwards():
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("uvicorn").level
    with structured_logs("DEBUG"):
        pass
    assert (root.handlers, root.level, logging.getLogger("uvicorn").level) == before


# Addresses


def test_a_unix_socket_is_for_this_user_alone_and_is_removed(tmp_path):
    path = tmp_path / "s"
    listening = listen_unix(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    inode = path.stat().st_ino
    listening.close()
    remove_unix(str(path), inode)
    assert not path.exists()
    remove_unix(str(path), inode)


def test_a_socket_that_nobody_listens_at_is_replaced_and_another_process_s_is_not(tmp_path):
    path = str(tmp_path / "s")
    listen_unix(path).close()
    second = listen_unix(path)
    with pytest.raises(ConfigError, match="another process"):
        listen_unix(path)
    second.close()


def test_a_file_is_never_taken_for_a_socket(tmp_path):
    file = tmp_path / "s"
    file.write_text("precious")
    with pytest.raises(ConfigError, match="no socket"):
        listen_unix(str(file))
    assert file.read_text() == "precious"


def test_a_port_that_is_taken_is_an_error_that_says_so():
    first = listen("127.0.0.1", 0)
    with pytest.raises(ConfigError, match="choose another --port"):
        listen("127.0.0.1", first.getsockname()[1])
    first.close()


def test_a_host_that_is_none_is_an_error():
    with pytest.raises(ConfigError, match="choose another --host"):
        listen("no.such.host.invalid", 0)


def test_what_is_accepted_is_sent_without_delay():
    # asyncio sets TCP_NODELAY on sockets that say that they are TCP's
    with listen("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
