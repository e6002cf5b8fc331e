"""What every `Store` promises, as tests: subclass `StoreContract`, give it its two fixtures, and run pytest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from time import monotonic

import pytest

from eventresults.errors import Closed, ViewError
from eventresults.view.base import Store

_DEADLINE = 30.0


class StoreContract:
    """The contract of `eventresults.view.base.Store`."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """A new, empty store; closed afterwards."""
        raise NotImplementedError

    @pytest.fixture
    def open_checkpoint(self) -> Callable[[Path], Store]:
        """Opens what `checkpoint` made at this path."""
        raise NotImplementedError

    def test_a_key_never_written_is_none(self, store: Store) -> None:
        assert store.get(b"nobody") is None

    def test_what_was_committed_is_read(self, store: Store) -> None:
        store.commit({b"a": b"1", b"b": b"2"})
        assert (store.get(b"a"), store.get(b"b")) == (b"1", b"2")

    def test_a_later_commit_overwrites(self, store: Store) -> None:
        store.commit({b"a": b"1"})
        store.commit({b"a": b"2"})
        assert store.get(b"a") == b"2"

    def test_a_deleted_key_is_none_and_may_come_back(self, store: Store) -> None:
        store.commit({b"a": b"1"})
        store.commit({}, [b"a", b"never there"])
        assert store.get(b"a") is None
        assert rows(store) == []
        store.commit({b"a": b"2"})
        assert rows(store) == [(b"a", b"2")]

    def test_within_one_commit_deletes_come_before_puts(self, store: Store) -> None:
        store.commit({b"a": b"1", b"b": b"1"})
        store.commit({b"a": b"2"}, iter([b"a", b"b"]))
        assert rows(store) == [(b"a", b"2")]

    def test_an_empty_commit_changes_nothing(self, store: Store) -> None:
        store.commit({b"a": b"1"})
        store.commit({})
        assert rows(store) == [(b"a", b"1")]

    def test_a_commit_keeps_nothing_of_the_mapping_it_was_given(self, store: Store) -> None:
        puts = {b"a": b"1"}
        store.commit(puts)
        puts[b"a"] = b"changed later"
        assert store.get(b"a") == b"1"

    def test_get_many_answers_in_the_order_asked_with_none_for_missing_and_repeats_for_repeated(self, store: Store) -> None:
        store.commit({b"a": b"1", b"c": b"3"})
        assert store.get_many([b"c", b"b", b"a", b"c"]) == [b"3", None, b"1", b"3"]

    def test_get_many_takes_any_sequence_also_an_empty_one(self, store: Store) -> None:
        store.commit({b"a": b"1"})
        assert store.get_many((b"a",)) == [b"1"]
        assert store.get_many(()) == []

    def test_an_empty_value_is_a_value(self, store: Store) -> None:
        store.commit({b"a": b""})
        assert store.get(b"a") == b""
        assert store.get_many([b"a"]) == [b""]
        assert rows(store) == [(b"a", b"")]

    def test_keys_and_values_are_any_bytes_and_order_is_unsigned(self, store: Store) -> None:
        keys = [b"\x00", b"\x00\x00", b"\x00\xff", b"\x7f", b"\x80", b"\xff", b"\xff\xff"]
        store.commit({key: key[::-1] for key in reversed(keys)})
        assert rows(store, stop=b"\xff\xff\xff") == [(key, key[::-1]) for key in keys]
        assert store.get_many(keys) == [key[::-1] for key in keys]

    def test_a_value_of_a_megabyte_comes_back_whole(self, store: Store) -> None:
        value = bytes(range(256)) * 4096
        store.commit({b"big": value, b"small": b"1"})
        assert store.get(b"big") == value
        assert rows(store) == [(b"big", value), (b"small", b"1")]

    @pytest.mark.parametrize(
        ("start", "stop", "expected"),
        [
            (b"b", b"d", b"bc"),  # stop itself is outside
            (b"b", b"d\x00", b"bcd"),
            (b"a\x00", b"c\x00", b"bc"),  # bounds that are no keys
            (b"", b"\xff", b"abcde"),
            (b"", b"a", b""),  # before the first
            (b"e\x00", b"z", b""),  # behind the last
            (b"c", b"c", b""),
            (b"d", b"b", b""),  # upside down
        ],
    )
    def test_a_scan_is_half_open_in_both_directions(self, store: Store, start: bytes, stop: bytes, expected: bytes) -> None:
        store.commit({bytes([letter]): b"x" for letter in b"ecadb"})
        assert b"".join(key for key, _ in store.scan(start, stop)) == expected
        assert b"".join(key for key, _ in store.scan(start, stop, reverse=True)) == expected[::-1]

    def test_a_scan_of_nothing_is_empty(self, store: Store) -> None:
        assert list(store.scan(b"", b"\xff")) == []
        assert list(store.scan(b"", b"\xff", reverse=True)) == []

    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_scan_shows_the_rows_of_the_moment_it_began(self, store: Store, reverse: bool) -> None:
        # given
        before = [(b"%03d" % n, b"old") for n in range(100)]
        store.commit(dict(before))
        scan = store.scan(b"0", b"9", reverse=reverse)
        # when
        first = next(scan)
        store.commit({**{key: b"new" for key, _ in before[::2]}, b"050x": b"new"}, [key for key, _ in before[1::2]])
        # then
        assert [first, *scan] == (before[::-1] if reverse else before)

    def test_a_scan_given_up_early_leaves_the_store_usable(self, store: Store) -> None:
        store.commit({b"%04d" % n: b"x" for n in range(1000)})
        for _ in range(100):
            scan = store.scan(b"0", b"9")
            assert next(scan) == (b"0000", b"x")
            scan.close()  # type: ignore[attr-defined]
            assert next(scan, None) is None
        store.commit({b"0000": b"y"})
        assert store.get(b"0000") == b"y"

    def test_readers_in_other_threads_see_each_commit_whole(self, store: Store) -> None:
        # given: every commit gives both rows the same value, and moves a third one
        def commit(number: int) -> None:
            text = b"%06d" % number
            store.commit({b"left": text, b"right": text, b"at%d" % (number % 8): text}, [b"at%d" % ((number - 1) % 8)])

        def values_of_three(scan: Iterator[tuple[bytes, bytes]]) -> set[bytes | None]:
            found = list(scan)
            assert len(found) == 3
            return {value for _, value in found}

        looks: list[Callable[[], set[bytes | None]]] = [
            lambda: set(store.get_many([b"left", b"right"])),
            lambda: values_of_three(store.scan(b"a", b"z")),
            lambda: values_of_three(store.scan(b"a", b"z", reverse=True)),
        ]
        commit(0)
        enough = [Event() for _ in looks]
        done = Event()

        def read(look: Callable[[], set[bytes | None]], much: Event) -> int:
            seen: set[bytes | None] = set()
            while not done.is_set():
                values = look()
                assert len(values) == 1
                seen |= values
                if len(seen) == 50:  # that many commits fell between our looks
                    much.set()
            return len(seen)

        # when
        number = 0
        deadline = monotonic() + _DEADLINE
        with ThreadPoolExecutor(len(looks)) as pool, _frequent_switches():
            readers = [pool.submit(read, look, much) for look, much in zip(looks, enough, strict=True)]
            try:
                while not all(event.is_set() for event in enough) and not any(reader.done() for reader in readers):
                    assert monotonic() < deadline, "the readers saw too few commits"
                    number += 1
                    commit(number)
            finally:
                done.set()
            # then
            assert all(reader.result(_DEADLINE) >= 50 for reader in readers)
        assert rows(store) == [(b"at%d" % (number % 8), b"%06d" % number), (b"left", b"%06d" % number), (b"right", b"%06d" % number)]

    def test_size_grows_with_what_is_stored(self, store: Store) -> None:
        before = store.size()
        store.commit({b"big": bytes(1_000_000)})
        assert store.size() >= before + 900_000

    def test_a_checkpoint_holds_exactly_what_was_committed_before_it_and_opens_as_a_store(
        self, store: Store, open_checkpoint: Callable[[Path], Store], tmp_path: Path
    ) -> None:
        # given
        store.commit({b"a": b"1", b"b": b"2", b"empty": b""})
        store.commit({b"c": b"3"}, [b"a"])
        before = rows(store)
        # when
        store.checkpoint(tmp_path / "checkpoint")
        store.commit({b"b": b"later", b"d": b"later"}, [b"c"])
        # then
        with closing(open_checkpoint(tmp_path / "checkpoint")) as copy:
            assert rows(copy) == before == [(b"b", b"2"), (b"c", b"3"), (b"empty", b"")]
            copy.commit({b"b": b"of the copy"})
            assert copy.get(b"b") == b"of the copy"
        assert rows(store) == [(b"b", b"later"), (b"d", b"later"), (b"empty", b"")]

    def test_an_empty_store_has_an_empty_checkpoint(self, store: Store, open_checkpoint: Callable[[Path], Store], tmp_path: Path) -> None:
        store.checkpoint(tmp_path / "checkpoint")
        with closing(open_checkpoint(tmp_path / "checkpoint")) as copy:
            assert rows(copy) == []

    def test_a_checkpoint_outlives_its_store(self, store: Store, open_checkpoint: Callable[[Path], Store], tmp_path: Path) -> None:
        store.commit({b"a": b"1"})
        store.checkpoint(tmp_path / "checkpoint")
        store.close()
        with closing(open_checkpoint(tmp_path / "checkpoint")) as copy:
            assert rows(copy) == [(b"a", b"1")]

    def test_a_checkpoint_is_not_made_over_something_else(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(ViewError):
            store.checkpoint(tmp_path)

    def test_checkpoints_taken_among_commits_hold_whole_ones_and_all_that_ended_before(
        self, store: Store, open_checkpoint: Callable[[Path], Store], tmp_path: Path
    ) -> None:
        # given: one thread commits for as long as another takes checkpoints
        ended = 0
        done = Event()

        def commit() -> None:
            nonlocal ended
            while not done.is_set():
                number = b"%08d" % (ended + 1)
                store.commit({b"left": number, b"right": number, b"row" + number: bytes(200)})
                ended += 1

        looks = []
        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(commit)
            # when
            try:
                for number in range(5):
                    before = ended
                    store.checkpoint(tmp_path / f"checkpoint{number}")
                    looks.append((before, ended + 1, tmp_path / f"checkpoint{number}"))
                    deadline = monotonic() + _DEADLINE
                    while ended < before + 20:
                        assert not writing.done()
                        assert monotonic() < deadline, "a checkpoint holds commits up"
            finally:
                done.set()
        # then
        for least, most, path in looks:
            with closing(open_checkpoint(path)) as copy:
                left, right = copy.get_many([b"left", b"right"])
                assert left == right
                assert least <= int(left or b"0") <= most
                assert [key for key, _ in copy.scan(b"row", b"rox")] == [b"row%08d" % n for n in range(1, int(left or b"0") + 1)]

    @pytest.mark.parametrize(
        "use",
        [
            pytest.param(lambda store: store.get(b"a"), id="get"),
            pytest.param(lambda store: store.get_many([b"a"]), id="get_many"),
            pytest.param(lambda store: store.scan(b"a", b"b"), id="scan"),
            pytest.param(lambda store: store.commit({b"a": b"2"}), id="commit"),
            pytest.param(lambda store: store.size(), id="size"),
            pytest.param(lambda store: store.checkpoint(Path("nowhere")), id="checkpoint"),
        ],
    )
    def test_after_close_each_use_raises_closed(self, store: Store, use: Callable[[Store], object]) -> None:
        store.commit({b"a": b"1"})
        store.close()
        store.close()
        with pytest.raises(Closed):
            use(store)

    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_scan_open_at_close_raises_closed_rather_than_end(self, store: Store, reverse: bool) -> None:
        store.commit({b"a": b"1", b"b": b"2"})
        scan = store.scan(b"a", b"z", reverse=reverse)
        next(scan)
        store.close()
        with pytest.raises(Closed):
            next(scan)

    def test_close_while_others_read_ends_their_reads_with_closed(self, store: Store) -> None:
        assert close_while_others_read(store) == ["closed"] * 3


class LastingStoreContract(StoreContract):
    """The contract of a store whose rows outlive it: give it an `open_store` fixture, which opens the same place each time."""

    @pytest.fixture
    def open_store(self) -> Callable[[], Store]:
        """Opens the store, always in the same place, empty at first."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, open_store: Callable[[], Store]) -> Iterator[Store]:
        """A new, empty store; closed afterwards."""
        with closing(open_store()) as store:
            yield store

    def test_what_was_committed_is_there_when_it_is_opened_again(self, open_store: Callable[[], Store]) -> None:
        with closing(open_store()) as store:
            store.commit({b"a": b"1", b"b": b"2"})
            store.commit({b"c": b"3"}, [b"a"])
        with closing(open_store()) as store:
            assert rows(store) == [(b"b", b"2"), (b"c", b"3")]

    def test_it_can_be_opened_again_although_a_scan_was_left_open(self, open_store: Callable[[], Store]) -> None:
        with closing(open_store()) as store:
            store.commit({b"a": b"1", b"b": b"2"})
            left_open = store.scan(b"a", b"z")
            next(left_open)
        with closing(open_store()) as store:
            assert store.get(b"b") == b"2"

    def test_it_can_be_opened_again_at_once_although_others_were_reading_at_its_close(self, open_store: Callable[[], Store]) -> None:
        for _ in range(5):
            assert close_while_others_read(open_store()) == ["closed"] * 3
        open_store().close()


