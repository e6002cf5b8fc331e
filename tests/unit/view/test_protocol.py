"""Messages between readers and owners, and the frames they travel in."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventresults import errors
from eventresults.domain.position import Position
from eventresults.errors import EventResultsError, ViewError, ViewUnavailable
from eventresults.view import protocol, travel
from eventresults.view.base import Change, Fact
from eventresults.view.channel import Gone, framed, take_frame
from tests.support.events import fold, fold_group, group_saved, sent, started, succeeded, unknown

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.integers(0, 2**63)
VECTOR = st.dictionaries(st.integers(0, 9), NUMBER, max_size=3)
FRESHNESS = st.one_of(st.sampled_from(["default", "latest", "applied"]), st.tuples(st.integers(0, 9), NUMBER))
SECONDS = st.floats(0, 1e6)
FACT = st.tuples(NUMBER, NUMBER, NUMBER, st.binary(max_size=20))
METAS = st.sampled_from([fold(sent(name="add", args=[1, None])), fold(started(worker="w"), succeeded(result={"a": 1.5}))])
PLAIN = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)

REQUESTS = st.one_of(
    st.builds(protocol.Tasks, NUMBER, st.lists(TEXT, max_size=3), FRESHNESS, VECTOR, SECONDS),
    st.builds(protocol.Group, NUMBER, TEXT, FRESHNESS, VECTOR, SECONDS),
    st.builds(protocol.History, NUMBER, TEXT, FRESHNESS, VECTOR, SECONDS),
    st.builds(protocol.Recent, NUMBER, st.dictionaries(TEXT, PLAIN, max_size=3), FRESHNESS, VECTOR, SECONDS),
    st.builds(protocol.Group, NUMBER, TEXT, FRESHNESS, VECTOR, SECONDS, st.booleans()),
    st.builds(protocol.History, NUMBER, TEXT, FRESHNESS, VECTOR, SECONDS, st.none() | st.lists(NUMBER, max_size=2)),
    st.builds(protocol.Opened, NUMBER, st.dictionaries(TEXT, PLAIN, max_size=3), FRESHNESS, VECTOR, SECONDS),
    st.builds(protocol.Reach, NUMBER, VECTOR, SECONDS),
    st.builds(protocol.Watch, NUMBER, st.lists(TEXT, max_size=3), st.none() | VECTOR),
    st.builds(protocol.Unwatch, st.lists(TEXT, max_size=3)),
    st.builds(protocol.WatchRevokes),
    st.builds(protocol.Ask, NUMBER, TEXT, st.dictionaries(TEXT, PLAIN, max_size=3), SECONDS),
)
REPLIES = st.one_of(
    st.builds(protocol.Hello, NUMBER, TEXT, NUMBER, NUMBER, VECTOR),
    st.builds(protocol.Metas, NUMBER, st.lists(st.none() | METAS, max_size=3)),
    st.builds(protocol.Facts, NUMBER, st.lists(FACT, max_size=3), st.lists(NUMBER, max_size=2)),
    st.builds(protocol.OneGroup, NUMBER, st.none() | st.just(fold_group(group_saved()))),
    st.builds(protocol.Page, NUMBER, st.lists(METAS, max_size=3), st.none() | TEXT),
    st.builds(protocol.Open, NUMBER, st.lists(st.tuples(TEXT, st.dictionaries(TEXT, PLAIN, max_size=3)), max_size=3), st.none() | TEXT),
    st.builds(protocol.Said, NUMBER, PLAIN),
    st.builds(protocol.Failed, NUMBER, TEXT, TEXT, st.dictionaries(TEXT, PLAIN, max_size=3)),
    st.builds(protocol.Watching, NUMBER, VECTOR),
    st.builds(protocol.Changes, st.booleans(), st.lists(st.tuples(TEXT, FACT, TEXT, st.binary(max_size=20)), max_size=3)),
    st.builds(protocol.Beat, VECTOR),
    st.builds(protocol.Lagged),
    st.builds(protocol.Leaving),
)


@given(REQUESTS)
def test_a_request_arrives_as_it_was_said(said):
    assert protocol.request(protocol.encode(said)) == said


@given(REPLIES)
def test_a_reply_arrives_as_it_was_said(said):
    assert protocol.reply(protocol.encode(said)) == said


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_an_error_of_ours(frame):
    for read in (protocol.request, protocol.reply):
        with suppress(ViewUnavailable):
            assert isinstance(read(frame), protocol.Message)


@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(1, 50), min_size=1))
def test_messages_come_out_of_any_pieces_of_the_stream(messages, sizes):
    # given
    stream = b"".join(map(framed, messages))
    buffer, found, at, turn = bytearray(), [], 0, 0

    # when
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        turn += 1
        buffer += stream[at : at + size]
        at += size
        while (message := take_frame(buffer)) is not None:
            found.append(message)

    # then
    assert found == messages
    assert not buffer


def test_a_message_over_the_limit_is_refused_before_it_is_there():
    with pytest.raises(Gone, match="over 10"):
        take_frame(bytearray(b"\x0b\x00\x00\x00"), 10)
    assert take_frame(bytearray(b"\x0a\x00\x00\x00"), 10) is None


@pytest.mark.parametrize(
    "change",
    [
        Change("task-1", Fact(Position(1, 2), 3, started(worker="w")), fold(sent(name="add"), started(worker="w"))),
        Change("task-1", Fact(Position(1, 2), 3, succeeded(result={"a": [1, None]})), None),
        Change("task-1", Fact(Position(0, 0), 0, unknown()), None),
        Change("group-1", Fact(Position(0, 1), 9, group_saved()), fold_group(group_saved())),
    ],
)
def test_a_change_arrives_as_it_was_told(change: Change):
    wire = protocol.reply(protocol.encode(protocol.Changes(True, [travel.wire_change(change)]))).changes[0]
    assert travel.read_change(wire) == change


def test_a_fact_that_is_none_is_an_error_of_ours():
    with pytest.raises(ViewUnavailable, match="a fact that is none"):
        travel.read_fact((0, 0, 0, b"{"))


OURS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, EventResultsError)]


@pytest.mark.parametrize("kind", OURS)
def test_every_error_of_ours_travels_with_its_facts(kind):
    # given
    error = kind("What to do next.", text="x", number=7, list=["a"], nothing=None, share=0.5, huge=2**70, at=Position(1, 2), by={1: "one"})

    # when
    read = travel.read_error(protocol.reply(protocol.encode(travel.failed(3, error))))

    # then
    assert type(read) is kind
    assert str(read) == "What to do next."
    assert read.facts == {
        "text": "x", "number": 7, "list": ["a"], "nothing": None, "share": 0.5, "huge": str(2**70), "at": [1, 2], "by": {"1": "one"},
    }  # fmt: skip


def test_what_utf_8_cannot_hold_travels_all_the_same():
    read = travel.read_error(protocol.reply(protocol.encode(travel.failed(3, ViewError("at \udcff", path="\udcff")))))
    assert (str(read), read.path) == ("at \\udcff", "\\udcff")


@pytest.mark.parametrize("name", ["SystemExit", "annotations", "Any", "nothing", "__builtins__"])
def test_an_error_of_no_class_of_ours_is_a_view_error(name: str):
    read = travel.read_error(protocol.Failed(1, name, "text", {}))
    assert type(read) is ViewError


@pytest.mark.parametrize("error", [KeyError("x"), ZeroDivisionError("by nothing"), msgspec.ValidationError("no")])
def test_what_is_no_error_of_ours_is_told_as_the_owner_s_failure(error):
    read = travel.read_error(travel.failed(1, error))
    if isinstance(error, ValueError):
        assert type(read) is ValueError
    else:
        assert type(read) is ViewError
        assert type(error).__name__ in str(read)


@pytest.mark.parametrize("freshness", ["default", "latest", "applied", Position(3, 4)])
def test_a_freshness_arrives_as_it_was_asked_for(freshness):
    assert travel.read_freshness(travel.wire_freshness(freshness)) == freshness


def test_what_is_no_freshness_is_refused():
    with pytest.raises(ValueError, match="no freshness"):
        travel.read_freshness("soon")
