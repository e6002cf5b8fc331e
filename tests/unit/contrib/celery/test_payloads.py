"""What serializers make of a value, as the log keeps it: JSON as JSON, all else unread."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import ContentDisallowed
from kombu.serialization import prepare_accept_content, register, registry

from eventresults.codec.values import check_wire, decode_value, encode_value
from eventresults.contrib.celery.payloads import Payloads

ALL = prepare_accept_content(["json", "pickle", "yaml"])


def payloads(serializer="json", compression=None, accept=ALL) -> Payloads:
    return Payloads(serializer=serializer, compression=compression, accept=accept)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def through_the_log(wire):
    """As a record holds it."""
    check_wire(wire)
    return json.loads(json.dumps(wire, allow_nan=False))


def test_json_is_kept_as_json():
    wire = payloads().encode({"rows": [1, 2.5, None, "é"]})

    assert wire == {"content_type": "application/json", "codec": "kombu", "body": {"rows": [1, 2.5, None, "é"]}}


@given(JSON_VALUES)
def test_any_json_comes_back_as_it_was(value):
    assert payloads().decode(through_the_log(payloads().encode(value))) == value


@pytest.mark.parametrize("value", [datetime(2026, 11, 28, tzinfo=UTC), Decimal("1.10"), UUID(int=7), b"bytes", b"\xff\x00"], ids=repr)
def test_what_kombu_adds_to_json_comes_back_as_it_was(value):
    wire = through_the_log(payloads().encode({"value": value}))

    assert wire["codec"] == "kombu"
    assert payloads().decode(wire) == {"value": value}


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "text", ["list"]], ids=repr)
def test_json_is_not_read_where_it_is_not_accepted(value):
    wire = payloads().encode(value)
    with pytest.raises(ContentDisallowed):
        payloads(accept=prepare_accept_content(["pickle"])).decode(wire)


@pytest.fixture
def shouting_json():
    """Another serializer than kombu's, under JSON's name."""
    before = registry._encoders["json"], registry._decoders["application/json"]
    register("json", json.dumps, lambda text: json.loads(text).upper(), "application/json", "utf-8")
    yield
    registry._encoders["json"], registry._decoders["application/json"] = before


@pytest.mark.usefixtures("shouting_json")
def test_who_registered_another_json_reads_by_it():
    assert payloads().decode(payloads().encode("text")) == "TEXT"


@pytest.mark.parametrize("value", [2**70, {"deep": float("inf")}, "\ud800"], ids=repr)
def test_json_that_the_log_cannot_keep_as_such_travels_as_text(value):
    wire = through_the_log(payloads().encode(value))

    assert set(wire) == {"content_type", "encoding", "body"}
    assert payloads().decode(wire) == value


def test_a_nan_travels_as_text():
    wire = through_the_log(payloads().encode([math.nan]))

    assert wire["body"] == "[NaN]"
    assert math.isnan(payloads().decode(wire)[0])


def test_deep_json_travels_as_text():
    deep = value = []
    for _ in range(400):
        value.append([])
        value = value[0]

    wire = through_the_log(payloads().encode(deep))

    assert wire["encoding"] == "utf-8"
    assert payloads().decode(wire) == deep


@pytest.mark.parametrize("serializer", ["pickle", "yaml"])
def test_other_serializers_travel_unread(serializer):
    made = payloads(serializer).encode({"a": (1, 2)} if serializer == "pickle" else {"a": [1, 2]})

    assert set(made) == {"content_type", "encoding", "body"}
    assert payloads(serializer).decode(through_the_log(made))["a"] in ((1, 2), [1, 2])


@pytest.mark.parametrize("serializer", ["json", "pickle", "yaml"])
@pytest.mark.parametrize("compression", ["gzip", "bzip2", "zlib"])
def test_what_was_compressed_is_read_also_by_one_that_does_not_compress(serializer, compression):
    wire = through_the_log(payloads(serializer, compression).encode({"text": "x" * 1_000}))

    assert wire["encoding"].startswith("compressed+")
    assert len(wire["body"]) < 1_000
    assert payloads("json").decode(wire) == {"text": "x" * 1_000}


def test_a_pickle_is_opened_only_where_pickles_are_accepted():
    wire = payloads("pickle").encode({"a": 1})

    with pytest.raises(ContentDisallowed):
        payloads(accept=prepare_accept_content(["json"])).decode(wire)


def test_even_json_is_read_only_where_it_is_accepted():
    inline, text = payloads().encode([1]), payloads().encode([2**70])

    for wire in (inline, text):
        with pytest.raises(ContentDisallowed):
            payloads("yaml", accept=prepare_accept_content(["yaml"])).decode(wire)


def test_a_value_of_another_writer_is_read_by_our_own_rules():
    for value in ({"a": (1, 2)}, [1, {2}], "text", None, 3, {"content_type": "x"}):
        assert payloads().decode(encode_value(value)) == value


def test_the_rest_of_the_library_opens_nothing():
    wire = payloads("pickle").encode({"a": 1})

    assert decode_value(wire).content_type == "application/x-python-serialize"
