"""The published kit's tests of ITI-42 and ITI-64, run by its driver over HTTP and MLLP.

The kit lies in ../shared/conformance/nist. Every step must pass but those that the plan names with
the reason why the hub is right; a step that passes against its reason is a change as well.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hub_kernel.clock import SystemClock
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.settings import IdentitySettings
from hub_runtime.conformance.kit import Names
from hub_runtime.conformance.plan import REGISTRATION
from patient_index.domains import Domain, DomainDirectory
from patient_index.feed import PatientFeed
from patient_index.hl7v2.exchange import Hl7Parts
from patient_index.hl7v2.node import Hl7Node, NodeSettings
from patient_index.hl7v2.service import Hl7Service
from patient_index.lookup import PatientLookup
from tests.conformance.nist_driver import Step, prepared, run_prepared
from tests.support.tools import require_conformance
from tests.xds_registry.trial import PATIENT_DOMAIN, Trial, served, trial

TESTS = REGISTRATION.tests
PASSED = 126


@contextmanager
def patient_feed(here: Trial) -> Iterator[int]:
    """Open an MLLP port for the kit's patient domain; gives its number."""
    settings = IdentitySettings()
    own = AssigningAuthority(settings.global_namespace, settings.global_oid)
    domain = Domain("NIST", PATIENT_DOMAIN, ("NIST2SOAP|T",))
    directory = DomainDirectory((domain,), own=own)
    parts = Hl7Parts(
        database=here.database,
        clock=SystemClock(),
        domains=directory,
        patients=here.patients,
        feed=PatientFeed(here.patients, directory),
        lookup=PatientLookup(here.patients, directory),
        audit=lambda _record, _session=None: None,
        may_find=lambda _sender, people: frozenset(people),
    )
    node = Hl7Node(NodeSettings(port=0), Hl7Service(parts))
    port = node.start()
    try:
        yield port
    finally:
        node.stop(grace_s=2.0)


def run(root: Path, *tests: str) -> dict[str, Step]:
    """Run tests against a fresh hub; returns what became of every step."""
    kit = require_conformance("nist").parent
    domain = kit / "nist" / "environment" / "codes.xml"
    with trial(root, domain) as here, served(here.application) as base, patient_feed(here) as port:
        names = Names(f"NIST-1^^^&{PATIENT_DOMAIN}&ISO", second=here.know("NIST-ALT"))
        there = prepared(kit, root, tests, names)
        options = ["--pid", names.patient, "--mllp", f"127.0.0.1:{port}", "--aa", PATIENT_DOMAIN]
        options += ["--registry", f"{base}/xds/registry", "--repository", f"{base}/xds/repository"]
        return run_prepared(there, tests, options)


def test_every_step_that_applies_passes(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    steps = run(tmp_path, *TESTS)
    others = {name: step for name, step in steps.items() if step.outcome != "pass"}
    counts = Counter(one.outcome for one in steps.values())
    record_property("nist ITI-42", dict(counts))
    assert {name: step.outcome for name, step in others.items()} == dict.fromkeys(
        REGISTRATION.excused, "fail"
    ), others
    assert counts == {"pass": PASSED, "fail": 6}
