"""The README's generated parts: `python -m tests.support.readme` writes them anew; a test compares them."""

from __future__ import annotations

import re
from pathlib import Path

from eventresults.cli.reference import markdown
from eventresults.config import settings_table

README = Path(__file__).parents[2] / "README.md"


def generated(text: str) -> str:
    """This README with its generated parts as they must be."""
    for name, content in {"cli": markdown(), "settings": _settings()}.items():
        text = re.sub(
            rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)",
            lambda m, c=content: f"{m[1]}\n{c.strip()}\n\n{m[2]}",
            text,
            flags=re.DOTALL,
        )
    return text


def examples(text: str) -> list[str]:
    """The Python blocks of the README."""
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def _settings() -> str:
    rows = ["| setting | takes | default | meaning |", "|---|---|---|---|"]
    rows += [f"| `{row.name}` | {row.type.replace('|', chr(92) + '|')} | {row.default} | {row.description} |" for row in settings_table()]
    return "\n".join(rows)


if __name__ == "__main__":
    README.write_text(generated(README.read_text()))
