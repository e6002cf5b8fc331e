"""The public surface."""

from __future__ import annotations

import subprocess
import sys

import eventresults
from eventresults import errors

CLASSES_AND_FUNCTIONS = """
AsyncResult EagerResult GroupResult Position Projection Recorder ResultBase ResultSet TaskEvent TaskMeta TaskState TrackedExecutor Tracker
Transition
allow_join_result assert_will_not_block connect current_task current_tracker denied_join_result result_from_tuple task_join_will_block
""".split()
EVENTS = """
TaskSent TaskReceived TaskStarted TaskUpdated TaskSucceeded TaskFailed TaskRetried TaskRevoked TaskRejected
TaskRevokeRequested TaskForgotten DataErased
GroupSaved GroupSized GroupPart GroupDispatching GroupDispatched GroupForgotten
""".split()


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


def test_importing_the_library_loads_no_client_library_and_no_celery():
    # given
    heavy = (
        "kafka",
        "confluent_kafka",
        "rocksdict",
        "celery",
        "typer",
        "rich",
        "starlette",
        "uvicorn",
        "structlog",
        "prometheus_client",
        "cryptography",
        "pyarrow",
        "duckdb",
    )
    program = f"import sys, eventresults, eventresults.archive, eventresults.errors; print([m for m in {heavy} if m in sys.modules])"

    # when
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    # then
    assert done.stdout.strip() == "[]"


def test_the_command_line_loads_nothing_of_an_extra():
    # given
    extras = ("pyarrow", "duckdb", "obstore", "pyiceberg", "pandas", "celery", "confluent_kafka")
    program = f"import sys, eventresults.cli.app; print([m for m in {extras} if m in sys.modules])"

    # when
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    # then
    assert done.stdout.strip() == "[]"
