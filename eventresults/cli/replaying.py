"""What `eventresults replay` does."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from eventresults import bootstrap
from eventresults.cli import logread, records
from eventresults.cli.connection import settings_of
from eventresults.cli.output import Format, Stream, print_one, print_rows
from eventresults.cli.progress import Meter
from eventresults.cli.terminal import say
from eventresults.cli.times import iso, place
from eventresults.errors import ConfigError
from eventresults.log.base import Log
from eventresults.log.stretch import Found, Stretch, exact
from eventresults.past.survey import Cut, merged, survey
from eventresults.projector.registered import Registered
from eventresults.replay.notes import Notes
from eventresults.replay.retelling import NewIds, same_ids
from eventresults.replay.run import Pace, Taker, Tally, run
from eventresults.replay.scratch import fold_stretch
from eventresults.replay.takers import Appending, Counting, Printing
from eventresults.replay.where import Where
from eventresults.view import projected
from eventresults.view.base import Wanted

if TYPE_CHECKING:
    from eventresults.domain.projection import Projection
    from eventresults.service.shards import Opened
    from eventresults.tracker import Tracker

#: In a scratch folder, what it was made of.
MARK: Final = "replay.json"
#: Beyond whatever is in a log.
END: Final = 2**63 - 1


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    begin: Sequence[str]
    end: Sequence[str]
    where: Sequence[str]
    into: str | None
    new_ids: bool
    run: str | None
    projections: Sequence[str]

    def plain(self, url: str) -> dict[str, Any]:
        """By which notes of it are known again: what was typed, so that '2h ago' means what it meant then."""
        into = None if self.into is None else settings_of(self.into, None).log.masked
        ids = None if into is None else "new" if self.new_ids else "same"
        return {
            "url": url,
            "from": list(self.begin),
            "to": list(self.end),
            "where": list(self.where),
            "into": into,
            "ids": ids,
            "projections": list(self.projections),
        }


class Replaying:
    """One replay."""

    def __init__(self, tracker: Tracker, asked: Asked, output: Format | None) -> None:
        self._tracker = tracker
        self._asked = asked
        self._output = output
        self._log = tracker.past.reach().log
        try:
            self._where = Where(asked.where)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--where") from None

    def count(self) -> None:
        """Tell nobody."""
        stretch = self._stretch()
        counting = Counting()
        with Meter("Counting", unit="offsets") as meter:
            tally = run(self._log, stretch, self._where, counting, progress=meter)
        self._summary(stretch, tally, subjects=len(counting.subjects))

    def print(self, rate: float | None, resume: Path | None) -> None:
        """As records, one by one."""
        output = self._output or Format.JSONL
        if output is Format.JSON and resume is not None:
            raise typer.BadParameter("one JSON array cannot be gone on with: use -o jsonl with --resume")
        with Stream(output) as stream:

            def show(found: Found) -> None:
                row = records.record_row(found.partition, found.record)
                stream.row(row, records.record_line(row))

            self._run(self._notes(resume), Printing(show, stream.flush), rate, resume)

    def append(self, rate: float | None, resume: Path | None) -> None:
        """To another log."""
        with self._target() as target:
            notes = self._notes(resume, run=self._asked.run or str(uuid.uuid4()))
            name = notes.asked["run"]
            with closing(Appending(target, NewIds(name) if self._asked.new_ids else same_ids)) as taker:
                tally = self._run(notes, taker, rate, resume)
            extra = {"run": name} if self._asked.new_ids else {}
            self._summary(notes.stretch, tally, **extra, into=target.url, left_out=taker.left_out)

    def fold(self, folder: Path | None) -> None:
        """In a view of its own."""
        tracker = self._tracker
        projections = Registered(paths=self._asked.projections, installed=False)()
        info = self._log.info(tracker.settings.connect_timeout)
        with _folder(folder) as path:
            notes = self._notes(path / MARK)
            stores = bootstrap.make_stores(tracker.settings)
            with Meter("Folding", unit="offsets") as meter:
                opened, tally = fold_stretch(
                    self._log,
                    info,
                    notes.stretch,
                    self._where,
                    lambda partition: stores(path / str(partition)),
                    lifetimes=bootstrap.lifetimes(tracker.settings),
                    projections=projections,
                    progress=meter,
                )
            with closing(opened):
                notes.moved(opened.positions, tally.told).write(path / MARK)
                self._folded(opened, projections)

    # Parts

    def _stretch(self) -> Stretch:
        log = self._log
        info = log.info(self._tracker.settings.connect_timeout)
        begin, end = ([place(text) for text in texts] for texts in (self._asked.begin, self._asked.end))
        found = exact(log, logread.stretch(log, info, begin=begin, end=end))
        if not found.offsets:
            say("There is nothing in this stretch.")
        return found

    def _notes(self, path: Path | None, **made: Any) -> Notes:
        """Those in this file, or of a replay that begins now."""
        asked = {**self._asked.plain(self._tracker.url), **made}
        # What was made up then is gone on with; what was asked for must be the same.
        known = None if path is None else Notes.read(path, asked, besides=() if self._asked.run else made)
        if known is not None:
            say(f"Going on after {known.told:,} events." if not known.done else "All of it was told already.")
            return known
        notes = Notes(asked, self._stretch())
        if path is not None:
            notes.write(path)
        return notes

    def _run(self, notes: Notes, taker: Taker, rate: float | None, resume: Path | None) -> Tally:
        def note(at: Mapping[int, int], tally: Tally) -> None:
            if resume is not None:
                notes.moved(at, notes.told + tally.told).write(resume)

        pace: Callable[[], None] = (lambda: None) if rate is None else Pace(rate)
        try:
            with Meter("Replaying", unit="offsets") as meter:
                return run(self._log, notes.stretch, self._where, taker, after=notes.at, pace=pace, note=note, progress=meter)
        except BaseException:
            if resume is not None:
                say(f"Not all was told: the same command goes on from where {resume} says it is.")
            raise

    @contextmanager
    def _target(self) -> Iterator[Log]:
        settings = settings_of(self._asked.into, None)
        with closing(bootstrap.make_log(settings)) as target:
            there, here = (log.info(settings.connect_timeout).log_id for log in (target, self._log))
            if there == here:
                raise ConfigError(f"{target.url} is the log that is replayed: name another one with --into.", setting="into")
            yield target

    def _summary(self, stretch: Stretch, tally: Tally, **more: Any) -> None:
        print_one(
            {
                "told": tally.told,
                "read": tally.read,
                "unreadable": tally.unreadable,
                "first": iso(tally.first),
                "last": iso(tally.last),
                "from": [f"{partition}:{start}" for partition, start in stretch.starts.items()],
                "to": [f"{partition}:{end}" for partition, end in stretch.ends.items()],
                "kinds": dict(tally.kinds.most_common()),
                **more,
            },
            output=self._output,
        )

    def _folded(self, opened: Opened, projections: Sequence[Projection]) -> None:
        """The states of the projections; without any, how many tasks are in which state."""
        rows = ({"projection": one.name, "key": key, "state": state} for one in projections for key, state in _items(opened, one))
        if not projections:
            found = merged((survey(shard, Cut(offset=END), limit=0) for shard in opened.shards.values()), 0)
            print_one({"total": found.total, "counts": found.counts}, output=self._output)
        else:
            print_rows(rows, output=self._output, columns=("projection", "key", "state"))


def _items(opened: Opened, projection: Projection) -> Iterator[tuple[str, Any]]:
    after = None
    while True:
        page = projected.look(Wanted(projection.name, after=after), [projection], opened.shards)
        if page is None:
            raise ConfigError(f"This folder was not folded with {projection.name!r}: name another one with --scratch.", setting="scratch")
        yield from page.items
        after = page.after
        if after is None:
            return


@contextmanager
def _folder(path: Path | None) -> Iterator[Path]:
    if path is None:
        with tempfile.TemporaryDirectory(prefix="eventresults-") as made:
            yield Path(made)
        return
    try:
        path.mkdir(parents=True, exist_ok=True)
        strange = [one.name for one in path.iterdir()] if not (path / MARK).exists() else []
    except OSError as error:
        raise ConfigError(f"{path} cannot be used: {error.strerror}. Name another folder.", setting="scratch") from error
    if strange:
        raise ConfigError(f"{path} holds something else ({strange[0]}): name a new folder with --scratch.", setting="scratch")
    yield path
