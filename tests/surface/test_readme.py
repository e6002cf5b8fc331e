"""The README tells the truth."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields

import pytest

from tests.support.readme import README, examples, generated

TEXT = README.read_text()


@pytest.mark.parametrize("example", examples(TEXT), ids=lambda example: example.strip().splitlines()[0][:40])
def test_every_example_runs_as_it_stands(example, tmp_path):
    # given
    script = tmp_path / "example.py"
    script.write_text(example)

    # when
    done = subprocess.run([sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    # then
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_there_are_examples_to_run():
    assert len(examples(TEXT)) >= 2


def test_the_tables_of_commands_and_settings_are_those_of_the_code():
    assert generated(TEXT) == TEXT, "run `python -m tests.support.readme`"


def test_the_options_of_the_celery_backend_are_those_of_the_code():
    from eventresults.contrib.celery.options import Options

    section = TEXT.split("## Celery")[1].split("\n## ")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| ([\w.]+) \|", section, re.MULTILINE))

    assert told == {field.name: str(field.default).lower().removesuffix(".0") for field in fields(Options)}


def test_the_result_api_table_names_only_what_there_is():
    # given
    import eventresults

    classes = [eventresults.AsyncResult, eventresults.EagerResult, eventresults.ResultSet, eventresults.GroupResult]
    section = TEXT.split("## The Result API")[1].split("## What is guaranteed")[0]
    first_column = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    names = set(re.findall(r"`(\w+)", first_column)) - {"await", "async"}

    # when / then
    missing = {name for name in names if not any(hasattr(one, name) for one in (*classes, eventresults))}
    assert len(names) > 40
    assert not missing
