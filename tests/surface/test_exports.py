"""The public surface."""

from __future__ import annotations

import subprocess
import sys

import pytest

import eventresults
from eventresults import errors

CLASSES_AND_FUNCTIONS = """
AsyncResult EagerResult GroupResult Position Projection Recorder ResultBase ResultSet TaskEvent TaskMeta TaskState TrackedExecutor Tracker
Transition
allow_join_result assert_will_not_block connect current_task current_tracker denied_join_result result_from_tuple task_join_will_block
""".split()
#: What takes long to import, or is of use to few.
EXTRAS = {"pyarrow", "duckdb", "obstore", "pyiceberg", "pandas", "celery", "confluent_kafka"}
HEAVY = EXTRAS | {"kafka", "rocksdict", "typer", "rich", "starlette", "uvicorn", "structlog", "prometheus_client", "cryptography"}
THIRD_PARTY = HEAVY | {"pydantic", "pydantic_core", "msgspec", "vine", "websockets", "uuid_utils", "platformdirs", "asyncio"}
EVENTS = """
TaskSent TaskReceived TaskStarted TaskUpdated TaskSucceeded TaskFailed TaskRetried TaskRevoked TaskRejected
TaskRevokeRequested TaskForgotten DataErased
GroupSaved GroupSized GroupPart GroupDispatching GroupDispatched GroupForgotten
""".split()


def printed_by(program):
    """What a fresh interpreter prints that runs this."""
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True).stdout


def modules_after(program):
    """What a fresh interpreter has imported after this."""
    return set(printed_by(f"{program}\nimport sys; print(*sys.modules)").split())


def test_the_public_names_are_exactly_these():
    tree = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.EventResultsError)]
    assert sorted(eventresults.__all__) == sorted([*CLASSES_AND_FUNCTIONS, *EVENTS, *tree])


def test_every_public_name_is_there_and_documented():
    for name in eventresults.__all__:
        value = getattr(eventresults, name)
        if isinstance(value, type) or callable(value):
            assert value.__doc__, name


def test_the_error_tree_is_drawn_as_it_is():
    drawn = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if isinstance(value, type) and issubclass(value, errors.EventResultsError):
            assert name in drawn


def test_importing_the_library_loads_nothing_of_it_but_its_errors_and_no_other_library():
    # when
    loaded = modules_after("import eventresults")

    # then
    assert {name for name in loaded if name.partition(".")[0] == "eventresults"} == {"eventresults", "eventresults.errors"}
    assert not THIRD_PARTY & loaded


def test_every_public_name_loads_no_client_library_no_server_and_no_celery():
    # when
    loaded = modules_after("from eventresults import *; import eventresults.archive")

    # then
    assert not HEAVY & loaded


def test_names_that_are_light_load_little():
    # when
    loaded = modules_after("from eventresults import Position, TaskState, allow_join_result, current_task, task_join_will_block")

    # then
    assert not THIRD_PARTY & loaded


def test_only_who_connects_loads_what_reads_settings():
    # when
    loaded = modules_after("import eventresults.worker.child; from eventresults import AsyncResult, Recorder, TaskSent, TrackedExecutor")

    # then
    assert not (HEAVY | {"pydantic", "pydantic_core", "platformdirs"}) & loaded


def test_who_connects_loads_neither_executors_nor_the_outbox_before_they_are_used():
    # when
    loaded = modules_after("import eventresults; eventresults.connect('memory://').close()")

    # then
    assert not {"eventresults.worker", "eventresults.log.outbox", "rocksdict", *HEAVY} & loaded


def test_a_name_that_is_none_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'AsyncResults'"):
        eventresults.AsyncResults  # noqa: B018


def test_names_that_were_not_asked_for_are_listed_too():
    # when
    listed = printed_by("import eventresults; print(*dir(eventresults))").split()

    # then
    assert set(eventresults.__all__) <= set(listed)


def test_the_help_of_the_command_line_loads_none_of_its_commands():
    # when
    loaded = modules_after("from eventresults.cli.entry import run; run(['--help'])")

    # then
    parts = {name.removeprefix("eventresults.") for name in loaded if name.startswith("eventresults.")}
    assert parts == {"cli", "cli.app", "cli.entry", "cli.exits", "cli.logs", "cli.terminal", "errors"}
    assert not (THIRD_PARTY - {"typer"}) & loaded


def test_the_commands_load_nothing_of_an_extra():
    # when
    loaded = modules_after("from eventresults.cli.app import command; list(command().commands.values())")

    # then
    assert "eventresults.cli.archive" in loaded
    assert not EXTRAS & loaded
