from __future__ import annotations

import pytest

from eventresults import errors
from eventresults.cli.exits import EPILOG, MEANINGS, ExitCode, code_of

EXPECTED = {
    "ResultTimeout": 124,
    "AppendTimeout": 124,
    "ViewStale": 124,
    "LogUnavailable": 69,
    "ViewUnavailable": 69,
    "ViewLocked": 69,
    "NotOwner": 69,
    "ConfigError": 78,
    "TopicMisconfigured": 78,
    "ArchiveMismatch": 78,
    "ArchiveUnavailable": 69,
    "InvalidTaskId": 2,
    "PastGone": 3,
    "ProjectionUnknown": 78,
    "UnknownSubject": 3,
    "QueryRefused": 2,
}


def _all_errors():
    return [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.EventResultsError)]


@pytest.mark.parametrize("cls", _all_errors(), ids=lambda cls: cls.__name__)
def test_every_error_has_its_exit_code(cls):
    assert code_of(cls("x")) == EXPECTED.get(cls.__name__, 1)


def test_a_stranger_is_a_failure():
    assert code_of(ValueError("x")) == 1


def test_every_code_is_explained_in_the_help():
    assert set(MEANINGS) == set(ExitCode)
    for code in ExitCode:
        assert f"{code}  {MEANINGS[code]}" in EPILOG
