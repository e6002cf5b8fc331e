"""The description tells the truth."""

from __future__ import annotations

import json

import jsonschema
import pytest
from starlette.routing import Route

from eventresults.domain.events import GroupSaved, GroupSized
from eventresults.service.web.openapi import document
from tests.support.events import moment
from tests.support.views import tell_life
from tests.unit.service.web.conftest import Web

DOCUMENT = document()


def schema(name: str) -> dict:
    """One schema of the document, with all that it refers to."""
    return {**DOCUMENT, "$ref": f"#/components/schemas/{name}"}


def check(value: object, name: str) -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(value)


def test_it_is_valid_openapi():
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(DOCUMENT)


def test_it_describes_exactly_the_routes(web: Web):
    described = {(path, method.upper()) for path, operations in DOCUMENT["paths"].items() for method in operations}
    served = {(route.path, method) for route in web.app.routes if isinstance(route, Route) for method in route.methods - {"HEAD"}}
    assert described == served


def test_it_is_served(web: Web):
    assert web.get("/api/v1/openapi.json") == json.loads(json.dumps(DOCUMENT))


def test_every_parameter_described_is_taken_and_no_other(web: Web):
    from urllib.parse import quote

    web.recorder.sent("x", name="n")
    values = {"since": "2001-01-01", "until": "2001-01-01", "limit": "1", "timeout": "1", "freshness": "latest"}
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            if method != "get" or path == "/api/v1/events":
                continue
            names = [
                parameter["name"]
                for one in operation.get("parameters", [])
                if (parameter := DOCUMENT["components"]["parameters"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one)["in"]
                == "query"
            ]
            for name in names:
                if name != "cursor":
                    answer = web.ask(f"{path.format(id='x', key='x')}?{name}={quote(values.get(name, 'x'))}")
                    assert answer.status_code in {200, 404}, (path, name, answer.text)


def test_real_answers_are_as_described(web: Web):
    # given
    tell_life(web.recorder, ["done"])
    web.recorder.sent("failed", name="n", eta=moment(5), args=[b"bytes", {1, 2}])
    web.recorder.started("failed", pid=7)
    web.recorder.failed("failed", error=ValueError("no"), traceback="Traceback …")
    web.recorder.updated("running", state="PROGRESS", meta={"n": 1})
    web.recorder.append(GroupSaved(group_id="g", time=moment(1), results=[]))
    web.recorder.append(GroupSized(group_id="g", time=moment(1), size=2))

    # when / then
    for task in ("done", "failed", "running"):
        check(web.get(f"/api/v1/tasks/{task}"), "Task")
        check(web.get(f"/api/v1/tasks/{task}/history"), "History")
    check(web.get("/api/v1/groups/g"), "Group")
    check(web.get("/api/v1/groups/g"), "Group")
    check(web.get("/api/v1/tasks?limit=2"), "TaskPage")
    check(web.batch(["done", "failed", "nobody"]).json(), "TaskBatch")
    check(web.get("/readyz"), "Readiness")
    check(web.ask("/api/v1/tasks/nobody").json(), "Problem")
    check(web.ask("/api/v1/tasks?limit=x").json(), "Problem")


def test_every_refusal_has_a_status_that_is_described(web: Web):
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            answer = web.ask(path.format(id="nobody", key="none"), method=method.upper())
            assert str(answer.status_code) in operation["responses"], (path, answer.status_code)
