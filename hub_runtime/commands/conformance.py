"""`eirhub conformance run`: a published test kit against a running hub, counted and kept."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import Settings
from hub_runtime.options import with_settings
from viewer_api.conformance_results import SuiteResult, TestResult, as_json, keep_result

_LINE = re.compile(r"(PASS|FAIL|SKIP) (\S+) ?(.*)")
_TOKEN = "EIRHUB_CONFORMANCE_TOKEN"  # noqa: S105 (the name of a variable)
_DOORS = ("registry", "repository", "imaging", "gateway")
# The driver knows no tokens; a secret is no argument, because everybody sees those.
_WITH_TOKEN = f"""
import os, runpy, sys, urllib.request
token = os.environ.pop("{_TOKEN}", "")
if token:
    opener = urllib.request.build_opener()
    opener.addheaders.append(("Authorization", "Bearer " + token))
    urllib.request.install_opener(opener)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class _Driver:
    program: Path
    tests: Path


@click.group()
def conformance() -> None:
    """Published test suites against this hub."""


@conformance.command("run")
@click.argument("tests", nargs=-1)
@click.option(
    "--kit",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the kit, with tools/nist2soap.py and nist/tests.",
)
@click.option("--hub", "root", help="Address of the running hub; default: that of the settings.")
@click.option("--mllp", help="host:port of the identity feed, for tests that feed a patient.")
@click.option("--pid", help="Patient ID (CX) that the tests use.")
@click.option("--altpid", help="Patient ID (CX) that the hub must not know.")
@click.option("--registry", help="Address of the registry, where it is not below --hub.")
@click.option("--repository", help="Address of the repository, where it is not below --hub.")
@click.option("--token", envvar=_TOKEN, help=f"Machine token; better in {_TOKEN}.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write JSON there.")
@with_settings
def run(settings: Settings, tests: tuple[str, ...], **options: Any) -> None:
    """Run TESTS, in that order, or all; print a table, keep the result; exit 1 if a step failed."""
    driver = _driver(options["kit"])
    wanted = tests or sorted(one.name for one in driver.tests.iterdir() if one.is_dir())
    addresses = _addresses(settings, options)
    said = _said(driver, [*wanted, *addresses], options["token"] or "")
    result = SuiteResult(datetime.now(UTC), options["kit"].name, tuple(_results(said)))
    if not result.tests:
        raise ConfigurationError("the driver judged no step; are the tests in the kit?")
    if settings.hub.data_dir.is_dir():
        keep_result(settings.hub.data_dir, result)
    if options["out"] is not None:
        options["out"].write_bytes(as_json(result))
    click.echo("\n".join(_table(result)))
    sys.exit(1 if result.failed else 0)


def _driver(kit: Path) -> _Driver:
    driver = _Driver(kit / "tools" / "nist2soap.py", kit / "nist" / "tests")
    if not driver.program.is_file() or not driver.tests.is_dir():
        raise ConfigurationError(f"{kit}: tools/nist2soap.py and nist/tests are not both there")
    return driver


def _addresses(settings: Settings, options: dict[str, Any]) -> Iterator[str]:
    web = settings.web
    root = (options["root"] or web.public_url or f"http://{web.bind}:{web.port}").rstrip("/")
    for door in _DOORS:
        yield from (f"--{door}", options.get(door) or f"{root}/xds/{door}")
    for name in ("mllp", "pid", "altpid"):
        if options[name]:
            yield from (f"--{name}", options[name])


def _said(driver: _Driver, arguments: list[str], token: str) -> Iterator[str]:
    """Yield what the driver prints, line by line, while it runs."""
    command = [sys.executable, "-c", _WITH_TOKEN, str(driver.program), "run", str(driver.tests)]
    environment = {**os.environ, _TOKEN: token}
    with subprocess.Popen(  # noqa: S603 (this very interpreter)
        [*command, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        yield from process.stdout


def _results(lines: Iterable[str]) -> Iterator[TestResult]:
    """Yield the steps of each test counted together; a step is called `test/step`."""
    counts: dict[str, dict[str, int]] = {}
    reasons: dict[str, list[str]] = {}
    for found in filter(None, map(_LINE.match, lines)):
        outcome, step, why = found.groups()
        test = step.partition("/")[0]
        counted = counts.setdefault(test, {"PASS": 0, "FAIL": 0, "SKIP": 0})
        counted[outcome] += 1
        if outcome != "PASS":
            reasons.setdefault(test, []).append(f"{outcome.lower()} {step}: {why}".rstrip(": "))
    for test, counted in counts.items():
        yield TestResult(
            test, counted["PASS"], counted["FAIL"], counted["SKIP"], tuple(reasons.get(test, ()))
        )


def _table(result: SuiteResult) -> Iterator[str]:
    width = max(len(one.test) for one in result.tests)
    yield f"{'test':<{width}}  passed  failed  skipped"
    for one in result.tests:
        yield f"{one.test:<{width}}  {one.passed:>6}  {one.failed:>6}  {one.skipped:>7}"
        yield from (f"  {reason}" for reason in one.reasons)
    yield f"{result.passed} steps passed, {result.failed} failed, {result.skipped} skipped"
