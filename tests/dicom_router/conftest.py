"""A whole DICOM node on loopback: real archive, real database, real sites."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.association import Association

from access_control.audit import AuditQuery, AuditRecord, AuditTrail
from access_control.consent import Consents
from access_control.model import Site
from access_control.sites import SiteDirectory
from access_control.usage import SiteUsage
from dicom_router.handlers.commitment import HearReport
from dicom_router.node import DicomNode, NodeParts
from eir_versions.decoding import DecoderPool, PoolLimits
from hub_kernel.clock import SystemClock
from hub_kernel.database import Database
from hub_kernel.events import ObservedPatient
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.metrics import Metrics
from hub_kernel.settings import RouterSettings
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.holdings import held_by_site
from image_archive.index import ArchiveIndex
from image_archive.service import ArchiveService
from patient_index.same_person import SamePerson
from tests.dicom_router.wire import RawPeer, echo_rq
from tests.image_archive.datasets import kept_files
from tests.support.tables import create_tables
from tests.support.waiting import eventually

TOWNSHIP = Site(
    site_id="chengguan",
    name="城关镇卫生院",
    name_en="Chengguan",
    institution="Chengguan Township Hospital",
    level="township",
    ae_titles=("CT1", "WS1"),
    networks=("127.0.0.0/8",),
    assigning_authority=AssigningAuthority("CHENGGUAN", "1.2.3.1"),
)
OTHER_TOWNSHIP = replace(
    TOWNSHIP,
    site_id="hexi",
    ae_titles=("CT2",),
    assigning_authority=AssigningAuthority("HEXI", "1.2.3.2"),
)
COUNTY = replace(
    TOWNSHIP,
    site_id="county",
    ae_titles=("PACS",),
    assigning_authority=AssigningAuthority("COUNTY", "1.2.3.3"),
    query_scope="region",
)
FAR_AWAY = replace(
    TOWNSHIP,
    site_id="far",
    ae_titles=("FAR",),
    networks=("10.9.0.0/16",),
    assigning_authority=AssigningAuthority("FAR", "1.2.3.4"),
)


# The promise is one second; a crowded machine may be slower, a node that stalls takes thirty.
HONEST_ECHO_S = 20.0
# For what is cut when its time is up; whatever else a test does may take its time.
IMPATIENT = pytest.mark.parametrize(
    "hub", [{"association_timeout_s": 2.0, "idle_timeout_s": 3.0}], ids=["impatient"], indirect=True
)


@dataclass
class Hub:
    """A running node and what stands behind it."""

    port: int
    node: DicomNode
    parts: NodeParts
    folder: Path
    tls_port: int = 0

    def audit(self) -> tuple[AuditRecord, ...]:
        """Every audit record, newest first."""
        return self.parts.audit.search(AuditQuery(limit=500)).records

    def await_audit(self, wanted: Callable[[AuditRecord], bool]) -> AuditRecord:
        """The record that is wanted; it is written just after the association has ended."""
        return eventually(lambda: next(filter(wanted, self.audit()), None))  # type: ignore[return-value]

    def temporary_files(self) -> list[Path]:
        kept = kept_files(self.folder / "archive")
        return [path for path in kept if path.parent.name == "incoming"]

    def echo_seconds(self) -> float:
        """How long an honest peer waits for its C-ECHO, association included."""
        started = time.monotonic()
        with RawPeer(self.port) as peer:
            assert peer.associate()[0] == 2
            peer.send(echo_rq())
            assert peer.status() == 0
        return time.monotonic() - started

    @contextmanager
    def association(
        self, sop_classes: dict[str, list[str]], calling: str = "CT1"
    ) -> Iterator[Association]:
        """An association of pynetdicom as SCU."""
        entity = AE(calling)
        for sop_class, transfer_syntaxes in sop_classes.items():
            entity.add_requested_context(sop_class, transfer_syntaxes)
        association = entity.associate("127.0.0.1", self.port, ae_title="EIRHUB")
        assert association.is_established
        try:
            yield association
        finally:
            association.release()


@contextmanager
def running_node(
    folder: Path,
    *,
    tls: ssl.SSLContext | None = None,
    hear_report: HearReport = lambda _title, _report: None,
    doubted: Callable[[ObservedPatient], bool] | None = None,
    **settings: object,
) -> Iterator[Hub]:
    clock = SystemClock()
    database = Database(f"sqlite:///{folder / 'hub.sqlite'}", clock=clock)
    create_tables(database)
    metrics = Metrics()
    backend = FilesystemBackend(folder / "archive")
    directory = SiteDirectory(database, clock)
    for site in (TOWNSHIP, OTHER_TOWNSHIP, COUNTY, FAR_AWAY):
        directory.add(site, replace=True)
    decoders = DecoderPool(PoolLimits(processes=1))
    archive = ArchiveService(database, backend, clock, metrics, doubted=doubted)
    parts = NodeParts(
        directory=directory,
        archive=archive,
        index=ArchiveIndex(database, settled=archive.settled),
        audit=AuditTrail(database, clock, b"k" * 32),
        consents=Consents(database, clock, SamePerson(database)),
        usage=SiteUsage(database, clock, held=held_by_site),
        database=database,
        metrics=metrics,
        decoders=decoders,
        hear_report=hear_report,
    )
    chosen = {
        "port": 0,
        "tls_port": 0,
        "association_timeout_s": 30.0,
        "idle_timeout_s": 60.0,
        "drain_s": 0.0,
    } | settings
    node = DicomNode(RouterSettings(**chosen), parts, tls=tls)  # type: ignore[arg-type]
    hub = Hub(node.start(), node, parts, folder, tls_port=node.start_tls() or 0)
    try:
        yield hub
    finally:
        node.stop()
        decoders.stop()
        archive.close()
        database.dispose()


@pytest.fixture
def hub(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Hub]:
    """A node of the test's own; a parameter holds other settings."""
    with running_node(tmp_path, **getattr(request, "param", {})) as hub:
        yield hub


@pytest.fixture
def attacked(hub: Hub) -> Iterator[Hub]:
    """A node that must be as good as new after whatever the test does to it."""
    yield hub
    assert hub.echo_seconds() < HONEST_ECHO_S
    eventually(lambda: not hub.temporary_files())
    for record in hub.audit():
        assert record.line().isprintable()
