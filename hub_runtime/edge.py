"""A township gateway, wired: the hub as its one destination, what it says of itself, its jobs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from dicom_router.forwarding.pacing import RateCap
from dicom_router.forwarding.senders.hub import HubSender
from dicom_router.forwarding.service import Configured
from dicom_router.routing.model import Delivery, Rule, When
from dicom_router.routing.windows import window
from edge_gateway import marks
from edge_gateway.client import HubAddress, HubClient, LineLimits
from edge_gateway.marks import Marks
from edge_gateway.model import EdgeFigures, HeldInstance
from edge_gateway.own_ledger import OwnLedger
from edge_gateway.reporting import Reporter
from edge_gateway.spool import HubsWord, Spool, SpoolRule
from hub_kernel.database import Database
from hub_kernel.errors import ConfigurationError
from hub_kernel.periodic_jobs import PeriodicJob
from hub_kernel.settings import Settings
from hub_kernel.settings_edge import EdgeSettings
from hub_runtime.edge_queue import HUB, EdgeQueue
from image_archive.service import ArchiveService

# Emergencies leave first whatever the rule says: forwarding knows them by their orders.
RULE = Rule("edge", When(), (Delivery(HUB),))
_ROOM_S, _COMPARE_S = 60.0, 86_400.0


def hub_client(settings: EdgeSettings) -> HubClient:
    """Return what speaks to the hub that the settings name.

    Raises:
        ConfigurationError: the address, the token or a certificate cannot be used.
    """
    address = HubAddress(
        url=settings.hub_url,
        site_id=settings.site_id,
        token=_secret(settings.token_file) if settings.token_file else "",
        ca_file=settings.ca_file,
        certificate=settings.certificate,
        key=settings.key,
    )
    return HubClient(address, LineLimits(chunk_bytes=settings.chunk_bytes))


def hub_destination(
    settings: EdgeSettings, database: Database, archive: ArchiveService
) -> Configured:
    """Return the hub as forwarding serves it: one kind of destination beside the others.

    Raises:
        ConfigurationError: as `hub_client`.
    """
    noted = Marks(database)
    return Configured(
        name=HUB,
        sender=HubSender(
            hub_client(settings),
            archive,
            settings.site_id,
            lambda reason: noted.change(marks.UPLOAD_REASON, reason),
        ),
        caps=tuple(
            RateCap(window(one.hours, one.weekdays), one.kb_s * 1000) for one in settings.rates
        ),
    )


@dataclass(frozen=True)
class EdgeSpan:
    """The parts of a running edge beside its archive and its queue."""

    queue: EdgeQueue
    ledger: OwnLedger
    marks: Marks
    spool: Spool
    reporter: Reporter

    def jobs(self, settings: EdgeSettings) -> Sequence[PeriodicJob]:
        """Return what the edge does by itself from time to time."""
        return (
            PeriodicJob("edge-contact", settings.report_s, self.reporter.contact),
            PeriodicJob("edge-room", _ROOM_S, self.spool.make_room),
            PeriodicJob("edge-compare", _COMPARE_S, self.compare_and_mend),
        )

    def compare_and_mend(self) -> None:
        """Compare with the hub and owe it again what it lacks."""
        found = self.reporter.compare(lambda _done, _total: None)
        self.queue.owe_again(found.differences)


def edge_span(settings: Settings, database: Database, archive: ArchiveService) -> EdgeSpan:
    """Return the parts of an edge.

    Raises:
        ConfigurationError: as `hub_client`.
    """
    wanted, noted, ledger = settings.edge, Marks(database), OwnLedger(database)
    queue = EdgeQueue(database)
    rule = SpoolRule(timedelta(days=wanted.keep_days), wanted.spool_free_bytes)
    client = hub_client(wanted)

    def proved(instances: Sequence[HeldInstance]) -> Collection[str]:
        proof = client.prove(instances)
        queue.owe_again(proof.differences)
        return proof.proved

    word = HubsWord(queue.taken_before, proved)
    spool = Spool(archive, database.clock, rule, word, noted)

    def figures() -> EdgeFigures:
        return queue.figures(settings.archive_path, spool.reason(), noted)

    reporter = Reporter(client, ledger, noted, figures)
    return EdgeSpan(queue, ledger, noted, spool, reporter)


def _secret(file: Path) -> str:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"edge.token_file: {file} cannot be read") from error
    if not lines or not lines[0].strip():
        raise ConfigurationError(f"edge.token_file: {file} is empty")
    return lines[0].strip()
