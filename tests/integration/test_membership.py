"""Members of a consumer group share a topic's partitions: both clients, alone and mixed, on real brokers."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kafka import KafkaAdminClient, KafkaConsumer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from eventresults.errors import Closed, ConfigError, LogError, LogUnavailable, TopicMisconfigured, ViewStale
from eventresults.log import brokermembership
from eventresults.log.brokerlog import BrokerLog
from eventresults.log.confluent import ConfluentLog
from eventresults.log.kafka import KafkaLog
from eventresults.testing.logs import DEADLINE, writing
from tests.support.kafka import Kafka
from tests.support.kafka.fixtures import MakeTopic
from tests.support.kafka.ports import ReservedPorts

pytestmark = pytest.mark.kafka

_REPOSITORY = Path(__file__).parents[2]

SESSION = 2.0  # brokers allow 6 s and more, unless told as ours are
#: Brokers and members share the machine with whatever else runs there.
PATIENCE = 60.0
QUICK: dict[str, Any] = {"session_timeout": SESSION, "heartbeat_interval": 0.3}
PARTITIONS = frozenset(range(4))
CLIENTS = {"kafka-python": KafkaLog, "confluent": ConfluentLog}


class Event(NamedTuple):
    when: float
    who: str
    what: str
    partition: int


class Member:
    """A member that starts what it is assigned where it last was, and reads; everything that happens goes into a common diary."""

    def __init__(self, log: BrokerLog, group: str, name: str, diary: list[Event], *, starts: bool = True, **settings: Any) -> None:
        self.name = name
        self.diary = diary
        self.address = f"http://{name}:80"
        self.positions: defaultdict[int, int] = defaultdict(int)
        self.values: defaultdict[int, list[bytes | None]] = defaultdict(list)
        self.errors: list[Exception] = []
        self._starts = starts
        self._stop = threading.Event()
        self.paused = threading.Event()
        self.membership = log.join(group, self, **{"address": self.address, **QUICK, **settings})
        self._thread = threading.Thread(target=self._read, name=f"test-{name}")
        self._thread.start()

    def assigned(self, partitions: frozenset[int]) -> None:
        self._note("assigned", partitions)
        if self._starts:
            self.membership.start({number: self.positions[number] for number in partitions})

    def revoked(self, partitions: frozenset[int]) -> None:
        self._note("revoked", partitions)

    def lost(self, partitions: frozenset[int]) -> None:
        self._note("lost", partitions)

    @property
    def holds(self) -> frozenset[int]:
        return self.membership.assigned

    def told(self) -> list[tuple[str, int]]:
        return [(event.what, event.partition) for event in self.diary if event.who == self.name and event.what != "read"]

    def close(self) -> None:
        self._stop.set()
        self.membership.close()
        self._thread.join(DEADLINE)

    def _note(self, what: str, partitions: Any) -> None:
        self.diary += [Event(time.monotonic(), self.name, what, number) for number in partitions]

    def _read(self) -> None:
        while not self._stop.is_set():
            if self.paused.is_set():
                time.sleep(0.02)
                continue
            try:
                polls = self.membership.poll(0.5)
            except Closed:
                return
            except (LogError, ViewStale) as error:
                self.errors.append(error)
                time.sleep(0.05)
                continue
            self._note("read", polls)
            for number, poll in polls.items():
                self.positions[number] = poll.next_offset
                self.values[number] += [record.value for record in poll.records]
            self.membership.commit({number: poll.next_offset for number, poll in polls.items()})


class Stage:
    """One topic of four partitions, one group, and members that are closed after the test."""

    def __init__(self, kafka: Kafka, topic: str, stack: ExitStack) -> None:
        self.kafka = kafka
        self.topic = topic
        self.group = f"group-of-{topic}"
        self.diary: list[Event] = []
        self._stack = stack

    def log(self, client: str) -> BrokerLog:
        return self._stack.enter_context(closing(CLIENTS[client](self.kafka.bootstrap, self.topic)))

    def member(self, client: str, name: str, **settings: Any) -> Member:
        return self._stack.enter_context(closing(Member(self.log(client), self.group, name, self.diary, **settings)))

    @contextmanager
    def writing(self, client: str) -> Iterator[None]:
        """Something in every partition, again and again."""
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.wait(0.01):
                for key in (b"a", b"abc", b"abcde", b"abcdefg", b"x1", b"x2", b"x3", b"x4"):
                    writer.append(key, b"%d" % number)
                number += 1

        with writing(self.log(client)) as writer:
            thread = threading.Thread(target=write, name="test-writer")
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()

    def child(self, client: str, name: str, **settings: Any) -> subprocess.Popen[str]:
        """A member in a process of its own, which prints what it is told."""
        log = CLIENTS[client]
        script = f"""
            from types import SimpleNamespace
            from {log.__module__} import {log.__name__} as Log
            def say(what):
                return lambda partitions: print(what, *sorted(partitions), flush=True)
            listener = SimpleNamespace(assigned=say("assigned"), revoked=say("revoked"), lost=say("lost"))
            log = Log({self.kafka.bootstrap!r}, {self.topic!r})
            with_settings = { ({"address": f"http://{name}:80", **QUICK, **settings})!r}
            membership = log.join({self.group!r}, listener, **with_settings)
            while True:
                membership.poll(1.0)
        """
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)], cwd=_REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        self._stack.callback(_end, process)
        return process


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stage(kafka: Kafka, make_topic: MakeTopic) -> Iterator[Stage]:
    topic = make_topic(partitions=4)
    with ExitStack() as stack:
        yield Stage(kafka, topic, stack)


# ── sharing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("first", "second"), [(one, other) for one in CLIENTS for other in CLIENTS], ids=lambda client: client)
def test_partitions_are_shared_one_reader_each_and_the_group_says_whose_they_are(stage: Stage, first: str, second: str) -> None:
    asker = stage.log(second)
    assert asker.owners(stage.group, DEADLINE) == {}
    with stage.writing("confluent"):
        # when there is one member, it has them all
        one = stage.member(first, "one")
        _until(lambda: one.holds == PARTITIONS and asker.owners(stage.group, DEADLINE) == dict.fromkeys(PARTITIONS, one.address))
        _until(lambda: one.values.keys() == PARTITIONS)
        # when another joins, they have two each
        other = stage.member(second, "other")
        _until(lambda: (len(one.holds), len(other.holds)) == (2, 2))
        assert one.holds | other.holds == PARTITIONS
        expected = dict.fromkeys(one.holds, one.address) | dict.fromkeys(other.holds, other.address)
        _until(lambda: asker.owners(stage.group, DEADLINE) == expected)
        _until(lambda: other.values.keys() == other.holds)
        # when one leaves, the other has them soon
        other.close()
        began = time.monotonic()
        _until(lambda: one.holds == PARTITIONS)
        assert time.monotonic() - began < SESSION / 2
        _until(lambda: asker.owners(stage.group, DEADLINE) == dict.fromkeys(PARTITIONS, one.address))
    one.close()
    # then
    assert asker.owners(stage.group, DEADLINE) == {}
    _nothing_was_shared(stage.diary)
    for member in (one, other):
        for values in member.values.values():
            assert values, "assigned, and never read"
    # what stayed was never taken away meanwhile, and its records came once and in order
    kept = PARTITIONS - {partition for what, partition in one.told()[:-4] if what == "revoked"}
    assert len(kept) == 2
    assert [one.told().count(("assigned", partition)) for partition in kept] == [1, 1]


@pytest.mark.slow
def test_one_that_is_killed_is_replaced_and_the_others_read_on_meanwhile(stage: Stage, client: str) -> None:
    # given one here, and one in a process
    stays = stage.member(client, "stays")
    _until(lambda: stays.holds == PARTITIONS)
    child = stage.child(client, "child")
    _until(lambda: len(stays.holds) == 2)
    with stage.writing(client):
        _until(lambda: all(stays.values[number] for number in stays.holds))
        kept = stays.holds
        # when it is killed, and another joins, which the group cannot decide before the dead one's time is up
        os.kill(child.pid, signal.SIGKILL)
        killed = time.monotonic()
        comes = stage.member(client, "comes")
        _until(lambda: stays.holds | comes.holds == PARTITIONS and len(comes.holds) == 2)
        assert SESSION / 2 < time.monotonic() - killed < SESSION + 4
        _until(lambda: all(comes.values[number] for number in comes.holds))
    # then
    assert kept <= stays.holds
    for partition in kept:
        times = [event.when for event in stage.diary if (event.who, event.what, event.partition) == ("stays", "read", partition)]
        assert max(after - before for before, after in itertools.pairwise(times)) < 2.0
    _nothing_was_shared(stage.diary)


@pytest.mark.slow
def test_one_that_was_frozen_has_lost_its_partitions_when_it_wakes_and_joins_again(stage: Stage, client: str) -> None:
    stays = stage.member(client, "stays")
    child = stage.child(client, "child")
    _, *held = _line(child).split()
    # when
    os.kill(child.pid, signal.SIGSTOP)
    _until(lambda: stays.holds == PARTITIONS)
    os.kill(child.pid, signal.SIGCONT)
    # then
    assert _line(child).split() == ["lost", *held]
    assert _line(child).split()[0] == "assigned"
    _until(lambda: len(stays.holds) == 2)


@pytest.mark.slow
def test_members_go_on_when_the_brokers_come_back_and_the_group_can_be_asked_again(stage: Stage) -> None:
    # given both clients in the group, and both have asked it
    members = [stage.member(client, client, session_timeout=DEADLINE) for client in CLIENTS]
    logs = [stage.log(client) for client in CLIENTS]
    _until(lambda: [len(member.holds) for member in members] == [2, 2])
    owners = _until(lambda: len(found := logs[0].owners(stage.group, DEADLINE)) == 4 and found)
    assert logs[1].owners(stage.group, DEADLINE) == owners
    # when
    stage.kafka.stop()
    time.sleep(3.0)  # long enough for the clients to give up their connections
    stage.kafka.start()
    # then
    for log in logs:
        _until(lambda log=log: _quietly(lambda: log.owners(stage.group, 3.0).keys() == PARTITIONS))
    for member in members:
        member.values.clear()
    with stage.writing("confluent"):
        _until(
            lambda: [len(member.holds) for member in members] == [2, 2] and all(member.values.keys() >= member.holds for member in members)
        )


def test_a_member_that_is_polled_in_short_slices_joins_all_the_same(stage: Stage, client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # What hung once in many runs: a join that was not done within a slice, and whose reason was gone by the next, was never completed.
    monkeypatch.setattr(brokermembership, "SLICE_SECONDS", 0.004)
    for number in range(3):
        member = stage.member(client, f"member-{number}")
        _until(lambda member=member: member.holds == PARTITIONS)
        member.close()


# ── an instance that comes back ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("leads", [True, False], ids=["the one that divides", "one that does not"])
def test_an_instance_that_comes_back_in_time_has_its_partitions_and_nobody_else_noticed(stage: Stage, client: str, leads: bool) -> None:
    asker = stage.log(client)
    patient = {"session_timeout": DEADLINE}
    joins = [
        lambda: stage.member(client, "stays", instance_id="a", **patient),
        lambda: stage.child(client, "child", instance_id="b", **patient),
    ]
    members: list[Any] = []
    for join in reversed(joins) if leads else joins:  # the first divides the partitions
        members.append(join())
        _until(lambda: len(asker.owners(stage.group, DEADLINE)) == 4)
    stays, child = sorted(members, key=lambda member: isinstance(member, subprocess.Popen))
    before = _until(lambda: len(found := asker.owners(stage.group, DEADLINE)) == 4 and len(set(found.values())) == 2 and found)
    told = stays.told()
    # when
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert asker.owners(stage.group, DEADLINE) == before
    again = stage.child(client, "child", instance_id="b", **patient)
    line = _line(again)
    # then
    assert line == " ".join(["assigned", *(str(number) for number in sorted(before) if before[number] == "http://child:80")])
    assert asker.owners(stage.group, DEADLINE) == before
    assert stays.told() == told


def test_an_instance_that_comes_back_elsewhere_is_found_there(stage: Stage, client: str) -> None:
    asker = stage.log(client)
    one = stage.member(client, "one", instance_id="a")
    _until(lambda: one.holds == PARTITIONS)
    one.close()
    again = stage.member(client, "elsewhere", instance_id="a")
    _until(lambda: again.holds == PARTITIONS)
    _until(lambda: asker.owners(stage.group, DEADLINE) == dict.fromkeys(PARTITIONS, "http://elsewhere:80"))


def test_the_older_of_two_that_are_the_same_instance_is_told_so_for_good(stage: Stage, client: str) -> None:
    older = stage.member(client, "same", instance_id="a")
    _until(lambda: older.holds == PARTITIONS)
    newer = stage.member(client, "same", instance_id="a")
    _until(lambda: newer.holds == PARTITIONS and older.errors)
    assert older.errors[-1].facts["reason"] == "fenced"
    assert "instance_id" in str(older.errors[-1])
    assert older.holds == frozenset()


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_not_started_gives_nothing_and_what_is_begins_where_it_was_told(stage: Stage, client: str) -> None:
    log = stage.log(client)
    with writing(log) as writer:
        futures = [writer.append(b"%d" % number, b"%d" % number) for number in range(400)]
        counts = dict.fromkeys(PARTITIONS, 0)
        for future in futures:
            counts[future.result(DEADLINE).partition] += 1
    member = stage.member(client, "member", starts=False)
    _until(lambda: member.holds == PARTITIONS)
    time.sleep(0.5)
    assert member.values == {}
    # when two are started, and one that is not ours
    assert member.membership.start({0: 0, 1: 10, 9: 0}) == {0, 1}
    _until(lambda: (len(member.values[0]), len(member.values[1])) == (counts[0], counts[1] - 10))
    assert not member.values[2]
    # when one is stopped, only the other goes on
    member.membership.stop([0])
    with writing(log) as writer:
        more = [writer.append(b"%d" % number, b"more").result(DEADLINE).partition for number in range(40)]
    _until(lambda: len(member.values[1]) == counts[1] - 10 + more.count(1))
    assert len(member.values[0]) == counts[0]
    # when it is started again, from its beginning, it is all there, once and in order
    member.values[0].clear()
    member.membership.start({0: 0})
    _until(lambda: len(member.values[0]) == counts[0] + more.count(0))
    assert len(member.values[1]) == counts[1] - 10 + more.count(1)


def test_a_position_that_retention_passed_stops_its_partition_and_no_other(stage: Stage, client: str) -> None:
    log = stage.log(client)
    with writing(log) as writer:
        ends = dict.fromkeys(PARTITIONS, 0)
        for future in [writer.append(b"%d" % number, b"value") for number in range(100)]:
            ends[future.result(DEADLINE).partition] += 1
    stage.kafka.delete_records(stage.topic, {0: 5})
    member = stage.member(client, "member")
    _until(lambda: any(isinstance(error, ViewStale) for error in member.errors))
    stale = next(error for error in member.errors if isinstance(error, ViewStale))
    assert (stale.facts["partition"], stale.facts["position"], stale.facts["start"]) == (0, 0, 5)
    member.membership.start({0: 5})
    _until(lambda: member.positions == ends)
    assert len(member.values[0]) == ends[0] - 5


def test_what_was_committed_is_there_for_tools_that_watch_lag(stage: Stage, client: str) -> None:
    member = stage.member(client, "member")
    with stage.writing(client):
        _until(lambda: all(member.positions[number] > 20 for number in PARTITIONS))
    ends = _until(lambda: (found := stage.log(client).ends(sorted(PARTITIONS), DEADLINE)) == member.positions and found)

    def committed() -> dict[int, int]:
        found = admin.list_group_offsets({stage.group: None})[stage.group]
        return {partition.partition: offset.offset for partition, offset in found.items()}

    with closing(KafkaAdminClient(bootstrap_servers=stage.kafka.bootstrap)) as admin:
        _until(lambda: committed() == ends)


# ── not being there ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_closing_is_quick_whatever_is_under_way(stage: Stage, client: str) -> None:
    log = stage.log(client)
    fresh = log.join(stage.group, Member.__new__(_Silent), address="http://fresh:80", **QUICK)
    member = stage.member(client, "member")
    _until(lambda: member.holds)
    for membership in (fresh, member.membership):
        began = time.monotonic()
        membership.close()
        membership.close()
        assert time.monotonic() - began < 5.0
        with pytest.raises(Closed):
            membership.poll(1.0)
    _until(lambda: log.owners(stage.group, DEADLINE) == {})


def test_a_member_that_nobody_polls_leaves_and_comes_back_with_the_next_poll(stage: Stage, client: str) -> None:
    stalls = stage.member(client, "stalls", stall_timeout=1.5)
    _until(lambda: stalls.holds == PARTITIONS)
    stalls.paused.set()
    _until(lambda: stage.log(client).owners(stage.group, DEADLINE) == {} and not stalls.holds)
    stalls.paused.clear()
    _until(lambda: stalls.holds == PARTITIONS)


def test_members_that_are_not_ours_own_nothing(stage: Stage, client: str) -> None:
    with _foreigner(stage, CooperativeStickyAssignor):
        member = stage.member(client, "member")
        _until(lambda: len(member.holds) == 2)
        _until(lambda: stage.log(client).owners(stage.group, DEADLINE) == dict.fromkeys(member.holds, member.address))


def test_a_group_of_another_kind_is_refused_with_the_reason_until_it_is_gone(stage: Stage, client: str) -> None:
    with _foreigner(stage, None):
        member = stage.member(client, "member")
        _until(lambda: member.errors)
        assert isinstance(member.errors[-1], LogUnavailable)
        assert "cooperative-sticky" in str(member.errors[-1])
    _until(lambda: member.holds == PARTITIONS)


def test_a_missing_topic_and_missing_brokers_are_told_to_who_polls(kafka: Kafka, client: str) -> None:
    ports = ReservedPorts(1)
    try:
        for servers, error in ((kafka.bootstrap, TopicMisconfigured), (f"127.0.0.1:{ports.numbers[0]}", LogUnavailable)):
            with closing(CLIENTS[client](servers, "nowhere", connect_timeout=1.0)) as log:
                membership = log.join("group", Member.__new__(_Silent), address="http://a:80", **QUICK)
                with closing(membership), pytest.raises(error):
                    for _ in range(100):
                        membership.poll(0.1)
    finally:
        ports.release()


def test_settings_that_brokers_refuse_are_refused_first(stage: Stage, client: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        stage.log(client).join("group", Member.__new__(_Silent), address="nowhere")
    too_short = stage.member(client, "member", session_timeout=0.3, heartbeat_interval=0.1)
    _until(lambda: too_short.errors)
    assert "session" in str(too_short.errors[-1])


def test_a_forked_child_is_no_member_and_leaves_the_parents_place_alone(stage: Stage, client: str) -> None:
    log = CLIENTS[client]
    script = f"""
        import os, sys, time
        from {log.__module__} import {log.__name__} as Log
        from eventresults.errors import Closed
        class Listener:
            assigned = revoked = lost = lambda self, partitions: print(len(partitions), flush=True)
        log = Log({stage.kafka.bootstrap!r}, {stage.topic!r})
        membership = log.join({stage.group!r}, Listener(), address="http://parent:80")
        while len(membership.assigned) < 4:
            membership.poll(0.1)
        membership.start({{0: 0}})
        membership.poll(0.5)
        child = os.fork()
        if child == 0:
            try:
                membership.poll(1)
            except Closed:
                membership.close()
                assert log.owners({stage.group!r}, 20) == dict.fromkeys(range(4), "http://parent:80")
                sys.exit(7)
        print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        membership.poll(0.5)
        assert len(membership.assigned) == 4
        membership.close()
        log.close()
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.split(), done.returncode) == (["4", "child", "7", "4"], 0), done.stderr


