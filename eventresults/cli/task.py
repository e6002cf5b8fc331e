"""`eventresults task`: what is known of tasks, waiting for them, and asking things of them."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from datetime import datetime
from shutil import get_terminal_size
from typing import Annotated, Any

import typer

from eventresults.cli import records
from eventresults.cli.connection import PATIENCE, catching_up, opened, settled
from eventresults.cli.exits import ExitCode
from eventresults.cli.options import ArchiveToo, At, Output, TaskId, TaskIds, Url, View
from eventresults.cli.output import Format, chosen, print_one, print_rows
from eventresults.cli.pasts import changed, describe, known, moment_text, past
from eventresults.cli.terminal import complain, say, to_json, write
from eventresults.cli.times import duration, milliseconds, moment, place
from eventresults.domain.events import TaskRevokeRequested
from eventresults.domain.meta import TaskMeta
from eventresults.domain.position import Position
from eventresults.domain.states import PROPAGATE_STATES

app = typer.Typer(no_args_is_help=True, help="Show, wait for, forget and revoke tasks.")

LIST_COLUMNS = ("id", "state", "name")
WIDE_LIST_COLUMNS = ("id", "state", "born_at", "runtime", "name")
WIDE = 110
HISTORY_COLUMNS = ("position", "log_time", "kind", "details")

Since = Annotated[
    datetime | None,
    typer.Option(parser=moment, metavar="TIME", help="Only tasks first heard of at or after this time: ISO 8601, or '2h ago'."),
]
Until = Annotated[datetime | None, typer.Option(parser=moment, metavar="TIME", help="Only tasks first heard of before this time.")]


@app.command()
def show(task_id: TaskId, *, at: At = None, archive: ArchiveToo = None, url: Url = None, view: View = None, output: Output = None) -> None:
    """Show everything that is known of one task, or was known at a moment (--at). Exit 3 if nothing is.

    What was known comes from the view's history where that suffices, else from the log or its archive; `answered_from` says which.
    """
    with opened(url, view, archive=archive) as tracker, catching_up(tracker):
        if at is not None:
            then = past(tracker, task_id, at)
            row = {"as_of": moment_text(at), "answered_from": then.source, **records.task_row(known(then))}
        elif (meta := tracker.read(task_id)) is None:
            raise _unknown(task_id)
        else:
            row = records.task_row(meta)
    print_one(row, output=output, blocks=("traceback",))


@app.command()
def diff(
    task_id: TaskId,
    *,
    begin: Annotated[Any, typer.Option("--from", parser=place, metavar="PLACE", help="The earlier time or position.", show_default=False)],
    end: Annotated[Any, typer.Option("--to", parser=place, metavar="PLACE", help="The later time or position.")] = "now",
    archive: ArchiveToo = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Show what changed of one task between two times or positions. Exit 1 if something did, 3 if nothing was known at either."""
    with opened(url, view, archive=archive) as tracker, catching_up(tracker):
        before, after = past(tracker, task_id, begin), past(tracker, task_id, end)
    if before.meta is None and after.meta is None:
        known(after)
    changes = changed(before.meta, after.meta)
    print_rows(changes, output=output, columns=("field", "before", "after"))
    say(f"{describe(before)} → {describe(after)}")
    if changes:
        raise typer.Exit(ExitCode.FAILED)


