"""What goes wrong with a folder on disk, and what RocksStore says then."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from eventresults.errors import ViewCorrupt, ViewError, ViewLocked
from eventresults.view.rocksdb import MEGABYTE, RocksResources, RocksStore

ROWS = {b"%06d" % number: os.urandom(100) for number in range(5000)}


@pytest.fixture
def open_shard(tmp_path: Path) -> Callable[[], RocksStore]:
    resources = RocksResources(block_cache=8 * MEGABYTE, write_buffers=4 * MEGABYTE)
    return lambda: RocksStore(tmp_path / "deep" / "0", resources=resources)


@pytest.fixture
def damaged(open_shard: Callable[[], RocksStore]) -> Iterator[RocksStore]:
    """A shard with one broken block in the middle of its one table file."""
    with closing(open_shard()) as store:
        store.commit(ROWS)
    with closing(open_shard()) as store:  # replaying what was written ahead makes it a table file
        (table,) = store.path.glob("*.sst")
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 0xFF
    table.write_bytes(content)
    with closing(open_shard()) as store:
        yield store


def test_a_shard_that_is_open_cannot_be_opened_again(open_shard: Callable[[], RocksStore]) -> None:
    with closing(open_shard()) as store:
        with pytest.raises(ViewLocked, match="close it there, or use another view= folder") as caught:
            open_shard()
        assert caught.value.path == str(store.path)


def test_a_shard_that_another_process_has_open_cannot_be_opened(open_shard: Callable[[], RocksStore]) -> None:
    with closing(open_shard()) as store:
        script = "import sys; from eventresults.view.rocksdb import RocksStore; RocksStore(sys.argv[1])"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        other = subprocess.run(
            [sys.executable, "-c", script, str(store.path)], capture_output=True, text=True, timeout=30, check=False, env=environment
        )
    assert "eventresults.errors.ViewLocked" in other.stderr


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST-*"])
def test_a_shard_whose_files_are_damaged_does_not_open_and_names_the_cure(open_shard: Callable[[], RocksStore], name: str) -> None:
    with closing(open_shard()) as store:
        store.commit(ROWS)
    (file,) = store.path.glob(name)
    file.write_bytes(b"junk")
    with pytest.raises(ViewCorrupt, match="eventresults view rebuild") as caught:
        open_shard()
    assert caught.value.path == str(store.path)
    assert "Corruption" in caught.value.reason


def test_a_shard_that_lost_a_table_file_does_not_open(open_shard: Callable[[], RocksStore]) -> None:
    with closing(open_shard()) as store:
        store.commit(ROWS)
    with closing(open_shard()) as store:
        (table,) = store.path.glob("*.sst")
    table.unlink()
    with pytest.raises(ViewCorrupt, match="eventresults view rebuild"):
        open_shard()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_over_a_damaged_block_raises_instead_of_ending_early(damaged: RocksStore, reverse: bool) -> None:
    read: list[tuple[bytes, bytes]] = []
    with pytest.raises(ViewCorrupt, match="eventresults view rebuild"):
        read.extend(damaged.scan(b"0", b"9", reverse=reverse))
    assert 0 < len(read) < len(ROWS)


def test_reads_of_a_damaged_block_raise_and_of_others_succeed(damaged: RocksStore) -> None:
    assert damaged.get(b"000000") == ROWS[b"000000"]
    lost = 0
    for key, value in ROWS.items():
        try:
            assert damaged.get(key) == value
        except ViewCorrupt:
            lost += 1
            with pytest.raises(ViewCorrupt):
                damaged.get_many([key])
    assert 0 < lost < 100


@pytest.mark.parametrize("reverse", [False, True])
def test_a_damaged_large_value_is_told_whichever_way_it_is_read(open_shard: Callable[[], RocksStore], reverse: bool) -> None:
    # given: values that lie outside of the tables, one of them broken
    large = {b"%d" % number: os.urandom(10_000) for number in range(9)}
    with closing(open_shard()) as store:
        store.commit(large)
    with closing(open_shard()) as store:
        (file,) = store.path.glob("*.blob")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)

    # when / then
    with closing(open_shard()) as store:
        assert store.get(b"0") == large[b"0"]
        with pytest.raises(ViewCorrupt, match="eventresults view rebuild"):
            store.get(b"4")
        with pytest.raises(ViewCorrupt):
            store.get_many([b"3", b"4"])
        read: list[tuple[bytes, bytes]] = []
        with pytest.raises(ViewCorrupt):
            read.extend(store.scan(b"0", b"9", reverse=reverse))
        assert [key for key, _ in read] == ([b"8", b"7", b"6", b"5"] if reverse else [b"0", b"1", b"2", b"3"])


def lose_large_values(store: RocksStore) -> None:
    """The one file that holds them."""
    (file,) = store.path.glob("*.blob")
    file.unlink()


def test_a_shard_that_lost_a_file_of_large_values_does_not_open(open_shard: Callable[[], RocksStore]) -> None:
    with closing(open_shard()) as store:
        store.commit({b"large": bytes(10_000)})
    with closing(open_shard()) as store:
        lose_large_values(store)
    with pytest.raises(ViewCorrupt, match="eventresults view rebuild"):
        open_shard()


def test_an_open_shard_that_loses_a_file_of_large_values_says_that_it_is_damaged(
    open_shard: Callable[[], RocksStore], tmp_path: Path
) -> None:
    # given
    with closing(open_shard()) as store:
        store.commit({b"large": bytes(10_000)})
    with closing(open_shard()) as store:
        lose_large_values(store)

        # when / then
        for read in (
            lambda: store.get(b"large"),
            lambda: store.get_many([b"large"]),
            lambda: list(store.scan(b"a", b"z")),
            lambda: store.checkpoint(tmp_path / "copy"),
        ):
            with pytest.raises(ViewCorrupt, match="eventresults view rebuild"):
                read()


def test_a_path_that_cannot_hold_a_shard_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ViewError, match="see to free space and to the right to write there") as caught:
        RocksStore(tmp_path / "file" / "0")
    assert type(caught.value) is ViewError


def test_a_full_disk_fails_the_commit_and_loses_nothing_committed(tmp_path: Path) -> None:
    # given: a process whose files may not grow beyond 1 MB, as a full disk would have it
    script = """
