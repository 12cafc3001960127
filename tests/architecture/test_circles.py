"""No module needs itself to be read first: imports, those for types alone included, go one way."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NO_PRODUCT = {"tests", "benchmarks", "build"}


def _modules() -> dict[str, Path]:
    found = {}
    for package in ROOT.glob("[a-z]*/__init__.py"):
        if package.parent.name not in NO_PRODUCT:
            for file in package.parent.rglob("*.py"):
                parts = file.relative_to(ROOT).with_suffix("").parts
                found[".".join(part for part in parts if part != "__init__")] = file
    return found


def _imported(file: Path, modules: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for one in node.names:
                inner = f"{node.module}.{one.name}"
                yield inner if inner in modules else node.module


def _circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = _modules()
    assert len(modules) > 300
    graph = {name: set(_imported(file, modules)) & set(modules) for name, file in modules.items()}
    assert _circle(graph) == []


@pytest.mark.parametrize("closing", ["a", "b"])
def test_a_circle_is_seen(closing: str) -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {closing}})
