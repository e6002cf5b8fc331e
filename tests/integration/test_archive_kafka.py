"""An archive of a real topic: every record of every partition, once, whoever writes it."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from eventresults.archive.archive import Archive
from eventresults.archive.archiver import Archiver
from eventresults.archive.drafts import Limits
from eventresults.archive.verify import Comparison
from eventresults.errors import ArchiveMismatch
from eventresults.log.confluent import ConfluentLog
from eventresults.log.kafka import KafkaLog
from tests.support.archives import append, append_raw, archive_records, archived, log_records
from tests.support.events import sent, started, succeeded

pytestmark = pytest.mark.kafka


def lives(start, count):
    return [make(task_id=f"task-{number}") for number in range(start, start + count) for make in (sent, started, succeeded)]


@pytest.mark.parametrize("client", [KafkaLog, ConfluentLog])
def test_a_topic_is_archived_byte_for_byte_and_gone_on_with(kafka, make_topic, tmp_path, client):
    # given
    topic = make_topic(partitions=3)
    with closing(client(kafka.bootstrap, topic)) as log:
        append(log, lives(0, 100))
        append_raw(log, [(b"junk", b"\xff\x00no JSON")])

        # when
        assert archived(log, tmp_path, topic=topic).rows == 301
        append(log, lives(100, 10))
        assert archived(log, tmp_path, topic=topic).rows == 30
        assert archived(log, tmp_path, topic=topic).rows == 0

        # then
        assert archive_records(Archive(tmp_path)) == log_records(log)
        assert list(Comparison(Archive(tmp_path), log).differences()) == []


def test_two_archivers_at_once_lose_nothing_and_double_nothing(kafka, make_topic, tmp_path):
    # given two that write files as small as they come, while the topic grows
    topic = make_topic(partitions=2)
    logs = [ConfluentLog(kafka.bootstrap, topic), KafkaLog(kafka.bootstrap, topic)]
    append(logs[0], lives(0, 10))
    archivers = [Archiver(log, tmp_path, topic=topic, limits=Limits(rows=7, seconds=0.05)) for log in logs]
    failures = []

    def follow(archiver):
        try:
            archiver.follow()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=follow, args=(archiver,)) for archiver in archivers]
    for thread in threads:
        thread.start()
    for number in range(1, 11):
        append(logs[0], lives(number * 10, 10))
    for archiver in archivers:
        archiver.stop()
    for thread in threads:
        thread.join(30)

    # then, the last of it archived
    archived(logs[0], tmp_path, topic=topic)
    assert failures == []
    assert archive_records(Archive(tmp_path)) == log_records(logs[0])
    for log in logs:
        log.close()


def test_a_topic_that_was_made_again_is_another_log(kafka, make_topic, tmp_path):
    first, second = make_topic(), make_topic()
    with closing(ConfluentLog(kafka.bootstrap, first)) as log, closing(ConfluentLog(kafka.bootstrap, second)) as other:
        append(log, lives(0, 1))
        archived(log, tmp_path, topic="task-events")
        with pytest.raises(ArchiveMismatch, match="another log of that name"):
            archived(other, tmp_path, topic="task-events")