@app.command("list")
def list_(
    *,
    state: Annotated[str | None, typer.Option(help="Only tasks in this state, such as SUCCESS or FAILURE.", show_default=False)] = None,
    name: Annotated[str | None, typer.Option(help="Only tasks of this name.", show_default=False)] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Go on where an earlier list ended.", show_default=False)] = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """List tasks, newest first."""
    with opened(url, view) as tracker, catching_up(tracker):
        try:
            page = tracker.view.recent(
                state=state, name=name, since=milliseconds(since), until=milliseconds(until), limit=limit, cursor=cursor
            )
        except ValueError as error:
            if cursor is None:
                raise
            raise typer.BadParameter(f"{cursor!r} is no cursor: take the one that an earlier list ended with") from error
    rows = [records.brief_row(meta) for meta in page.items]
    if chosen(output) is Format.JSON:
        write(to_json({"items": rows, "next_cursor": page.cursor}, indent=2))
        return
    print_rows(rows, output=output, columns=WIDE_LIST_COLUMNS if get_terminal_size().columns >= WIDE else LIST_COLUMNS)
    if page.cursor:
        say(f"There may be more: --cursor {page.cursor}")


@app.command()
def history(task_id: TaskId, *, url: Url = None, view: View = None, output: Output = None) -> None:
    """Show every fact of one task or group that the view holds, oldest first. Exit 3 if there is none."""
    with opened(url, view) as tracker, catching_up(tracker):
        facts = tracker.view.history(task_id)
    if not facts:
        raise _unknown(task_id)
    print_rows([records.fact_row(fact) for fact in facts], output=output, columns=HISTORY_COLUMNS)


@app.command()
def wait(
    task_id: TaskId,
    *,
    timeout: Annotated[float, typer.Option(parser=duration, metavar="TIME", help="How long: 30s, 5m, 2h.", show_default="10m")] = PATIENCE,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Wait until a task has ended, then show it. Exit 1 if it failed or was revoked, 124 if the time was over first.

    An id that nobody has heard of may still come: waiting for it in vain is 124, too.
    """
    with opened(url, view) as tracker:
        tracker.AsyncResult(task_id).get(timeout=timeout, propagate=False)
        meta = tracker.read(task_id)
    if meta is None:
        raise _unknown(task_id)
    print_one(records.task_row(meta), output=output, blocks=("traceback",))
    if meta.state in PROPAGATE_STATES:
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def result(task_id: TaskId, *, url: Url = None, view: View = None, output: Output = None) -> None:
    """Print what a task returned, as JSON.

    Exit 1, with the error on stderr, if it failed or was revoked, or if what it returned is encrypted or erased; 3 if nobody has heard of
    it; 124 if it has not ended (see `task wait`).
    """
    with opened(url, view) as tracker, catching_up(tracker):
        meta, opener = tracker.read(task_id), tracker.opener
    if meta is None:
        raise _unknown(task_id)
    if meta.state in PROPAGATE_STATES:
        complain(f"{_why(meta)}")
        raise typer.Exit(ExitCode.FAILED)
    if not meta.ready:
        complain(f"the task is {meta.state} and has not ended: eventresults task wait waits for it")
        raise typer.Exit(ExitCode.TIMEOUT)
    write(to_json(opener.wire(meta.result), indent=None if chosen(output) is Format.JSONL else 2))


@app.command()
def forget(
    task_ids: TaskIds,
    *,
    reason: Annotated[str | None, typer.Option(help="Why, for the history.", show_default=False)] = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Forget tasks: their results leave the view, their facts stay in the log. Exit 3 if one is unknown (the others are forgotten)."""
    with opened(url, view) as tracker:
        with catching_up(tracker):
            known = tracker.read_many(task_ids)
        recorder = tracker.recorder()
        asked = [(one, recorder.forgotten(one, reason=reason)) for one in dict.fromkeys(task_ids) if known[one] is not None]
        rows = _recorded(asked)
    print_rows(rows, output=output, columns=("id", "position"))
    unknown = [one for one in task_ids if known[one] is None]
    if unknown:
        raise _unknown(*unknown)


@app.command()
def revoke(
    task_ids: TaskIds,
    *,
    terminate: Annotated[bool, typer.Option("--terminate", help="End it even if it runs already.")] = False,
    signal: Annotated[str, typer.Option(help="With --terminate, the signal that ends it.")] = "SIGTERM",
    reason: Annotated[str | None, typer.Option(help="Why, for the history.", show_default=False)] = None,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Ask that tasks not be run. A request: workers obey it, and `task show` tells what came of it. The id need not be known yet."""
    with opened(url, view) as tracker:
        recorder = tracker.recorder()
        asked = [
            (
                one,
                recorder.append(
                    TaskRevokeRequested(
                        task_id=one,
                        time=recorder.now(),
                        terminate=terminate,
                        signal=signal if terminate else None,
                        reason=reason,
                        by=recorder.source,
                    )
                ),
            )
            for one in dict.fromkeys(task_ids)
        ]
        rows = _recorded(asked)
    print_rows(rows, output=output, columns=("id", "position"))


def _recorded(asked: Iterable[tuple[str, Future[Position]]]) -> list[dict[str, Any]]:
    """Wait until the log has each fact. Raises what the recorder says otherwise."""
    return [{"id": one, "position": str(settled(future, one))} for one, future in asked]


def _unknown(*task_ids: str) -> typer.Exit:
    for one in task_ids:
        complain(f"no task {one!r} is known: it was never sent, or it was forgotten or has expired")
    return typer.Exit(ExitCode.NOT_FOUND)


def _why(meta: TaskMeta) -> str:
    if meta.revocation is not None:
        return f"the task was revoked ({meta.revocation.get('reason') or 'no reason given'})"
    return records.error_line(meta.error) or f"the task is {meta.state}"
