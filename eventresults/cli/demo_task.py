"""The demo's one task: parse a file of Python and count what is in it. Light to import, for every task process does."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path


def count_python(path: str) -> dict[str, int | str]:
    """How many functions, classes, nodes and bytes the file has. Raises SyntaxError for what is no Python of this version."""
    source = Path(path).read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's invalid escapes
        nodes = list(ast.walk(ast.parse(source, filename=path)))
    return {
        "file": Path(path).name,
        "functions": sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes),
        "classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
        "nodes": len(nodes),
        "bytes": len(source),
    }
