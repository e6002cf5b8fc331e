"""A view over a real topic: it follows it, goes on where it was, and notices whatever happened to the topic meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from time import monotonic

import pytest

from eventresults.errors import TopicMisconfigured, ViewStale
from eventresults.log.brokerlog import BrokerLog
from eventresults.log.confluent import ConfluentLog
from eventresults.log.kafka import KafkaLog
from eventresults.recorder import Appender, Recorder
from eventresults.service import owner as module
from eventresults.service.afresh import rebuild, verify
from eventresults.service.local import LocalView
from eventresults.service.places import FolderPlace
from eventresults.view.memory import MemoryStore
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore
from tests.support.kafka import Kafka
from tests.support.kafka.fixtures import MakeTopic
from tests.support.views import tell_life, until, viewing

pytestmark = pytest.mark.kafka

DEADLINE = 40.0
IDS = [f"t{number}" for number in range(30)]
RESOURCES = RocksResources(block_cache=4 * MEGABYTE, write_buffers=MEGABYTE)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Look at the topic often, and try again soon."""
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.3)
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.05, 0.5))


class Scene:
    """One topic, and views of it in one folder."""

    def __init__(self, kafka: Kafka, topic: str, client: type[BrokerLog], path: Path, stack: ExitStack):
        self.kafka = kafka
        self.topic = topic
        self._client = client
        self._path = path
        self._stack = stack
        self.log = self.new_log()

    def new_log(self) -> BrokerLog:
        return self._stack.enter_context(closing(self._client(self.kafka.bootstrap, self.topic)))

    @contextmanager
    def viewing(self, log: BrokerLog | None = None, **settings) -> Iterator[tuple[LocalView, Recorder]]:
        place = FolderPlace(self._path / "view", lambda path: RocksStore(path, resources=RESOURCES))
        with viewing(log or self.log, place, **{"read_timeout": DEADLINE, "connect_timeout": DEADLINE, **settings}) as both:
            yield both

    def tell(self, ids: list[str]) -> None:
        """From another process, as it were."""
        with closing(self.new_log()) as log:
            appender = Appender(log)
            recorder = Recorder(appender)
            tell_life(recorder, ids)
            assert recorder.flush(DEADLINE)
            appender.close()


