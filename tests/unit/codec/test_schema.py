import json
import re
from datetime import datetime

import pytest

from eventresults.codec.events import encode_event
from eventresults.codec.schema import DESCRIPTIONS, json_schema
from eventresults.codec.shapes import PAYLOADS, TIMES
from eventresults.domain.events import EVENT_CLASSES
from tests.golden.corpus import events

SCHEMA = json_schema()
TYPES = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}


def complaints(value, schema):
    """What is wrong with an event: as much of JSON Schema as ours uses."""
    for name in set(schema["required"]) - value.keys():
        yield f"{name} is missing"
    for name, item in value.items():
        rules = schema["properties"].get(name)
        if rules is None:
            yield f"{name} is not described"
        elif "const" in rules:
            if item != rules["const"]:
                yield f"{name} is not {rules['const']}"
        elif "type" in rules:
            if not isinstance(item, TYPES[rules["type"]]) or (rules["type"] != "boolean" and isinstance(item, bool)):
                yield f"{name} is no {rules['type']}"
            elif rules.get("format") == "date-time" and not (item.endswith("Z") and datetime.fromisoformat(item)):
                yield f"{name} is no time"
            elif "minimum" in rules and item < rules["minimum"]:
                yield f"{name} is too small"
            elif "pattern" in rules and not re.search(rules["pattern"], item):
                yield f"{name} does not match"
        elif rules.get("$ref") != "#/$defs/wire":
            yield f"{name} has neither type nor reference"


@pytest.mark.parametrize("name", events())
def test_what_is_written_fits_the_schema_of_its_kind_and_no_other(name):
    value = json.loads(encode_event(events()[name]))
    fitting = [kind for kind in EVENT_CLASSES if not list(complaints(value, SCHEMA["$defs"][kind]))]
    assert fitting == [value["kind"]], list(complaints(value, SCHEMA["$defs"][value["kind"]]))


def test_the_small_validator_can_complain():
    value = json.loads(encode_event(events()["updated"]))
    wrong = value | {"state": "SUCCESS", "observed": 1, "time": "2026-11-22T20:44:56+00:00", "source": None, "more": 1}
    del wrong["task_id"]
    assert len(list(complaints(wrong, SCHEMA["$defs"]["task-updated"]))) == 6


def test_the_schema_is_json_schema_2020_12_and_plain_json():
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    assert [choice["$ref"] for choice in SCHEMA["oneOf"]] == [f"#/$defs/{kind}" for kind in EVENT_CLASSES]


@pytest.mark.parametrize("kind", EVENT_CLASSES)
def test_every_kind_and_field_has_a_title_and_a_description(kind):
    schema = SCHEMA["$defs"][kind]
    assert schema["title"]
    assert schema["description"]
    assert "additionalProperties" not in schema  # a later version may add fields
    for name, rules in schema["properties"].items():
        assert rules["title"], name
        assert rules["description"], name
        assert "anyOf" not in rules, name
        assert rules.get("default", False) is not None, name


def test_no_description_is_left_over():
    used = {name for kind in EVENT_CLASSES for name in SCHEMA["$defs"][kind]["properties"]} - {"v", "kind"}
    assert used == set(DESCRIPTIONS)


def test_payloads_and_times_are_listed_whole():
    """A field added to an event must be sorted: a wire value, a moment, or something that its type checks."""
    for kind in EVENT_CLASSES:
        for name, rules in SCHEMA["$defs"][kind]["properties"].items():
            if name in {"v", "kind"}:
                continue
            assert (rules.get("format") == "date-time") == (name in TIMES), name
            loose = "type" not in rules or rules["type"] in {"array", "object"}
            assert loose == (name in PAYLOADS), name
