"""The audit demo runs, from the first task to the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "examples" / "demo-audit.sh"


@pytest.mark.slow
def test_the_audit_demo_archives_asks_reports_verifies_signs_and_finds_out(tmp_path):
    # given
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("EVENTRESULTS_")}
    environ = {**inherited, "PYTHON": sys.executable, "EVENTS": "3000", "TASKS": "20", "FOLDER": str(tmp_path / "audit")}

    # when
    done = subprocess.run([SCRIPT], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=110, check=False)

    # then
    assert done.returncode == 0, done.stderr
    written = [json.loads(line)["events"] for line in done.stdout.splitlines() if line.startswith("{") and '"ends"' in line]
    assert written[0] == 60
    assert written[1::2] == [0, 0]
    assert written[2] > 2_500
    assert "events equal the log's" in done.stderr
    assert "The view is what the archive adds up to" in done.stderr
    assert "Nothing differs" in done.stderr
    assert "It holds" in done.stderr
    assert "the record at 0:1234 was altered" in done.stderr
    assert (tmp_path / "audit" / "day.html").stat().st_size > 10_000
