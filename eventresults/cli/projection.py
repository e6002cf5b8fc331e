"""`eventresults projection`: what is folded beside the tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from eventresults.cli.connection import catching_up, opened
from eventresults.cli.exits import ExitCode
from eventresults.cli.options import Output, Url, View
from eventresults.cli.output import Format, chosen, print_one, print_rows
from eventresults.cli.terminal import complain, say, to_json, write

app = typer.Typer(no_args_is_help=True, help="Read projections: folds of your own, run beside the view.")

Name = Annotated[str, typer.Argument(help="The projection's name.", metavar="NAME", show_default=False)]


@app.command("list")
def list_(*, url: Url = None, view: View = None, output: Output = None) -> None:
    """Show the projections that whoever holds the view runs, and whether each is whole. Exit 1 if one has failed."""
    with opened(url, view) as tracker, catching_up(tracker):
        rows = list(_rows(tracker.view_stats()))
    print_rows(rows, output=output, columns=("name", "version", "state", "position", "reason"))
    if not rows:
        say("No projections are run here: see connect(projections=…), the setting `projections`, and entry points in the README.")
    if any(row["state"] == "failed" for row in rows):
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def get(
    name: Name,
    key: Annotated[str, typer.Argument(help="The key.", metavar="KEY", show_default=False)],
    *,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Print the state of one key of a projection, as JSON. Exit 3 if it has none."""
    with opened(url, view) as tracker, catching_up(tracker):
        found = tracker.projection(name).get_many([key])
    if key not in found:
        complain(f"the projection {name!r} has no key {key!r}")
        raise typer.Exit(ExitCode.NOT_FOUND)
    if chosen(output) is Format.TABLE:
        print_one({"key": key, "state": found[key]}, output=output)
    else:
        write(to_json(found[key], indent=None if chosen(output) is Format.JSONL else 2))


@app.command()
def items(
    name: Name,
    *,
    prefix: Annotated[str, typer.Option(help="Only keys that begin with this.", show_default=False)] = "",
    after: Annotated[str | None, typer.Option(help="Only keys that come after this one.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most this many.")] = 1_000,
    url: Url = None,
    view: View = None,
    output: Output = None,
) -> None:
    """Print the keys of a projection, in order, each with its state."""
    with opened(url, view) as tracker, catching_up(tracker):
        page = tracker.projection(name).page(prefix=prefix, after=after, limit=limit)
    print_rows([{"key": key, "state": state} for key, state in page.items], output=output, columns=("key", "state"))
    if page.after is not None:
        say(f"There are more: --after {page.after}")


def _rows(stats: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row per projection: failed where it failed in one partition, being built where one lacks it."""
    versions: dict[str, int] = {}
    for one in stats.get("members", [stats]):
        versions |= one["projections"]
    for name, version in sorted(versions.items()):
        marks = [(one["partition"], one["projections"].get(name)) for one in stats["partitions"]]
        failed = next(((partition, mark["failed"]) for partition, mark in marks if mark and "failed" in mark), None)
        whole = all(mark is not None and mark["version"] == version for _, mark in marks)
        yield {
            "name": name,
            "version": version,
            "state": "failed" if failed else "whole" if whole else "being built",
            "position": f"{failed[0]}:{failed[1]['offset']}" if failed else None,
            "reason": failed[1]["reason"] if failed else None,
        }
