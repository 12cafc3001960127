"""The last run of a published test suite against this hub, kept as one file in the data folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from pathlib import Path

_FILE = "conformance.json"
_MOST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class TestResult:
    """One test of a suite, its steps counted; `reasons` say why steps failed or were skipped."""

    test: str
    passed: int
    failed: int
    skipped: int
    reasons: tuple[str, ...] = ()

    __test__ = False


@dataclass(frozen=True)
class SuiteResult:
    """One run: when, of which suite, and every test of it in the order it ran."""

    at: datetime
    suite: str
    tests: tuple[TestResult, ...]

    @property
    def passed(self) -> int:
        """How many steps passed."""
        return sum(one.passed for one in self.tests)

    @property
    def failed(self) -> int:
        """How many steps failed."""
        return sum(one.failed for one in self.tests)

    @property
    def skipped(self) -> int:
        """How many steps were not judged."""
        return sum(one.skipped for one in self.tests)


def as_json(result: SuiteResult) -> bytes:
    """Return a run as JSON."""
    return _adapter().dump_json(result, indent=2)


def keep_result(data: Path, result: SuiteResult) -> None:
    """Keep `result` in the data folder instead of the one before it, in one step."""
    fresh = data / f".{_FILE}.{os.getpid()}"
    fresh.write_bytes(as_json(result))
    fresh.replace(data / _FILE)


def last_result(data: Path) -> SuiteResult | None:
    """Return the last run that was kept, or None where there is none that can be read."""
    try:
        with (data / _FILE).open("rb") as stream:
            return _adapter().validate_json(stream.read(_MOST_BYTES))
    except (OSError, ValidationError):
        return None


def _adapter() -> TypeAdapter[SuiteResult]:
    return TypeAdapter(SuiteResult)
