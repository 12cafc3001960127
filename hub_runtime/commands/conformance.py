"""`eirhub conformance run`: a published test kit against a running hub, counted and kept."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import Settings
from hub_runtime.conformance.kit import Names
from hub_runtime.conformance.plan import chosen, planned, why_not_run
from hub_runtime.conformance.running import TOKEN, Step, Target
from hub_runtime.conformance.running import run as run_group
from hub_runtime.options import with_settings
from viewer_api.conformance_results import SuiteResult, TestResult, as_json, keep_result

_DOORS = ("registry", "repository", "imaging", "gateway")


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
@click.option("--mllp", help="host:port of the identity feed; every run feeds its own patients.")
@click.option("--pid", help="Patient ID (CX) that the tests use; default: a new one.")
@click.option("--altpid", help="Patient ID (CX) that the hub must not know.")
@click.option("--registry", help="Address of the registry, where it is not below --hub.")
@click.option("--repository", help="Address of the repository, where it is not below --hub.")
@click.option("--token", envvar=TOKEN, help=f"Machine token; better in {TOKEN}.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write JSON there.")
@with_settings
def run(settings: Settings, tests: tuple[str, ...], **options: Any) -> None:
    """Run TESTS, in that order, or all that apply; print a table, keep it; exit 1 on a failure."""
    kit = options["kit"]
    there = _tests_of(kit)
    target = _target(settings, options)
    groups = [chosen(tests)] if tests else planned(there)
    steps = [step for group in groups for step in run_group(target, group)]
    if not steps:
        raise ConfigurationError("the driver judged no step; are the tests in the kit?")
    left_out = () if tests else [(one, why_not_run(one)) for one in there]
    counted = [*_results(steps), *(TestResult(one, 0, 0, 1, (w,)) for one, w in left_out if w)]
    result = SuiteResult(datetime.now(UTC), kit.name, tuple(counted))
    if settings.hub.data_dir.is_dir():
        keep_result(settings.hub.data_dir, result)
    if options["out"] is not None:
        options["out"].write_bytes(as_json(result))
    click.echo("\n".join(_table(result)))
    sys.exit(1 if result.failed else 0)


def _tests_of(kit: Path) -> list[str]:
    folder = kit / "nist" / "tests"
    if not folder.is_dir():
        raise ConfigurationError(f"{kit}: tools/nist2soap.py and nist/tests are not both there")
    return sorted(one.name for one in folder.iterdir() if one.is_dir())


def _target(settings: Settings, options: dict[str, Any]) -> Target:
    web, own = settings.web, settings.registry
    root = (options["root"] or web.public_url or f"http://{web.bind}:{web.port}").rstrip("/")
    addresses = [
        word for door in _DOORS for word in (f"--{door}", options.get(door) or f"{root}/xds/{door}")
    ]
    return Target(
        options["kit"],
        tuple(addresses),
        options["token"] or "",
        options["mllp"] or "",
        Names(
            options["pid"] or "", repository=own.repository_unique_id, home=own.home_community_id
        ),
        options["altpid"] or "",
    )


def _results(steps: Iterable[Step]) -> Iterator[TestResult]:
    """Yield the steps of each test counted together, in the order in which the tests began.

    A step that was run several times counts once, by the worst that became of it.
    """
    tests: dict[str, dict[str, Step]] = {}
    for step in steps:
        known = tests.setdefault(step.name.partition("/")[0], {})
        known[step.name] = max(step, known.get(step.name, step), key=_badness)
    for test, known in tests.items():
        outcomes = Counter(one.outcome for one in known.values())
        reasons = tuple(
            f"{one.outcome.lower()} {one.name}: {one.why}".rstrip(": ")
            for one in known.values()
            if one.outcome != "PASS"
        )
        yield TestResult(test, outcomes["PASS"], outcomes["FAIL"], outcomes["SKIP"], reasons)


def _badness(step: Step) -> int:
    return ("PASS", "SKIP", "FAIL").index(step.outcome)


def _table(result: SuiteResult) -> Iterator[str]:
    width = max(len(one.test) for one in result.tests)
    yield f"{'test':<{width}}  passed  failed  skipped"
    for one in result.tests:
        yield f"{one.test:<{width}}  {one.passed:>6}  {one.failed:>6}  {one.skipped:>7}"
        yield from (f"  {reason}" for reason in one.reasons)
    yield f"{result.passed} steps passed, {result.failed} failed, {result.skipped} skipped"
