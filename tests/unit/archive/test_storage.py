"""What every storage promises, of a folder and of an object store (obstore's own, over a folder)."""

from __future__ import annotations

import threading

import pytest

from eventresults.archive.archive import Archive
from eventresults.archive.objects import ObjectFolder
from eventresults.archive.sql.session import Session
from eventresults.archive.storage import LocalFolder, storage_of
from eventresults.archive.verify import Comparison, check_files
from eventresults.errors import ArchiveUnavailable
from tests.support.archives import append, archive_records, archived, log_records, memory_log
from tests.support.events import sent, started, succeeded

KINDS = {"folder": LocalFolder, "objects": lambda path: ObjectFolder(path.as_uri())}


@pytest.fixture(params=KINDS)
def storage(request, tmp_path):
    (tmp_path / "place").mkdir()
    return KINDS[request.param](tmp_path / "place")


def create(storage, path, content):
    with storage.drafts() as folder:
        (folder / "draft").write_bytes(content)
        return storage.create(path, folder / "draft")


def test_what_is_created_is_there_and_is_never_replaced(storage):
    assert create(storage, "a/b.json", b"one")
    assert not create(storage, "a/b.json", b"two")
    assert storage.read("a/b.json") == b"one"
    assert storage.read("a/c.json") is None


def test_of_many_who_create_at_once_one_does(storage):
    won = []
    threads = [threading.Thread(target=lambda n=n: create(storage, "x.json", b"%d" % n) and won.append(n)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % number for number in won] == [storage.read("x.json")]


def test_what_is_replaced_deleted_and_listed(storage):
    storage.replace("m.json", b"1")
    storage.replace("m.json", b"22")
    create(storage, "f/x/1.parquet", b"333")
    create(storage, "f/2.parquet", b"4444")
    assert storage.read("m.json") == b"22"
    assert sorted(storage.list("f")) == [("f/2.parquet", 4), ("f/x/1.parquet", 3)]
    storage.delete("f/2.parquet")
    storage.delete("f/2.parquet")
    assert sorted(storage.list("f")) == [("f/x/1.parquet", 3)]
    assert list(storage.list("none")) == []


def test_an_archive_lies_there(storage):
    # given
    log = memory_log(partitions=2)
    append(log, [make(task_id=f"t{number}") for number in range(30) for make in (sent, started, succeeded)])

    # when
    archived(log, storage)
    archived(log, storage)

    # then
    archive = Archive(storage)
    assert archive_records(archive) == log_records(log)
    assert check_files(archive) == 2
    assert list(Comparison(archive, log).differences()) == []
    assert archive.scan().count_rows() == 90
    with Session(archive) as session:
        assert session.ask("SELECT count(*) AS n FROM tasks WHERE state = 'SUCCESS'").rows == [{"n": 30}]


def test_a_url_names_an_object_store_and_a_path_a_folder(tmp_path):
    assert isinstance(storage_of(tmp_path), LocalFolder)
    assert storage_of((tmp_path / "ü x").as_uri()).local == tmp_path / "ü x"
    assert isinstance(storage_of("s3://bucket/prefix"), ObjectFolder)


def test_a_folder_that_cannot_be_one_is_said_so(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArchiveUnavailable, match="cannot be used"):
        LocalFolder(tmp_path / "file").replace("m.json", b"")


def test_a_store_that_there_is_not_is_said_to_be_none():
    with pytest.raises(ArchiveUnavailable, match="cannot be used"):
        storage_of("nostore://bucket")
