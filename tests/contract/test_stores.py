"""Both of our stores keep the contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventresults.testing.stores import LastingStoreContract, StoreContract
from eventresults.view.base import Store
from eventresults.view.memory import MemoryStore
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        with closing(MemoryStore()) as store:
            yield store

    @pytest.fixture
    def open_checkpoint(self) -> Callable[[Path], Store]:
        return MemoryStore


class TestRocksStore(LastingStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Callable[[], Store]:
        resources = RocksResources(block_cache=8 * MEGABYTE, write_buffers=4 * MEGABYTE)
        return lambda: RocksStore(tmp_path / "0", resources=resources)

    @pytest.fixture
    def open_checkpoint(self) -> Callable[[Path], Store]:
        return RocksStore
