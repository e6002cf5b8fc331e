"""What a setting becomes where a view is opened."""

from __future__ import annotations

from pathlib import Path

from eventresults import bootstrap
from eventresults.config import load_settings

MEGABYTE = 2**20


def test_view_memory_bounds_what_is_not_yet_on_disk_and_what_was_read(tmp_path: Path):
    # given: two shards of one view of 6 MiB
    make_store = bootstrap.make_stores(load_settings("sqlite:///x.db", view_memory="6MiB"))
    stores = [make_store(tmp_path / name) for name in ("0", "1")]
    try:
        # when: each is given 16 MiB, and all of it is read
        for part in range(64):
            for store in stores:
                store.commit({b"%d-%d" % (part, row): bytes(1_000) for row in range(250)})
        for store in stores:
            assert sum(1 for _ in store.scan(b"", b"\xff")) == 64 * 250

        # then: a third of it holds what is not on disk, and a little for the moment of a flush; the rest what was read
        buffered = sum(store._db.property_int_value("rocksdb.cur-size-all-mem-tables") for store in stores)
        assert buffered <= 4 * MEGABYTE
        assert stores[0]._db.property_int_value("rocksdb.block-cache-capacity") == 4 * MEGABYTE
    finally:
        for store in stores:
            store.close()
