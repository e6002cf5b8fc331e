"""`eventresults demo`: real tasks over a real log, and everything that can be asked afterwards."""

from __future__ import annotations

import shlex
import shutil
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Condition
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from eventresults.cli import records
from eventresults.cli.connection import opened
from eventresults.cli.demo_task import count_python
from eventresults.cli.entry import PROGRAM
from eventresults.cli.exits import ExitCode
from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import Format, cell, chosen
from eventresults.cli.progress import Meter
from eventresults.cli.terminal import safe, say, to_json, write
from eventresults.config import Settings, parse_url

if TYPE_CHECKING:
    from eventresults.client.result import AsyncResult
    from eventresults.tracker import Tracker

FOLDER = "eventresults-demo"
#: No single task may hold the demo up for longer than this, in seconds.
PATIENCE = 300.0
CALLBACKS_WITHIN = 30.0


def demo(
    *,
    tasks: Annotated[int | None, typer.Option(min=1, help="Only so many files.", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per processor unless set.", show_default=False)] = None,
    folder: Annotated[str, typer.Option(help="Where the log and the view are kept, unless --url names another log.")] = FOLDER,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Run about 1,800 real tasks and ask everything about them.

    Each task parses one file of this Python's own standard library in a process of its own pool; those that are broken on purpose fail for
    real. The log is a file in ./eventresults-demo unless --url names another, such as a Kafka topic, which is created if it is missing.
    Exit 1 if a callback was missing or the view did not equal its log.
    """
    files = library_files(tasks)
    if url is None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{quote(folder.rstrip('/'))}/events.db"
    extra = {"create_topic": True} if parse_url(url).scheme.startswith("kafka") else {}
    with opened(url, view, **extra) as tracker:
        report = Demo(tracker, files).run(workers)
        nexts = next_commands(tracker.settings, report["example"]["id"], view)
    report["next"] = nexts
    match chosen(output):
        case Format.TABLE:
            for line in prose(report):
                write(safe(line))
        case Format.JSON:
            write(to_json(report, indent=2))
        case Format.JSONL:
            write(to_json(report))
    if not report["sound"]:
        raise typer.Exit(ExitCode.FAILED)


def library_files(limit: int | None) -> list[Path]:
    """The standard library's files, tests included where they are bundled; the broken ones first, so that a few files hold some."""
    root = Path(sysconfig.get_path("stdlib"))
    outside = {"site-packages", "dist-packages", "__pycache__"}
    files = [path for path in sorted(root.rglob("*.py")) if not outside & set(path.relative_to(root).parts)]
    if not any(path.name.startswith("bad") for path in files):
        say(f"This Python came without its tests ({root / 'test'}): no file is broken on purpose, so every task may succeed.")
    files.sort(key=lambda path: not path.name.startswith("bad"))
    return files[:limit]


class Demo:
    """One run: the tasks, then the questions."""

    def __init__(self, tracker: Tracker, files: Sequence[Path]) -> None:
        self._tracker = tracker
        self._files = files
        self._fired: Counter[str] = Counter()
        self._firing = Condition()

    def run(self, workers: int | None) -> dict[str, Any]:
        """Do it all; what was found, as plain data."""
        tracker = self._tracker
        begun = perf_counter()
        results = self._work(workers)
        worked = perf_counter() - begun
        self._await_callbacks(len(results))

        ids = [result.id for result in results]
        begun = perf_counter()
        metas = tracker.read_many(ids)
        read = perf_counter() - begun
        known = [meta for meta in metas.values() if meta is not None]
        example = next((meta for meta in known if meta.error is not None), known[0])
        facts = sum(meta.facts for meta in known)

        begun = perf_counter()
        with Meter("Rebuilding the view from the log") as meter:
            rebuilt = tracker.rebuild(progress=meter)
        rebuilding = perf_counter() - begun
        same = tracker.read_many(ids) == metas
        with Meter("Comparing it with the log") as meter:
            differences = tracker.verify(progress=meter)
        fired = dict(self._fired)
        return {
            "log": tracker.url,
            "view": tracker.view_stats()["path"],
            "tasks": len(results),
            "states": dict(Counter(meta.state for meta in known).most_common()),
            "failures": dict(Counter(str(meta.error.get("type")) for meta in known if meta.error).most_common()),
            "callbacks": fired,
            "counted": {
                name: sum(meta.result[name] for meta in known if meta.error is None) for name in ("functions", "classes", "nodes", "bytes")
            },
            "example": {
                "id": example.task_id,
                "state": example.state,
                "args": example.args,
                "error": records.error_line(example.error),
                "history": [records.fact_row(fact) for fact in tracker.view.history(example.task_id)],
            },
            "exists": {one: tracker.AsyncResult(one).exists() for one in (example.task_id, "no-such-task")},
            "rebuilt": {"records": rebuilt, "same_answers": same, "differences": len(differences)},
            "rates": {
                "seconds": round(worked, 2),
                "tasks_per_second": round(len(results) / worked),
                "facts_per_second": round(facts / worked),
                "reads_per_second": round(len(ids) / read),
                "rebuilt_per_second": round(rebuilt / rebuilding),
            },
            "sound": len(known) == len(results) == sum(fired.values()) and same and not differences,
        }

    def _work(self, workers: int | None) -> list[AsyncResult]:
        with (
            self._tracker.executor(processes=True, max_workers=workers) as pool,
            Meter("Parsing the standard library", unit="files") as meter,
        ):
            results = []
            for path in self._files:
                result = pool.submit(count_python, str(path))
                result.then(lambda _: self._count("succeeded"), on_error=lambda _: self._count("failed"))
                results.append(result)
            for done, result in enumerate(results, start=1):
                result.get(timeout=PATIENCE, propagate=False)
                meter(done, len(results))
        return results

    def _count(self, what: str) -> None:
        with self._firing:
            self._fired[what] += 1
            self._firing.notify_all()

    def _await_callbacks(self, count: int) -> None:
        deadline = monotonic() + CALLBACKS_WITHIN
        with self._firing:
            while sum(self._fired.values()) < count and (left := deadline - monotonic()) > 0:
                self._firing.wait(left)


def next_commands(settings: Settings, task_id: str, view: str | None) -> list[str]:
    """What to try next, ready to copy. A URL with a password is left to the environment."""
    masked = settings.log.masked
    where = [] if "***" in masked else ["--url", masked]
    where += [] if view is None else ["--view", view]
    tries = (
        ("task", "list", "--state", "FAILURE"),
        ("task", "show", task_id),
        ("task", "history", task_id),
        ("events", "tail", "-n", "5"),
        ("events", "cat", "--kind", "task-failed"),
        ("view", "stats"),
        ("view", "verify"),
        ("doctor",),
    )
    return [shlex.join((called_as(), *words, *where)) for words in tries]


def called_as() -> str:
    """What a shell finds this program by: its name, or where PATH lacks that (`make demo`), what it was called by."""
    called = sys.argv[0]
    return called if Path(called).name == PROGRAM and not shutil.which(PROGRAM) else PROGRAM


def prose(report: dict[str, Any]) -> Iterator[str]:
    """The report for people."""
    rates, example, rebuilt = report["rates"], report["example"], report["rebuilt"]
    yield f"{report['tasks']:,} tasks, each one file of this Python's standard library, in {rates['seconds']:g} s"
    yield f"  log              {report['log']}"
    yield f"  view             {report['view']}"
    yield f"  by state         {_counts(report['states'])}"
    yield f"  failures         {_counts(report['failures']) or 'none'}"
    yield f"  callbacks fired  {_counts(report['callbacks'])}"
    yield f"  counted          {_counts(report['counted'])}"
    yield ""
    yield f"One of them, {example['id']} ({example['state']}{': ' + example['error'] if example['error'] else ''})"
    for fact in example["history"]:
        yield f"  {fact['position']:<10} {fact['time']}  {fact['kind']:<15} {cell(fact['details'])[:100]}"
    yield ""
    for task_id, exists in report["exists"].items():
        yield f"AsyncResult({task_id!r}).exists() is {exists}"
    yield ""
    same = "the same answers" if rebuilt["same_answers"] else "OTHER ANSWERS"
    yield f"The view, rebuilt from {rebuilt['records']:,} records of the log, gives {same};"
    yield f"a second fold of the log, row by row, differs in {rebuilt['differences']} places"
    yield ""
    yield (
        f"Rates: {rates['tasks_per_second']:,} tasks/s, {rates['facts_per_second']:,} facts/s while working; "
        f"{rates['reads_per_second']:,} reads/s; {rates['rebuilt_per_second']:,} records/s rebuilding"
    )
    yield ""
    yield "Everything is still there. Try:"
    for command in report["next"]:
        yield f"  {command}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())
