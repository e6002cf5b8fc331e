"""The command line as a user has it: a process of its own, pipes, signals, and a log in a file."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from time import monotonic

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from eventresults.cli import main; main()"]
TIMEOUT = 60


@pytest.fixture
def environment(tmp_path):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EVENTRESULTS_")}
    return {**inherited, "PYTHONPATH": str(ROOT), "EVENTRESULTS_URL": "sqlite:///events.db", "HOME": str(tmp_path)}


@pytest.fixture
def shell(tmp_path, environment):
    def call(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments], input=stdin, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=TIMEOUT, check=False
        )

    return call


def _sent(*task_ids: str) -> str:
    return "".join(json.dumps({"kind": "task-sent", "task_id": task_id, "name": "n"}) + "\n" for task_id in task_ids)


def test_data_goes_to_stdout_and_the_rest_to_stderr(shell):
    done = shell("events", "append", stdin=_sent("a", "b"))
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["a", "b"]
    done = shell("task", "show", "a")
    assert (done.returncode, done.stderr, json.loads(done.stdout)["state"]) == (0, "", "PENDING")
    done = shell("task", "show", "nobody")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Error: ")


def test_a_log_that_cannot_be_reached_is_69_and_one_line(shell, tmp_path):
    (tmp_path / "file").write_text("")
    done = shell("task", "list", "--url", "sqlite:///file/events.db", "--view", str(tmp_path / "view"))
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_enough_ends_the_command_in_silence(tmp_path, environment, shell):
    assert shell("events", "append", stdin=_sent(*(f"task-{number}" for number in range(5_000)))).returncode == 0
    # given a reader that closes its end after the first line
    with subprocess.Popen(
        [*COMMAND, "events", "cat"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        # then
        assert process.wait(TIMEOUT) == 0
        assert process.stderr.read() == b""


def test_an_interrupt_is_130(tmp_path, environment, shell):
    assert shell("events", "append", stdin=_sent("a")).returncode == 0
    with subprocess.Popen(
        [*COMMAND, "events", "tail", "-f"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["event"]["task_id"] == "a"
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130
        assert b"Traceback" not in process.stderr.read()


def test_following_shows_what_another_process_appends(tmp_path, environment, shell):
    assert shell("events", "append", stdin=_sent("a")).returncode == 0
    with subprocess.Popen([*COMMAND, "events", "tail", "-f"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            assert shell("events", "append", stdin=_sent("b")).returncode == 0
            readable, _, _ = select.select([process.stdout], [], [], TIMEOUT)
            assert readable
            assert json.loads(process.stdout.readline())["event"]["task_id"] == "b"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(TIMEOUT)


def test_on_a_terminal_data_is_a_table(tmp_path, environment, shell):
    assert shell("events", "append", stdin=_sent("task-with-a-name")).returncode == 0
    master, slave = pty.openpty()
    try:
        with subprocess.Popen(
            [*COMMAND, "task", "list"], cwd=tmp_path, env={**environment, "TERM": "xterm"}, stdout=slave, stderr=subprocess.DEVNULL
        ) as process:
            os.close(slave)
            shown = _all_of(master)
            assert process.wait(TIMEOUT) == 0
    finally:
        os.close(master)
    assert "task-with-a-name" in shown
    assert "PENDING" in shown
    assert "{" not in shown


@pytest.mark.slow
def test_the_demo_does_real_work_and_its_next_commands_run(tmp_path, shell, environment):
    del environment["EVENTRESULTS_URL"]
    done = shell("demo", "--tasks", "30", "--workers", "2")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["tasks"] == 30 == sum(report["states"].values()) == sum(report["callbacks"].values())
    assert report["rebuilt"]["same_answers"] is True
    assert report["rebuilt"]["differences"] == 0
    assert list(report["exists"].values()) == [True, False]
    if "came without its tests" not in done.stderr:
        assert report["failures"]["SyntaxError"] >= 2
    assert report["example"]["history"][0]["kind"] == "task-sent"
    assert (tmp_path / "eventresults-demo" / "events.db").exists()
    for command in report["next"]:
        words = command.split()
        assert Path(words[0]).name == "eventresults"
        again = shell(*words[1:])
        # doctor may find fault with this machine; the others have nothing to complain of
        assert again.returncode == 0 or "doctor" in words, (command, again.stderr)
        assert again.stdout or "verify" in words


@pytest.mark.kafka
def test_on_kafka_a_topic_is_made_checked_written_and_read(shell, kafka):
    topic = f"cli-{uuid.uuid4().hex[:12]}"
    url = f"kafka://{kafka.bootstrap}/{topic}"
    # a missing topic is a misconfiguration, and the message says how to make it
    done = shell("task", "list", "--url", url)
    assert (done.returncode, done.stdout) == (78, "")
    assert f"eventresults topic init --url {url}" in done.stderr
    # made, it is as it should be
    made = shell("topic", "init", "--url", url, "--partitions", "3", "--replication-factor", "1", "--retention", "90d")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["retention.ms"] == str(90 * 86_400_000)
    checked = shell("topic", "check", "--url", url)
    assert checked.returncode == 0
    assert {json.loads(line)["severity"] for line in checked.stdout.splitlines()} <= {"warning"}
    # its partitions are for good
    again = shell("topic", "init", "--url", url, "--partitions", "4")
    assert again.returncode == 78
    assert "make a topic of another name" in again.stderr
    # and it is written and read
    assert shell("events", "append", "--url", url, stdin=_sent("a", "b", "c")).returncode == 0
    assert {json.loads(line)["id"] for line in shell("task", "list", "--url", url).stdout.splitlines()} == {"a", "b", "c"}
    assert len(shell("events", "cat", "--from", "1h ago", "--url", url).stdout.splitlines()) == 3
    assert shell("view", "verify", "--url", url).returncode == 0


@pytest.mark.kafka
def test_topic_check_fails_for_a_topic_that_forgets(shell, kafka, make_topic):
    topic = make_topic(cleanup_policy="compact")
    done = shell("topic", "check", "--url", f"kafka://{kafka.bootstrap}/{topic}")
    assert done.returncode == 1
    problems = {row["setting"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert problems["cleanup.policy"]["severity"] == "error"
    assert "compaction" in problems["cleanup.policy"]["why"]


def test_a_broker_that_is_not_there_is_69_in_the_time_allowed(shell):
    done = shell("task", "list", "--url", "kafka://127.0.0.1:1/t?connect_timeout=1s")
    assert (done.returncode, done.stdout) == (69, "")
    assert done.stderr.startswith("Error: no broker of 127.0.0.1:1 answered")
    assert done.stderr.count("\n") == 1


def _all_of(descriptor: int) -> str:
    """What a terminal got, until its other end is closed."""
    parts = []
    deadline = monotonic() + TIMEOUT
    while monotonic() < deadline:
        if not select.select([descriptor], [], [], 1)[0]:
            continue
        try:
            part = os.read(descriptor, 65_536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        parts.append(part)
    return b"".join(parts).decode()
