"""Quix Streams, with its own state store. `--changelog` on or off; else its defaults, which commit every five seconds."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from quixstreams import Application, State
from rocksdict import AccessType, Options, Rdict

from benchmarks.peers.job import Watch, asked
from benchmarks.peers.sameness import checksum, step


def rows(folder: Path) -> Iterator[dict[str, Any]]:
    """What its stores hold, one a partition, once it has closed them."""
    for manifest in folder.rglob("CURRENT"):
        options = Options(raw_mode=True)
        found = Rdict(str(manifest.parent), options, access_type=AccessType.read_only())
        for value in found.values():
            row = orjson.loads(value)
            if isinstance(row, dict) and "task_id" in row:
                yield row
        found.close()


def main() -> None:
    """Fold the topic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changelog", choices=("on", "off"), required=True)
    job, options = asked(parser)
    watch = Watch()
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=f"bench-{uuid.uuid4().hex}",
        auto_offset_reset="earliest",
        state_dir=job.folder,
        use_changelog_topics=options.changelog == "on",
        loglevel="ERROR",
    )

    def folded(event: dict[str, Any], state: State) -> None:
        watch.start()
        state.set("row", step(state.get("row"), event))

    frame = app.dataframe(app.topic(job.topic, value_deserializer="json", key_deserializer="bytes"))
    frame.update(folded, stateful=True)
    app.run(count=job.events, timeout=60, collect=False)  # commits before it returns
    watch.stop()
    watch.answer(job.events, checksum(rows(job.folder)))


if __name__ == "__main__":
    main()
