"""Functions that tests run as tasks: importable, so that a task process finds them."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from eventresults.client.joins import allow_join_result
from eventresults.worker.context import current_task


def add(x: int, y: int) -> int:
    return x + y


def double(x: Any) -> Any:
    return x * 2


def identity(value: Any) -> Any:
    return value


def pid_of_task(*_: Any) -> int:
    return os.getpid()


def fail(text: str = "boom") -> None:
    raise ValueError(text)


def fail_on(value: Any, bad: Any = None) -> Any:
    if value == bad:
        raise ValueError(value)
    return value


def who() -> dict[str, Any]:
    task = current_task()
    assert task is not None
    return {
        "id": task.id,
        "name": task.name,
        "root_id": task.root_id,
        "parent_id": task.parent_id,
        "attempt": task.attempt,
        "retries": task.retries,
        "pid": os.getpid(),
    }


def until(path: str, timeout: float = 30.0) -> str:
    """Run until the file is there."""
    deadline = time.monotonic() + timeout
    while not Path(path).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(path)
        time.sleep(0.002)
    return "released"


def touch(path: str) -> str:
    Path(path).touch()
    return path


def progress_until(path: str) -> str:
    task = current_task()
    assert task is not None
    task.update("PROGRESS", {"done": 1, "of": 2})
    return until(path)


def retry_until(attempts: int, countdown: float = 0) -> int:
    task = current_task()
    assert task is not None
    if task.attempt < attempts:
        try:
            raise ConnectionError(f"attempt {task.attempt}")
        except ConnectionError:
            try:
                task.retry(countdown=countdown)
            except ConnectionError:
                raise  # that was the last attempt
            except Exception:
                return -1  # an `except Exception` of the task must not catch it
    return task.attempt


def retry_with_nothing() -> None:
    task = current_task()
    assert task is not None
    task.retry()


def send_pair(x: int) -> int:
    task = current_task()
    assert task is not None
    task.submit(double, x)
    task.submit(double, x + 1)
    return x


def send_and_return(x: int) -> Any:
    task = current_task()
    assert task is not None
    return task.submit(double, x)


def send_group(count: int) -> int:
    task = current_task()
    assert task is not None
    task.map(double, range(count))
    return count


def send_chain(x: int) -> str:
    task = current_task()
    assert task is not None
    return task.chain([double, double], x).id


def get_inside(x: int) -> Any:
    task = current_task()
    assert task is not None
    return task.submit(double, x).get(timeout=10)


def get_inside_allowed(x: int) -> Any:
    task = current_task()
    assert task is not None
    child = task.submit(double, x)
    with allow_join_result():
        return child.get(timeout=10)


def update_with_object() -> str:
    task = current_task()
    assert task is not None
    try:
        task.update("PROGRESS", {"thing": object()})
    except TypeError as error:
        return type(error).__name__
    return "accepted"


def updates_from_threads(count: int) -> int:
    task = current_task()
    assert task is not None
    threads = [threading.Thread(target=task.update, args=("PROGRESS", number)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return count


def leave_a_thread(path: str) -> None:
    """The thread goes on after the task, and then speaks; what became of it is in the file."""
    task = current_task()
    assert task is not None

    def speak() -> None:
        until(path + ".speak")
        try:
            task.update("STRAY")
        except Exception as error:
            said = type(error).__name__
        else:
            said = "accepted"
        Path(path + ".part").write_text(said)
        Path(path + ".part").rename(path)

    threading.Thread(target=speak, daemon=True).start()


def blob(size: int) -> str:
    return "x" * size


def an_object() -> object:
    return object()


def a_lock() -> Any:
    return threading.Lock()


class Shapeless:
    """Pickles, and does not unpickle."""

    def __reduce__(self) -> Any:
        return _refuse, ()


def _refuse() -> None:
    raise RuntimeError("cannot be rebuilt")


def shapeless() -> Shapeless:
    return Shapeless()


class Awkward(Exception):
    """Neither pickles nor can be rebuilt from its args."""

    def __init__(self, a: int, *, b: int) -> None:
        super().__init__(f"{a} and {b}")
        self.lock = threading.Lock()


def raise_awkward() -> None:
    raise Awkward(1, b=2)


def exit_hard(code: int = 3) -> None:
    os._exit(code)


def exit_softly() -> None:
    sys.exit(4)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def update_and_die(count: int) -> None:
    task = current_task()
    assert task is not None
    for number in range(count):
        task.update("PROGRESS", number)
    os.kill(os.getpid(), signal.SIGKILL)


def outlive_sigterm(path: str) -> str:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Path(path).touch()
    return until(path + ".go")


def ignore_sigterm() -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return os.getpid()


def running_at(path: str) -> str:
    """Say that it runs, by a file with its pid, and then run on."""
    part = Path(path + ".part")
    part.write_text(str(os.getpid()))
    part.rename(path)
    return until(path + ".go")


MARK: list[Any] = []


def leave_mark(value: Any) -> None:
    MARK.append(value)


def read_marks() -> list[Any]:
    return list(MARK)


def break_start() -> None:
    raise RuntimeError("no database")
