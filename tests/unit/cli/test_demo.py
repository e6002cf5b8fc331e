from __future__ import annotations

import pytest

from eventresults.cli.demo import called_as


@pytest.fixture
def program(tmp_path):
    """Where nobody's PATH leads."""
    path = tmp_path / "bin" / "eventresults"
    path.parent.mkdir()
    path.touch(mode=0o755)
    return path


@pytest.mark.parametrize("called", ["/usr/bin/eventresults", "/lib/eventresults/__main__.py", "pytest"])
def test_a_program_that_the_path_has_is_named_by_its_name(program, monkeypatch, called):
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr("sys.argv", [called])
    assert called_as() == "eventresults"


def test_a_program_that_the_path_lacks_is_named_as_it_was_called(program, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sys.argv", [str(program), "demo"])
    assert called_as() == str(program)