def close_while_others_read(store: Store) -> list[str]:
    """Close a store under the hands of three readers; how each of them ended."""
    keys = [b"%04d" % n for n in range(2000)]
    store.commit(dict.fromkeys(keys, b"x" * 100))
    reads: list[Callable[[], object]] = [
        lambda: store.get_many(keys),
        lambda: [store.get(key) for key in keys[:50]],
        lambda: [next(store.scan(b"0", b"9")), list(store.scan(b"0", b"9", reverse=True))],
    ]
    reading = [Event() for _ in reads]

    def read(act: Callable[[], object], started: Event) -> str:
        try:
            while True:
                act()
                started.set()
        except Closed:
            return "closed"

    with ThreadPoolExecutor(len(reads)) as pool:
        readers = [pool.submit(read, act, started) for act, started in zip(reads, reading, strict=True)]
        try:
            assert all(started.wait(_DEADLINE) for started in reading)
        finally:
            store.close()
        return [reader.result(_DEADLINE) for reader in readers]


@contextmanager
def _frequent_switches() -> Iterator[None]:
    """Let threads take turns far more often than they do by default, so that what can go wrong between two steps does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def rows(store: Store, start: bytes = b"", stop: bytes = b"\xff") -> list[tuple[bytes, bytes]]:
    """All rows of a store, in order."""
    return list(store.scan(start, stop))
