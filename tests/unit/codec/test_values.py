import enum
import json
import math
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, Field, RootModel, ValidationError

from eventresults.codec.values import MAX_DEPTH, Opaque, check_wire, decode_as, decode_value, encode_value
from eventresults.domain.states import TaskState
from eventresults.errors import LogError, ValueNotEncodable
from tests.golden.corpus import VALUES


def over_the_wire(value):
    return decode_value(json.loads(json.dumps(encode_value(value), allow_nan=False)))


def nested(levels, wrap=lambda inner: [inner]):
    value = 1
    for _ in range(levels):
        value = wrap(value)
    return value


@pytest.mark.parametrize("name", VALUES)
def test_what_is_encoded_is_a_wire_value(name):
    wire = encode_value(VALUES[name])
    check_wire(wire)
    assert json.loads(json.dumps(wire, allow_nan=False)) == wire


@pytest.mark.parametrize(
    "value",
    [v for n, v in VALUES.items() if n not in {"not a number", "bytes", "named tuple", "enum", "dataclass", "pydantic model"}],
)
def test_a_value_comes_back_equal_and_of_its_type(value):
    back = over_the_wire(value)
    assert back == value
    assert type(back) is type(value)


def test_nan_comes_back_as_nan():
    assert math.isnan(over_the_wire([float("nan")])[0])


def test_negative_zero_keeps_its_sign():
    assert math.copysign(1, over_the_wire(-0.0)) == -1


@pytest.mark.parametrize("value", [b"abc", bytearray(b"abc"), memoryview(b"abc"), memoryview(b"aXbXcX")[::2]])
def test_any_buffer_comes_back_as_bytes(value):
    assert over_the_wire(value) == b"abc"


@pytest.mark.parametrize("size", [0, 1_000_000])
def test_sizes_from_nothing_to_a_megabyte_round_trip(size):
    assert over_the_wire("x" * size) == "x" * size
    assert over_the_wire(b"\xff" * size) == b"\xff" * size


def test_an_integer_of_70_bits_round_trips_and_stays_readable():
    assert encode_value(2**70) == {"$type": "int", "value": str(2**70)}
    assert over_the_wire([2**70, -(2**70), 2**63, 2**63 - 1]) == [2**70, -(2**70), 2**63, 2**63 - 1]


def test_an_integer_of_more_digits_than_python_writes_is_refused_and_says_so():
    with pytest.raises(ValueNotEncodable, match="digits"):
        encode_value(10**5000)


def test_a_pair_of_lone_surrogates_stays_two_characters():
    assert over_the_wire("\ud83d\ude00") == "\ud83d\ude00"
    assert len(over_the_wire("\ud83d\ude00")) == 2


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}])
def test_200_levels_of_nesting_round_trip(wrap):
    value = nested(200, wrap)
    assert over_the_wire(value) == value


