"""Run groups of a kit's tests by its driver, each with patients that were fed for it."""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from hub_kernel.errors import ConfigurationError
from hub_runtime.conformance.kit import PATIENT_DOMAIN, Names, prepare
from hub_runtime.conformance.plan import Group

_LINE = re.compile(r"(PASS|FAIL|SKIP) (\S+) ?(.*)")
TOKEN = "EIRHUB_CONFORMANCE_TOKEN"  # noqa: S105 (the name of a variable)
# The driver knows no tokens; a secret is no argument, because everybody sees those.
_WITH_TOKEN = f"""
import os, runpy, sys, urllib.request
token = os.environ.pop("{TOKEN}", "")
if token:
    opener = urllib.request.build_opener()
    opener.addheaders.append(("Authorization", "Bearer " + token))
    urllib.request.install_opener(opener)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_FEED_S = 30.0
_MESSAGE = (
    "MSH|^~\\&|NIST2SOAP|T|REG|T|20260101120000||ADT^A04|{control}|P|2.3.1\r"
    "EVN|A04|20260101120000\rPID|1||{patient}||TEST^PATIENT||19700101|M\rPV1|1|O\r"
)


@dataclass(frozen=True)
class Step:
    """One step of a test: PASS, FAIL or SKIP, its name `test/section/step`, and why."""

    outcome: str
    name: str
    why: str


@dataclass(frozen=True)
class Target:
    """The hub that is tested: the driver's options with its addresses, and what it is called.

    `mllp` is host:port of its identity feed, or empty: then the hub must know the patients.
    `patient` and `unknown` are a CX the tests use and one the hub must not know; without them every
    group has a patient of its own.
    """

    kit: Path
    addresses: tuple[str, ...]
    token: str = ""
    mllp: str = ""
    names: Names = field(default_factory=lambda: Names(""))
    unknown: str = ""


def run(target: Target, group: Group) -> Iterator[Step]:
    """Yield what became of every step, while they run; what is excused is no failure.

    Raises:
        ConfigurationError: the kit lacks a test, or the hub does not take the patients.
    """
    with tempfile.TemporaryDirectory(prefix="eirhub-kit-") as folder:
        names = _fed(target)
        prepared = prepare(target.kit, Path(folder), group.tests, names)
        options = [*target.addresses, "--aa", PATIENT_DOMAIN, "--pid", names.patient]
        other = names.second if group.other_is_known else target.unknown
        options += ["--altpid", other or _new_patient()]
        options += ["--mllp", target.mllp] if target.mllp else []
        arguments = [str(prepared.program), "run", str(prepared.tests), *group.tests, *options]
        for found in filter(None, map(_LINE.match, _said(arguments, target.token))):
            yield _judged(Step(*found.groups()), group.excused)


def _judged(step: Step, excused: Mapping[str, str]) -> Step:
    if step.outcome == "PASS" or step.name not in excused:
        return step
    return Step("SKIP", step.name, excused[step.name])


def _fed(target: Target) -> Names:
    """Return patients of this run alone, whom the hub knows now where it has a feed."""
    given = target.names
    patient, second, third = (one or _new_patient() for one in (given.patient, "", ""))
    if target.mllp:
        for one in (patient, second, third):
            _feed(target.mllp, one)
    return Names(patient, second, third, given.repository, given.home)


def _new_patient() -> str:
    return f"KIT-{uuid4().hex[:12].upper()}^^^&{PATIENT_DOMAIN}&ISO"


def _feed(address: str, patient: str) -> None:
    host, _, port = address.rpartition(":")
    message = _MESSAGE.format(control=uuid4().hex[:20], patient=patient)
    answer = b""
    try:
        with socket.create_connection((host, int(port)), _FEED_S) as connection:
            connection.sendall(b"\x0b" + message.encode() + b"\x1c\r")
            while b"\x1c" not in answer and (received := connection.recv(4096)):
                answer += received
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"--mllp {address}: no identity feed answers there") from error
    if b"MSA|AA" not in answer and b"MSA|CA" not in answer:
        raise ConfigurationError(
            f"--mllp {address}: the hub takes no patient from the kit; [[identity.domains]] needs "
            f'oid = "{PATIENT_DOMAIN}" and senders = ["NIST2SOAP|T"]'
        )


def _said(arguments: Iterable[str], token: str) -> Iterator[str]:
    """Yield what the driver prints, line by line, while it runs."""
    command = [sys.executable, "-c", _WITH_TOKEN, *arguments]
    environment = {**os.environ, TOKEN: token}
    with subprocess.Popen(  # noqa: S603 (this very interpreter)
        command, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None  # noqa: S101 (it was asked for)
        yield from process.stdout