import resource, signal, sys
from eventresults.errors import ViewError
from eventresults.view.rocksdb import RocksStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = RocksStore(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
number = 0
try:
    while True:
        store.commit({b"row%04d" % number: bytes(50_000), b"head": b"%04d" % number})
        number += 1
except ViewError as error:
    assert type(error) is ViewError and "see to free space" in str(error), error
assert store.get(b"head") == b"%04d" % (number - 1)
try:
    store.commit({b"head": b"more"})
except ViewError:
    pass
else:
    raise SystemExit("a commit after a failed one must fail too: a batch between them is missing")
store.close()  # its flush fails, and it gives the folder back all the same
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
RocksStore(sys.argv[1]).close()
print(number - 1)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    writer = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "0")], capture_output=True, text=True, timeout=30, check=False, env=environment
    )
    assert writer.returncode == 0, writer.stderr
    assert "without a flush" in writer.stderr
    last = int(writer.stdout)
    # when: there is room again
    with closing(RocksStore(tmp_path / "0")) as store:
        # then
        assert store.get(b"head") == b"%04d" % last
        assert [key for key, _ in store.scan(b"row", b"rox")] == [b"row%04d" % number for number in range(last + 1)]
        store.commit({b"head": b"goes on"})


def test_shards_of_one_view_share_their_resources(tmp_path: Path) -> None:
    resources = RocksResources(block_cache=8 * MEGABYTE, write_buffers=4 * MEGABYTE)
    with (
        closing(RocksStore(tmp_path / "0", resources=resources)) as first,
        closing(RocksStore(tmp_path / "1", resources=resources)) as second,
    ):
        first.commit({b"a": b"first"})
        second.commit({b"a": b"second"})
        assert (first.get(b"a"), second.get(b"a")) == (b"first", b"second")


def test_a_shard_that_is_opened_again_has_the_cache_and_the_filters_that_it_was_made_with(open_shard: Callable[[], RocksStore]) -> None:
    for _ in range(2):
        with closing(open_shard()) as store:
            assert store._db.property_int_value("rocksdb.block-cache-capacity") == 8 * MEGABYTE
            said = (store.path / "LOG").read_text()
            assert "filter_policy: bloomfilter" in said
            assert "filter_policy: nullptr" not in said
            store.commit(ROWS)


def test_a_shard_of_more_files_than_a_process_may_open_is_read_all_the_same(tmp_path: Path) -> None:
    script = """
import os, resource, sys
from eventresults.view.rocksdb import RocksResources, RocksStore
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (96, hard))
store = RocksStore(sys.argv[1], resources=RocksResources(block_cache=2**20, write_buffers=2**16))
rows = {b"%04d" % number: os.urandom(10_000) for number in range(1_000)}
for key, value in rows.items():
    store.commit({key: value})
files = sum(name.endswith((".sst", ".blob")) for name in os.listdir(sys.argv[1]))
assert files > 96, files
assert all(store.get(key) == value for key, value in rows.items())
store.close()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    reader = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "0")], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert reader.returncode == 0, reader.stderr
