"""Nothing grows a long tail: functions, modules and signatures stay small."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "access_control",
    "benchmarks",
    "dicom_router",
    "edge_gateway",
    "eir_versions",
    "hub_kernel",
    "hub_runtime",
    "image_archive",
    "patient_index",
    "viewer_api",
    "xds_registry",
)
MODULE_LINES, FUNCTION_LINES, PARAMETERS = 400, 40, 5
# Tables and dictionaries may be long; each exception names its reason.
EXCEPTIONS: dict[str, str] = {}

MODULES = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if "versions" not in path.relative_to(ROOT).parts[1:-1]
)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def test_there_are_modules_to_measure() -> None:
    assert len(MODULES) > 50


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_and_its_functions_stay_small(path: Path) -> None:
    found = []
    lines = len(path.read_text(encoding="utf-8").splitlines())
    if lines > MODULE_LINES:
        found.append(f"{_name(path)}: {lines} lines")
    for function in _functions(path):
        length = _body_lines(function)
        if length > FUNCTION_LINES:
            found.append(f"{_name(path)}:{function.lineno} {function.name}: {length} lines")
        count = _parameters(function)
        if count > PARAMETERS:
            found.append(f"{_name(path)}:{function.lineno} {function.name}: {count} parameters")
    assert [line for line in found if line.split(":")[0] not in EXCEPTIONS] == []


def _body_lines(function: ast.FunctionDef) -> int:
    """Lines from the signature to the end, without the docstring."""
    length = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def _parameters(function: ast.FunctionDef) -> int:
    """Positional parameters beside self; keyword-only ones name themselves at the call."""
    names = [a.arg for a in function.args.posonlyargs + function.args.args]
    return len([name for name in names if name not in {"self", "cls"}])
