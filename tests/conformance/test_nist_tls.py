"""The published kit's test of submitting and retrieving over TLS (12028), by mutual TLS.

The source, the registry's asker and the consumer are one machine that proves itself by its
certificate alone; who has none, or one that is bound to nobody, gets nothing done.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from access_control.audit import AuditQuery, AuditTrail
from access_control.certificates import MachineCertificates
from access_control.model import Role
from access_control.tokens import MachineTokens
from hub_kernel.clock import SystemClock
from hub_kernel.settings import WebSettings
from hub_kernel.tls import TlsFiles
from hub_runtime.http_server import HttpServer
from hub_runtime.machine_authentication import by_credentials
from tests.conformance.nist_driver import Step, run_driver
from tests.support.certificates import Authority, Certified
from tests.support.tools import require_conformance
from tests.xds_registry.trial import PATIENT_DOMAIN, Trial, trial
from xds_registry.service import Registry

PID = f"NIST-1^^^&{PATIENT_DOMAIN}&ISO"
PASSED = {"12028/submit/submit", "12028/query/uniqueid", "12028/retrieve/retrieve"}

_DRIVER_OVER_TLS = """
import runpy, ssl, sys, urllib.request
context = ssl.create_default_context(cafile={authority!r})
if {certificate!r}:
    context.load_cert_chain({certificate!r}, {key!r})
handler = urllib.request.HTTPSHandler(context=context)
urllib.request.install_opener(urllib.request.build_opener(handler))
sys.argv[0] = {driver!r}
runpy.run_path({driver!r}, run_name="__main__")
"""


@dataclass(frozen=True)
class Secured:
    """A hub that only certificates open, and who holds which."""

    kit: Path
    base: str
    authority: Authority
    audit: AuditTrail
    machine: Certified

    def run(self, root: Path, shown: Certified | None) -> dict[str, Step]:
        """Run 12028 with this certificate."""
        tools = root / "tools"
        tools.mkdir(parents=True)
        text = _DRIVER_OVER_TLS.format(
            authority=str(self.authority.file),
            certificate=str(shown.certificate_file) if shown else "",
            key=str(shown.key_file) if shown else "",
            driver=str(self.kit / "tools" / "nist2soap.py"),
        )
        (tools / "nist2soap.py").write_text(text, encoding="utf-8")
        options = ["--pid", PID, "--registry", f"{self.base}/xds/registry"]
        options += ["--repository", f"{self.base}/xds/repository"]
        return run_driver(root, self.kit / "nist" / "tests", ["12028"], options)


@contextmanager
def secured(root: Path) -> Iterator[Secured]:
    kit = require_conformance("nist").parent
    authority = Authority(root)
    machine, hub = authority.issue("machine"), authority.issue("hub")
    with trial(root, kit / "nist" / "environment" / "codes.xml") as here:
        certificates = MachineCertificates(here.database, SystemClock())
        roles = {Role.RADIOLOGIST, Role.DOCUMENT_SOURCE}
        certificates.bind("nist", machine.pem, roles, None)
        here.know("NIST-1")
        application = _for_certificates(here, certificates).application
        tls = TlsFiles(hub.certificate_file, hub.key_file, (authority.file,))
        server = HttpServer(application, WebSettings(port=0), tls=tls)
        base = server.start()
        try:
            yield Secured(kit, base, authority, here.audit, machine)
        finally:
            server.stop()


def _for_certificates(here: Trial, certificates: MachineCertificates) -> Trial:
    authenticate = by_credentials(MachineTokens(here.database, SystemClock()), certificates)
    old = here.registry
    parts = replace(old._parts, authenticate=authenticate)
    return replace(here, registry=Registry(parts, old._names, old._domain))


def test_submit_query_and_retrieve_over_mutual_tls(tmp_path: Path) -> None:
    with secured(tmp_path) as hub:
        steps = hub.run(tmp_path / "kit", hub.machine)
        assert {name for name, step in steps.items() if step.outcome == "pass"} == PASSED, steps
        assert set(steps) == PASSED
        records = hub.audit.search(AuditQuery(outcome="success")).records
    assert {record.display for record in records} == {"nist"}


@pytest.mark.parametrize("shown", ["nothing", "a certificate bound to nobody"])
def test_without_a_bound_certificate_no_step_passes(tmp_path: Path, shown: str) -> None:
    with secured(tmp_path) as hub:
        other = None if shown == "nothing" else hub.authority.issue("unbound")
        steps = hub.run(tmp_path / "kit", other)
        assert set(steps) == PASSED
        assert "pass" not in {step.outcome for step in steps.values()}, steps
        assert not hub.audit.search(AuditQuery(outcome="success")).records
