"""Whatever is done to a signed log is found, and where."""

from __future__ import annotations

import pytest

from tests.unit.audit.conftest import Scene

SHIFT = ("UPDATE records SET offset = -offset - 1 WHERE offset >= {0}", "UPDATE records SET offset = {1} - offset WHERE offset < 0")


def shifted(start: int, by: int) -> tuple[str, ...]:
    """Statements that move every record from this offset on."""
    return SHIFT[0].format(start), SHIFT[1].format(start, by - 1)


TAMPERED = {
    "an altered value": (("UPDATE records SET value = x'7b7d' WHERE offset = 13",), "altered", 13),
    "an altered key": (("UPDATE records SET key = x'00' WHERE offset = 0",), "altered", 0),
    "an altered time": (("UPDATE records SET log_time = log_time + 1 WHERE offset = 24",), "altered", 24),
    "a removed record": (("DELETE FROM records WHERE offset = 13",), "removed", 13),
    "a removed record, the others moved up": (("DELETE FROM records WHERE offset = 13", *shifted(14, -1)), "altered", 13),
    "an inserted record, the others moved down": (
        (*shifted(5, 1), "INSERT INTO records VALUES (5, 1000, x'00', x'00')"),
        "reordered",
        5,
    ),
    "two records swapped": (
        (
            "UPDATE records SET offset = 1000 WHERE offset = 11",
            "UPDATE records SET offset = 11 WHERE offset = 12",
            "UPDATE records SET offset = 12 WHERE offset = 1000",
        ),
        "reordered",
        11,
    ),
    "a cut tail": (("DELETE FROM records WHERE offset >= 22",), "cut", 22),
    "a cut tail of many checkpoints": (("DELETE FROM records WHERE offset >= 3",), "cut", 3),
}


@pytest.mark.parametrize(("statements", "kind", "offset"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_done_to_a_signed_log_is_found_where_it_was_done(scene: Scene, statements, kind, offset):
    # given
    scene.append(25)
    assert scene.notarize() == 3
    assert scene.verify().ok
    # when
    scene.sql(*statements)
    # then
    report = scene.verify()
    assert not report.ok
    difference = report.partitions[0].difference
    assert (difference.offset, difference.kind) == (offset, kind)
    assert f"0:{offset}" in str(difference)


@pytest.mark.parametrize(("statements", "kind", "offset"), TAMPERED.values(), ids=TAMPERED)
def test_without_the_links_the_stretch_is_told(scene: Scene, statements, kind, offset):
    scene.append(25)
    scene.notarize()
    scene.sql(*statements)
    difference = scene.verify(links=False).partitions[0].difference
    assert difference.offset <= offset <= difference.last or kind == "cut"


def test_what_was_not_signed_yet_is_counted_and_not_vouched_for(scene: Scene):
    scene.append(25)
    scene.notarize()
    scene.append(7)
    (partition,) = scene.verify().partitions
    assert (partition.signed, partition.verified, partition.unsigned, partition.ok) == (25, 25, 7, True)