def test_a_group_that_has_no_time_to_answer_is_an_error_of_ours_and_nothing_worse(stage: Stage, client: str) -> None:
    """librdkafka ends the process when such a question runs out of time."""
    log = CLIENTS[client]
    script = f"""
        from {log.__module__} import {log.__name__} as Log
        from eventresults.errors import LogError
        log = Log({stage.kafka.bootstrap!r}, {stage.topic!r})
        failed = 0
        for number in range(200):
            try:
                log.owners({stage.group!r}, (1 + number % 40) / 1000)
            except LogError:
                failed += 1
        assert failed
        log.close()
    """
    stage.member("kafka-python", "member")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)],
        cwd=_REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# ── how the tests do it ──────────────────────────────────────────────────────────────────────────────────────────────


class _Silent(Member):
    def assigned(self, partitions: frozenset[int]) -> None: ...
    def revoked(self, partitions: frozenset[int]) -> None: ...
    def lost(self, partitions: frozenset[int]) -> None: ...


def _until(question: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = question()
        if answer:
            return answer
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def _quietly(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except LogError:
        return None


def _nothing_was_shared(diary: list[Event]) -> None:
    """Nobody was given a partition that another held, or read one that it did not hold (it may have been amid a poll)."""
    holders: dict[int, str] = {}
    released: dict[tuple[str, int], float] = {}
    for event in sorted(diary):
        if event.what == "assigned":
            assert holders.setdefault(event.partition, event.who) == event.who
        elif event.what == "read":
            held = holders.get(event.partition) == event.who
            assert held or event.when - released[event.who, event.partition] < 0.2
        else:
            assert holders.pop(event.partition) == event.who
            released[event.who, event.partition] = event.when


@contextmanager
def _foreigner(stage: Stage, assignor: Any) -> Iterator[None]:
    """A consumer of the same group that knows nothing of us; with its library's usual assignors, or with this one."""
    stop = threading.Event()
    ready = threading.Event()
    options = {"partition_assignment_strategy": [assignor]} if assignor else {}

    def run() -> None:
        with closing(
            KafkaConsumer(
                stage.topic,
                bootstrap_servers=stage.kafka.bootstrap,
                group_id=stage.group,
                client_id="foreign",
                heartbeat_interval_ms=300,
                **options,
            )
        ) as consumer:
            while not stop.is_set():
                consumer.poll(timeout_ms=100)
                if consumer.assignment():
                    ready.set()

    thread = threading.Thread(target=run, name="test-foreigner")
    thread.start()
    try:
        assert ready.wait(DEADLINE)
        yield
    finally:
        stop.set()
        thread.join()


def _line(process: subprocess.Popen[str]) -> str:
    """The next line of a child, which is killed when none comes."""
    timer = threading.Timer(DEADLINE, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        return process.stdout.readline().strip()
    finally:
        timer.cancel()


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
