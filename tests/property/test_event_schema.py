"""What the structs of events take is what pydantic, told the same by other words, takes: the validator is fast, and no laxer."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields
from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from eventresults.domain.events import EVENT_CLASSES, Count, CustomState, Event, Integer, Lifetime, Moment, Seconds

IN_PYDANTIC: list[tuple[Any, Any]] = [
    (Seconds, Annotated[float, Field(strict=True, allow_inf_nan=False)]),
    (Lifetime, Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]),
    (Count, Annotated[int, Field(strict=True, ge=0, lt=2**63)]),
    (Integer, Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)]),
    (Moment, AwareDatetime),
    (CustomState, Annotated[str, Field(strict=True, min_length=1, max_length=256, pattern=r"^(?!(?:FAILURE|REVOKED|SUCCESS)$)")]),
]


def pydantic_model(cls: type[Event]) -> TypeAdapter[Any]:
    made: dict[str, Any] = {}
    for field in fields(cls):
        hint = field.type
        for ours, theirs in IN_PYDANTIC:
            hint = theirs if hint == ours else theirs | None if hint == ours | None else hint
        made[field.name] = (hint, ... if field.required else field.default)
    return TypeAdapter(create_model(cls.__name__, __config__=ConfigDict(strict=True, extra="forbid", regex_engine="python-re"), **made))


MODELS = {kind: pydantic_model(cls) for kind, cls in EVENT_CLASSES.items()}

texts = st.sampled_from(["", "x", "SUCCESS", "FAILURE", "REVOKED", "SUCCESSFUL", "PROGRESS", "x" * 256, "x" * 257, "3", "SUCCESS\n"])
numbers = st.sampled_from([-(2**63) - 1, -(2**63), -1, 0, 1, 2**63 - 1, 2**63, 2**64, -1.0, -0.0, 0.5, 1e300, float("inf"), float("nan")])
leaves = st.none() | st.booleans() | numbers | texts | st.just(datetime(2026, 1, 1, tzinfo=UTC)) | st.just(datetime(2026, 1, 1))  # noqa: DTZ001
items = leaves | st.lists(leaves, max_size=2) | st.dictionaries(texts, leaves | st.lists(leaves, max_size=2), max_size=2)


@st.composite
def records(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """The fields of one kind, most of them right."""
    kind = draw(st.sampled_from(sorted(EVENT_CLASSES)))
    cls = EVENT_CLASSES[kind]
    right: dict[str, Any] = {"time": datetime(2026, 1, 1, tzinfo=UTC), "until": datetime(2026, 1, 1, tzinfo=UTC)}
    record = {field.name: right.get(field.name, "PROGRESS") for field in fields(cls) if field.required}
    names = st.sampled_from([*cls.__struct_fields__, "unheard_of"])
    return kind, record | draw(st.dictionaries(names, items, max_size=3))


def taken(validate: Any, record: dict[str, Any]) -> Any:
    """What came of the record, or None."""
    try:
        return validate(record)
    except (ValidationError, msgspec.ValidationError):
        return None


@given(records())
def test_a_struct_takes_what_pydantic_takes_and_makes_the_same_of_it(given_record):
    kind, record = given_record
    ours = taken(lambda fields_: msgspec.convert(fields_, EVENT_CLASSES[kind]), record)
    theirs = taken(MODELS[kind].validate_python, record)
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert repr(msgspec.structs.asdict(ours)) == repr({name: getattr(theirs, name) for name in ours.__struct_fields__})
