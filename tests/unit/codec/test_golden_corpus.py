"""The format cannot drift unnoticed: what version 1 wrote is written so today, and read as it was read then."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from eventresults.codec.events import decode, encode_event
from eventresults.codec.tags import DECODERS
from eventresults.codec.values import _CONTAINERS, decode_value
from eventresults.domain import events as kinds
from eventresults.domain.events import EVENT_CLASSES, Event
from tests.golden import corpus

LINES = [json.loads(line) for line in (Path(corpus.__file__).parent / "v1.jsonl").read_bytes().split(b"\n") if line]
OURS = [line for line in LINES if not line["name"].startswith("foreign: ")]
TIMES = ("time", "eta", "expires", "when", "until")


def named(lines: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("line", lines, ids=[line["name"] for line in lines])


def expected(line: dict[str, Any]) -> Event:
    fields = {name: datetime.fromisoformat(value) if name in TIMES else value for name, value in line["fields"].items()}
    return getattr(kinds, line["class"])(**fields)


@named(OURS)
def test_an_event_is_written_as_version_1_wrote_it(line):
    built = corpus.events()[line["name"]]
    assert encode_event(built).decode() == line["value"]


@named(LINES)
def test_a_record_of_version_1_is_read_as_it_was_read_then(line):
    event, unknown_fields = decode(line["value"].encode())
    assert event == expected(line)
    assert unknown_fields == line.get("unknown_fields", 0)
    if "python" in line:
        assert repr(decode_value(event.result)) == line["python"]


def test_every_built_event_has_its_line():
    missing = {name: encode_event(event).decode() for name, event in corpus.events().items()}
    for line in OURS:
        missing.pop(line["name"])
    assert not missing, f"add these to v1.jsonl: {missing}"


def test_the_corpus_holds_every_kind_every_field_and_every_tag():
    kinds_seen = {kinds_of["kind"] for kinds_of in map(json.loads, (line["value"] for line in OURS))}
    assert kinds_seen == set(EVENT_CLASSES)
    for kind, cls in EVENT_CLASSES.items():
        written = set().union(*(json.loads(line["value"]) for line in OURS if json.loads(line["value"])["kind"] == kind))
        assert set(cls.__struct_fields__) - written <= {"observed"}, kind
    whole = "".join(line["value"] for line in OURS)
    assert {tag for tag in [*DECODERS, *_CONTAINERS] if f'{{"$type":"{tag}"' not in whole} == set()
