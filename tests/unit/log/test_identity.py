"""A reader of a topic, and the question whether that is still the same topic."""

from __future__ import annotations

import pytest

from eventresults.errors import LogUnavailable, ViewStale
from eventresults.log import brokerclients
from eventresults.log.base import Poll, Record
from eventresults.log.brokerclients import BrokerReader
from eventresults.log.brokers import BrokerSettings
from eventresults.log.topic import TopicDescription


class Topic:
    """What a reader asks of its log. `answers` are given one after the other: None, the id, or an error."""

    def __init__(self):
        self.settings = BrokerSettings(servers="nowhere:1", topic="facts")
        self.asked = 0
        self.answers = []

    def topic_for_reader(self, positions, timeout):
        return TopicDescription("facts", "first", 1, 1, {})

    def ask_topic_id(self, timeout):
        self.asked += 1
        return self.answer

    def answer(self):
        said = self.answers.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


class Reader(BrokerReader):
    """One record with every poll."""

    def _make(self):
        return self

    def _follow(self, consumer, positions):
        raise AssertionError

    _unfollow = _follow

    def _take(self, consumer, timeout):
        offset = self._positions[0]
        self._positions[0] += 1
        return {0: Poll([Record(offset, 0, b"k", b"v")], offset + 1)}

    def _shut(self, consumer):
        pass


@pytest.fixture
def now(monkeypatch):
    clock = [0.0]

    class Time:
        monotonic = staticmethod(lambda: clock[0])

        @staticmethod
        def sleep(seconds):
            clock[0] += seconds

    monkeypatch.setattr(brokerclients, "time", Time)
    return clock


@pytest.fixture
def topic():
    return Topic()


@pytest.fixture
def reader(now, topic):
    reader = Reader(topic, {0: 0})
    reader.poll(0)
    return reader


def test_records_are_read_while_the_answer_is_on_its_way(now, topic, reader):
    # given
    topic.answers = [None, None, "first"]
    now[0] = 2.1

    # when / then: it is asked once
    for offset in range(1, 5):
        assert reader.poll(0)[0].records[0].offset == offset
    assert (topic.asked, topic.answers) == (1, [])


def test_a_topic_created_again_is_told_when_the_answer_comes(now, topic, reader):
    topic.answers = [None, "second"]
    now[0] = 2.1
    reader.poll(0)
    with pytest.raises(ViewStale) as caught:
        reader.poll(0)
    assert caught.value.facts["reason"] == "recreated"


def test_who_has_not_polled_for_long_reads_nothing_before_the_answer(now, topic, reader):
    topic.answers = [None, None, None, "second"]
    now[0] = 600
    with pytest.raises(ViewStale):
        reader.poll(0)


def test_an_outage_is_waited_out_and_asked_about_again(now, topic, reader):
    # given
    topic.answers = [LogUnavailable("broker 3 is on fire", url="kafka://", reason="fire"), "second"]
    now[0] = 2.1

    # when / then
    assert reader.poll(0)[0].records[0].offset == 1
    with pytest.raises(ViewStale):
        reader.poll(0)
    assert topic.asked == 2