@pytest.fixture(params=[KafkaLog, ConfluentLog], ids=["kafka-python", "confluent"])
def scene(request: pytest.FixtureRequest, kafka: Kafka, make_topic: MakeTopic, tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(kafka, make_topic(partitions=3), request.param, tmp_path, stack)


def states(view: LocalView, ids: list[str] = IDS) -> list[str | None]:
    return [meta and meta.state for meta in view.get_many(ids, freshness="latest").values()]


def records(view: LocalView) -> int:
    return sum(head.counts.get("records", 0) for head in view.owner.heads.values())


def test_a_view_follows_its_topic(scene: Scene):
    with scene.viewing() as (view, recorder):
        # when / then: own facts are seen at once, acknowledged or not
        for task_id in IDS:
            recorder.sent(task_id, name="add")
            assert view.get(task_id, freshness="applied").state == "PENDING"
            at = recorder.succeeded(task_id, result=task_id).result(DEADLINE)
            assert view.get(task_id, freshness=at).result == task_id
        assert [fact.event.kind for fact in view.history("t3")] == ["task-sent", "task-succeeded"]

        # when / then: those of others, once asked for
        scene.tell(["other"])
        assert view.get("other").state == "SUCCESS"

        # and they are all listed, newest first, over all partitions
        first = view.recent(limit=20)
        rest = view.recent(limit=20, cursor=first.cursor)
        assert {meta.task_id for meta in first.items + rest.items} == {*IDS, "other"}
        assert len(first.items + rest.items) == 31
        assert {meta.partition for meta in first.items} == {0, 1, 2}
        assert verify(view.owner, lambda _: MemoryStore()) == []
        assert rebuild(view.owner) == 63
        assert verify(view.owner, lambda _: MemoryStore()) == []


def test_a_reopened_view_goes_on_from_its_positions(scene: Scene):
    # given
    scene.tell(IDS)
    with scene.viewing() as (view, _):
        assert states(view) == ["SUCCESS"] * 30
    scene.tell(["later"])

    # when
    with scene.viewing() as (view, _):
        began = sum(head.next_offset for head in view.owner.heads.values())

        # then
        assert view.get("later").state == "SUCCESS"
        assert (began, records(view), view.owner.generation) == (90, 93, 1)


def test_a_topic_that_was_created_again_is_noticed_on_opening(scene: Scene, caplog):
    # given
    scene.tell(IDS)
    with scene.viewing() as (view, _):
        assert states(view) == ["SUCCESS"] * 30

    # when: the new one has as many records
    scene.kafka.delete_topic(scene.topic)
    scene.kafka.create_topic(scene.topic, 3)
    scene.tell([f"n{number}" for number in range(30)])

    # then
    with scene.viewing(scene.new_log()) as (view, _):
        assert states(view) == [None] * 30
        assert states(view, ["n0", "n29"]) == ["SUCCESS"] * 2
        assert view.owner.generation == 2
    assert "deleted and created again" in caplog.text


def test_a_topic_that_was_created_again_is_noticed_while_running(scene: Scene, caplog):
    scene.tell(IDS)
    with scene.viewing() as (view, _):
        # given
        assert states(view) == ["SUCCESS"] * 30

        # when
        scene.kafka.delete_topic(scene.topic)
        scene.kafka.create_topic(scene.topic, 3)
        scene.tell(["new"])

        # then
        until(lambda: view.owner.generation == 2, timeout=DEADLINE)
        assert view.get("new").state == "SUCCESS"
        assert states(view) == [None] * 30
    assert "deleted and created again" in caplog.text


def test_a_retention_that_passed_the_view_is_noticed_on_opening(scene: Scene, caplog):
    # given
    scene.tell(IDS)
    with scene.viewing() as (view, _):
        assert states(view) == ["SUCCESS"] * 30
        positions = {partition: head.next_offset for partition, head in view.owner.heads.items()}
    scene.tell([f"n{number}" for number in range(30)])

    # when
    scene.kafka.delete_records(scene.topic, {partition: at + 3 for partition, at in positions.items()})

    # then
    with scene.viewing() as (view, _):
        assert states(view) == [None] * 30
        assert states(view, [f"n{number}" for number in range(30)]).count("SUCCESS") == 27
        assert view.owner.generation == 2
    assert "retention passed the view" in caplog.text


def test_a_retention_that_passes_the_view_is_noticed_while_running(scene: Scene, caplog):
    scene.tell(IDS)
    with scene.viewing() as (view, _):
        assert states(view) == ["SUCCESS"] * 30

        # when: it stands still while facts come and go
        with view.owner.still:
            positions = {partition: head.next_offset for partition, head in view.owner.heads.items()}
            view.owner._drop_projector()
            scene.tell([f"n{number}" for number in range(30)])
            scene.kafka.delete_records(scene.topic, {partition: at + 3 for partition, at in positions.items()})

        # then
        until(lambda: view.owner.generation == 2, timeout=DEADLINE)
        assert states(view, [f"n{number}" for number in range(30)]).count("SUCCESS") == 27
    assert "retention passed the view" in caplog.text


def test_partitions_that_were_added_are_refused_with_what_to_do(scene: Scene):
    scene.tell(IDS)
    with scene.viewing() as (view, _):
        assert states(view) == ["SUCCESS"] * 30

        # when
        scene.kafka.add_partitions(scene.topic, 4)
        until(lambda: isinstance(view.owner.view.trouble, TopicMisconfigured), timeout=DEADLINE)

        # then: while running, and at once
        begun = monotonic()
        with pytest.raises(TopicMisconfigured, match="had 3 partitions .* has 4 now"):
            view.get("nobody")
        assert monotonic() - begun < 5

    # and on opening
    with scene.viewing(scene.new_log()) as (view, _), pytest.raises(TopicMisconfigured, match="eventresults topic init"):
        view.get("t0")


def test_a_broker_that_goes_and_comes_is_waited_out(scene: Scene):
    scene.tell(IDS)
    with scene.viewing() as (view, recorder):
        # given
        assert states(view) == ["SUCCESS"] * 30

        # when
        scene.kafka.stop()
        try:
            # then: what is final is there, all else is told to be stale in time
            assert view.get("t3").state == "SUCCESS"
            begun = monotonic()
            # librdkafka forgets its topics when it has no broker to ask
            stale = ViewStale if isinstance(scene.log, KafkaLog) else (ViewStale, TopicMisconfigured)
            with pytest.raises(stale):
                view.get("nobody", timeout=1)
            assert monotonic() - begun < 2
        finally:
            scene.kafka.start()

        # and afterwards all is as before
        recorder.started("later").result(DEADLINE)
        assert view.get("later").state == "STARTED"
        assert (records(view), view.owner.generation) == (91, 1)
