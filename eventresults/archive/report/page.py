"""The page: what the archive holds, then each question with its chart and the first rows of its answer. Light and dark, no scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from eventresults.archive.report.charts import draw, number
from eventresults.archive.sql.question import Question
from eventresults.archive.sql.session import Answer, Session

SHOWN = 12
_TOTALS = """
SELECT count(*) AS events, count(DISTINCT task_id) AS tasks, count(*) FILTER (kind = 'task-failed') AS failures,
    min(log_time) AS first, max(log_time) AS last FROM events
"""
_STYLE = (files("eventresults.archive.report") / "report.css").read_text(encoding="utf-8")


def write_report(session: Session, questions: Sequence[Question], *, out: Path, title: str, now: datetime) -> None:
    """Ask these questions and write the page, which appears whole. Raises what `Session.ask` does, and OSError."""
    text = "\n".join(_page(session, questions, title, now))
    draft = out.with_name(f".{out.name}.draft")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _page(session: Session, questions: Sequence[Question], title: str, now: datetime) -> Iterator[str]:
    (totals,) = session.ask(_TOTALS).rows
    yield f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
    yield f"<h1>{escape(title)}</h1><p>Asked {_text(now)}. Times are UTC.</p><dl>"
    for name, value in totals.items():
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd></div>"
    yield "</dl>"
    for question in questions:
        yield from _section(question, session.ask(question.sql, question.values({})))
    yield "</body></html>\n"


def _section(question: Question, answer: Answer) -> Iterator[str]:
    rows = answer.rows
    heading = escape(question.name.replace("-", " ").capitalize())
    yield f'<section><h2 id="{escape(question.name)}">{heading}</h2><p>{escape(question.meaning)}</p>'
    if not rows:
        yield "<p>Nothing to show.</p></section>"
        return
    yield draw(rows, question.chart)
    yield f'<details><summary>{len(rows):,} rows</summary><div class="wide"><table><tr>'
    yield "".join(f"<th>{escape(name.replace('_', ' '))}</th>" for name in rows[0]) + "</tr>"
    for row in rows[:SHOWN]:
        yield f"<tr>{''.join(map(_cell, row.values()))}</tr>"
    yield "</table></div></details></section>"


def _cell(value: Any) -> str:
    kind = ' class="n"' if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
    text = escape(_text(value))
    return f'<td{kind} title="{text}">{text}</td>'


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return str(value)