def test_the_depth_limit_counts_levels_of_the_wire():
    check_wire(encode_value(nested(MAX_DEPTH)))
    check_wire(encode_value(nested(MAX_DEPTH // 2, lambda v: (v,))))
    for value in (nested(MAX_DEPTH + 1), nested(MAX_DEPTH // 2 + 1, lambda v: (v,)), nested(MAX_DEPTH // 3 + 1, lambda v: {1: v})):
        with pytest.raises(ValueNotEncodable, match="deeper than 256 levels"):
            encode_value(value)


@pytest.mark.parametrize("make", [list, dict])
def test_a_value_that_contains_itself_is_refused(make):
    value = make()
    value.append(value) if isinstance(value, list) else value.update(me=value)
    with pytest.raises(ValueNotEncodable, match="contains itself") as caught:
        encode_value(value)
    assert len(str(caught.value)) < 1000


def test_what_is_shared_is_no_cycle():
    part = [1]
    assert over_the_wire([part, part]) == [[1], [1]]


class Text(str):
    __slots__ = ()

    def __str__(self):
        return "not me"


class Number(int):
    def __int__(self):
        return -1


class Real(float):
    pass


class Level(enum.IntEnum):
    LOW = 1


class Point(NamedTuple):
    x: int


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (Text("a"), "a"),
        (Number(5), 5),
        (Real(0.5), 0.5),
        (Level.LOW, 1),
        (TaskState.SUCCESS, "SUCCESS"),
        (Point(1), (1,)),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (Counter("aab"), {"a": 2, "b": 1}),
        ({TaskState.SUCCESS: 1, Text("k"): 2}, {"SUCCESS": 1, "k": 2}),
        (type("Rows", (list,), {})([1]), [1]),
        (type("Marks", (set,), {})([1]), {1}),
        (type("Blob", (bytes,), {})(b"a"), b"a"),
        (type("Moment", (datetime,), {})(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
    ],
)
def test_a_subclass_comes_back_as_its_base(value, base):
    back = over_the_wire(value)
    assert back == base
    assert type(back) is type(base)
    assert [type(key) for key in back] == [type(key) for key in base] if isinstance(base, dict) else True


def test_a_zone_becomes_its_offset_and_the_moment_stays():
    value = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    back = over_the_wire(value)
    assert back == value
    assert back.utcoffset() == value.utcoffset()


@dataclass(frozen=True)
class Line:
    when: date
    item: object = None


class Order(BaseModel):
    id: int
    lines: list[Line] = []
    customer_name: str = Field(default="", alias="customerName")


@dataclass(slots=True)
class Slotted:
    tags: set[str] = field(default_factory=set)


def test_dataclasses_and_models_are_plain_objects_on_the_wire_and_dicts_when_read():
    order = Order(id=1, lines=[Line(date(2026, 1, 2))], customerName="Ada")
    wire = encode_value(order)
    assert wire == {"id": 1, "lines": [{"when": {"$type": "date", "value": "2026-01-02"}, "item": None}], "customer_name": "Ada"}
    assert decode_value(wire) == {"id": 1, "lines": [{"when": date(2026, 1, 2), "item": None}], "customer_name": "Ada"}


def test_decode_as_rebuilds_them():
    order = Order(id=1, lines=[Line(date(2026, 1, 2))], customerName="Ada")
    assert decode_as(encode_value(order), Order) == order
    assert decode_as(encode_value(Slotted({"a"})), Slotted) == Slotted({"a"})
    assert decode_as(encode_value(RootModel[list[int]]([1, 2])), RootModel[list[int]]).root == [1, 2]
    assert decode_as(encode_value(Level.LOW), Level) is Level.LOW
    assert decode_as(encode_value([1, 2]), tuple[int, ...]) == (1, 2)
    assert decode_as([1], Annotated[list[int], ["unhashable"]]) == [1]


def test_decode_as_lets_pydantics_own_error_through():
    with pytest.raises(ValidationError, match="valid integer"):
        decode_as({"id": "no number"}, Order)


def test_a_dataclass_that_looks_like_an_envelope_is_not_taken_for_one():
    @dataclass
    class Mail:
        content_type: str
        encoding: str
        body: str

    assert over_the_wire(Mail("a", "b", "c")) == {"content_type": "a", "encoding": "b", "body": "c"}


def test_an_opaque_envelope_passes_untouched():
    envelope = {"content_type": "application/x-yaml", "encoding": "utf-8", "body": "a: 1"}
    assert decode_value(envelope) == Opaque("application/x-yaml", "utf-8", "a: 1")
    assert encode_value(Opaque(**envelope)) == envelope
    with pytest.raises(ValueNotEncodable, match="must be texts"):
        encode_value(Opaque("a", "b", b"c"))


class Hostile(tzinfo):
    def utcoffset(self, _):
        raise RuntimeError("no offset today")


class Unreadable:
    """A dataclass with a field that is not set."""


@dataclass
class Holey:
    there: int
    gone: int = field(init=False)


@pytest.mark.parametrize(
    ("value", "path", "type_name", "says"),
    [
        ({"rows": [0, 1, 2, Line(date(2026, 1, 2), item=1j)]}, "result['rows'][3].item", "complex", "no rule covers"),
        (object(), "result", "object", "Record a dict"),
        ([threading.Lock()], "result[0]", "_thread.lock", "no rule covers"),
        ({1: print}, "result[1]", "builtin_function_or_method", "no rule covers"),
        ({(1, 2): print}, "result[<tuple>]", "builtin_function_or_method", "no rule covers"),
        ({"a": {frozenset({1j})}}, "result['a']{…}{…}", "complex", "no rule covers"),
        ((1, deque()), "result[1]", "collections.deque", "no rule covers"),
        ([ValueError("x")], "result[0]", "ValueError", "no rule covers"),
        ([int], "result[0]", "type", "no rule covers"),
        ([Line], "result[0]", "type", "no rule covers"),
        (Order.model_construct(id=1j), "result.id", "complex", "no rule covers"),
        (datetime(2026, 1, 1, tzinfo=Hostile()), "result", "datetime.datetime", "no offset today"),
        (Holey(1), "result", f"{__name__}.Holey", "gone"),
        (iter([]), "result", "list_iterator", "no rule covers"),
        ({"k" * 200: 1j}, f"result['{'k' * 59}…]", "complex", "no rule covers"),
        ({"\ud800": 1j}, r"result['\ud800']", "complex", "no rule covers"),
    ],
)
def test_a_value_no_rule_covers_names_its_place_its_type_and_the_cure(value, path, type_name, says):
    with pytest.raises(ValueNotEncodable, match=says) as caught:
        encode_value(value, name="result")
    assert (caught.value.path, caught.value.type_name) == (path, type_name)
    assert str(caught.value).startswith(f"{path} ({type_name}) cannot be recorded: ")
    assert isinstance(caught.value, LogError)
    str(caught.value).encode()


def test_what_is_encoded_shares_no_container_with_what_was_given():
    value = {"a": [1], "b": {"c": 2}}
    wire = encode_value(value)
    value["a"].append(2)
    value["b"]["c"] = 3
    assert wire == {"a": [1], "b": {"c": 2}}


@pytest.mark.parametrize(
    "wire",
    [
        {"$type": "later", "value": 1},
        {"$type": "bytes", "value": "no base64"},
        {"$type": "bytes", "value": 5},
        {"$type": "int", "value": "a"},
        {"$type": "int", "value": "1" * 5000},
        {"$type": "float", "value": "nan"},
        {"$type": "set", "value": [[1]]},
        {"$type": "dict", "value": [[[1], 2]]},
        {"$type": "dict", "value": [1]},
        {"$type": "datetime", "value": "yesterday"},
        {"$type": "timedelta", "value": [10**30]},
        {"$type": "timedelta", "value": ["a"]},
        {"$type": "decimal", "value": "1,5"},
        {"$type": "uuid", "value": "x"},
        {"$type": ["tuple"], "value": [1]},
        {"$type": {}, "value": ""},
        {"$type": "tuple"},
        {"$type": "tuple", "value": [1], "more": 2},
        {"$type": "Shop.Order, Shop", "id": 5},
        {"content_type": "a", "encoding": "b", "body": 5},
    ],
)
def test_what_only_looks_like_a_tag_is_read_as_the_dict_it_is(wire):
    assert decode_value(wire) == wire


def test_tags_inside_of_what_only_looks_like_a_tag_are_read():
    assert decode_value({"$type": "Order", "lines": encode_value((1, 2))}) == {"$type": "Order", "lines": (1, 2)}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ((1,), "meta"),
        ([{"a": float("nan")}], "meta[0]['a']"),
        ([2**64], "meta[0]"),
        (["\ud800"], "meta[0]"),
        ({1: 2}, "meta[1]"),
        ({"\ud800": 2}, r"meta['\ud800']"),
        ([b""], "meta[0]"),
        ([TaskState.SUCCESS], "meta[0]"),
        ([Decimal(1)], "meta[0]"),
        (nested(MAX_DEPTH + 2), None),
    ],
)
def test_check_wire_refuses_what_is_no_wire_value_and_names_the_place(value, path):
    with pytest.raises(ValueNotEncodable) as caught:
        check_wire(value, name="meta")
    if path is not None:
        assert caught.value.path == path


def test_check_wire_takes_every_json_type():
    check_wire({"a": [None, True, 1, 2**64 - 1, -(2**63), 0.5, "ß", {}, []]})
