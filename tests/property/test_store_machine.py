"""Whatever is done to it, RocksStore answers as MemoryStore does, also after it was closed or had crashed."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from eventresults.view.memory import MemoryStore
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore

KEYS = st.binary(max_size=3) | st.sampled_from([b"a", b"aa", b"ab", b"b", b"b\x00", b"\xff", b"\xff\xff"])
VALUES = st.binary(max_size=8) | st.builds(lambda letter, size: letter * size, st.sampled_from([b"x", b"y"]), st.integers(0, 9000))
RESOURCES = RocksResources(block_cache=4 * MEGABYTE, write_buffers=256 * 1024)


class Stores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="eventresults-store-machine-"))
        self.crashes = 0
        self.model = MemoryStore()
        self.store = self.open()

    def open(self) -> RocksStore:
        return RocksStore(self.folder / str(self.crashes), resources=RESOURCES)

    @rule(puts=st.dictionaries(KEYS, VALUES, max_size=8), deletes=st.lists(KEYS, max_size=4))
    def commit(self, puts: dict[bytes, bytes], deletes: list[bytes]) -> None:
        self.model.commit(puts, deletes)
        self.store.commit(puts, deletes)

    @rule(key=KEYS)
    def get(self, key: bytes) -> None:
        assert self.store.get(key) == self.model.get(key)

    @rule(keys=st.lists(KEYS, max_size=8))
    def get_many(self, keys: list[bytes]) -> None:
        assert self.store.get_many(keys) == self.model.get_many(keys)

    @rule(start=KEYS, stop=KEYS, reverse=st.booleans())
    def scan(self, start: bytes, stop: bytes, reverse: bool) -> None:
        assert list(self.store.scan(start, stop, reverse=reverse)) == list(self.model.scan(start, stop, reverse=reverse))

    @rule(start=KEYS, reverse=st.booleans(), puts=st.dictionaries(KEYS, VALUES, max_size=4), deletes=st.lists(KEYS, max_size=4))
    def scan_across_a_commit(self, start: bytes, reverse: bool, puts: dict[bytes, bytes], deletes: list[bytes]) -> None:
        scans = [store.scan(start, b"\xff\xff", reverse=reverse) for store in (self.store, self.model)]
        first = [next(scan, None) for scan in scans]
        self.commit(puts, deletes)
        assert first[0] == first[1]
        assert list(scans[0]) == list(scans[1])

    @rule()
    def close_and_reopen(self) -> None:
        self.store.close()
        self.store = self.open()

    @rule()
    def checkpoint_and_open_it(self) -> None:
        path = self.folder / "checkpoint"
        self.store.checkpoint(path)
        with closing(RocksStore(path, resources=RESOURCES)) as copy:
            assert list(copy.scan(b"", b"\xff" * 9)) == list(self.model.scan(b"", b"\xff" * 9))
        shutil.rmtree(path)

    @rule()
    def crash_and_reopen(self) -> None:
        """What a kill leaves behind is what the files hold before anything is closed."""
        here = self.store.path
        self.store._db.cancel_all_background(wait=True)  # a copy takes its time, a kill does not: hold the files still meanwhile
        self.crashes += 1
        shutil.copytree(here, self.folder / str(self.crashes))
        self.store.close()
        shutil.rmtree(here)
        self.store = self.open()

    @invariant()
    def all_rows_are_equal(self) -> None:
        assert list(self.store.scan(b"", b"\xff" * 9)) == list(self.model.scan(b"", b"\xff" * 9))

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)


Stores.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestStores = Stores.TestCase
