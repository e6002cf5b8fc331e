"""What every test may use."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

from eventresults.client import joins

pytest_plugins = ["tests.support.kafka.fixtures"]

settings.register_profile("dev", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci", max_examples=200, deadline=None, derandomize=False, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

#: Where tests have brokers and other processes that must answer in time, on two cores that they share with whatever else runs there.
SHARED = ("tests/integration", "tests/e2e")
#: hypothesis looks for a smaller example for up to five minutes before it says what it found.
SMALLER_SECONDS = 400.0


def pytest_configure() -> None:
    """Processes of tests that interrupt them must hear it, also where these tests run in a shell's background, which ignores interrupts."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One that fails in `SHARED` is tried twice more, and the report tells (`R`); what is broken fails three times.

    With `--fail-on-flaky --rerun-show-tracebacks` the run fails for each second try, and shows what the first one met.
    """
    for item in items:
        if any(f"/{folder}/" in item.path.as_posix() for folder in SHARED):
            item.add_marker(pytest.mark.flaky(reruns=2))
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.timeout(SMALLER_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Only the tests of the Celery backend share Celery's mark of tasks, which importing it shares with the whole process."""
    if "celery" in item.path.as_posix():
        return (yield)
    before = joins.share_flag(None)
    try:
        return (yield)
    finally:
        joins.share_flag(before)


#: How long a client of Kafka's that was closed may take to end.
ENDING_SECONDS = 10.0


@pytest.fixture(autouse=True)
def no_kafka_client_is_left_open() -> Iterator[None]:
    """kafka-python's threads use Python's global `random`, and hypothesis refuses every test that runs beside them, whoever left them."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and _is_of_kafka_python(thread)]
    for thread in left:
        thread.join(ENDING_SECONDS)
    names = [thread.name for thread in left if thread.is_alive()]
    if names:
        pytest.fail(f"the test left a client of Kafka's open: {', '.join(names)}", pytrace=False)


def _is_of_kafka_python(thread: threading.Thread) -> bool:
    return thread.name.startswith("kafka-io-") or type(thread).__module__.startswith("kafka.")
