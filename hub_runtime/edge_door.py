"""The hub's end of its edges, wired: uploads, reports, inventory, and what keeps them tidy."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from access_control.audit import AuditTrail
from access_control.sites import SiteDirectory
from access_control.usage import SiteUsage
from edge_gateway.contacts import Contacts
from edge_gateway.door_audit import DoorAudit
from edge_gateway.intake import Intake, IntakeParts
from edge_gateway.inventory import Inventory
from edge_gateway.partials import PartialLimits, PartialUploads
from edge_gateway.wsgi import EdgeDoor, EdgeDoorParts
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.periodic_jobs import PeriodicJob
from hub_kernel.settings import Settings
from hub_runtime.machine_authentication import Authenticate
from image_archive.index import ArchiveIndex
from image_archive.service import ArchiveService
from viewer_api.ledger.progress import progress_of

if TYPE_CHECKING:
    from hub_runtime.foundation import Access, Foundation

_SWEEP_S, _PURGE_S = 10.0, 3600.0


@dataclass(frozen=True)
class EdgeSideParts:
    """What the hub's end stands on."""

    settings: Settings
    database: Database
    clock: Clock
    archive: ArchiveService
    sites: SiteDirectory
    audit: AuditTrail
    authenticate: Authenticate
    usage: SiteUsage


@dataclass(frozen=True)
class EdgeSide:
    """The hub's end: what answers at `/edge`, what edges hold, when they last spoke."""

    door: EdgeDoor
    inventory: Inventory
    contacts: Contacts
    partials: PartialUploads

    def jobs(self) -> list[PeriodicJob]:
        """Return what it does by itself from time to time."""
        return [PeriodicJob("edge-arrivals", _SWEEP_S, self.inventory.sweep)]

    def machine_jobs(self) -> list[PeriodicJob]:
        """Return what each machine does about the uploads that lie on its own disk."""
        return [PeriodicJob("upload-purge", _PURGE_S, self.partials.purge, everywhere=True)]


def edge_side_parts(
    base: "Foundation",
    access: "Access",
    archive: ArchiveService,
    authenticate: Authenticate,
    usage: SiteUsage,
) -> EdgeSideParts:
    """Return what the hub's end stands on, of the hub's own parts."""
    return EdgeSideParts(
        settings=base.settings,
        database=base.database,
        clock=base.clock,
        archive=archive,
        sites=access.sites,
        audit=access.audit,
        authenticate=authenticate,
        usage=usage,
    )


def edge_side(parts: EdgeSideParts) -> EdgeSide:
    """Return the hub's end of its edges."""
    wanted = parts.settings.uploads
    limits = PartialLimits(
        site_bytes=wanted.site_bytes,
        site_uploads=wanted.site_uploads,
        keep=timedelta(hours=wanted.keep_hours),
    )
    partials = PartialUploads(parts.settings.hub.data_dir / "uploads", limits, parts.clock)
    inventory = Inventory(parts.database, progress_of)
    contacts = Contacts(parts.database, parts.clock)
    intake = Intake(
        IntakeParts(
            database=parts.database,
            archive=parts.archive,
            index=ArchiveIndex(parts.database, settled=parts.archive.settled),
            sites=parts.sites,
            partials=partials,
            clock=parts.clock,
            usage=parts.usage,
            max_instance_bytes=parts.settings.router.max_instance_bytes,
        )
    )
    door = EdgeDoor(
        EdgeDoorParts(
            authenticate=parts.authenticate,
            audit=DoorAudit(parts.database, parts.audit),
            intake=intake,
            partials=partials,
            inventory=inventory,
            contacts=contacts,
            max_instance_bytes=parts.settings.router.max_instance_bytes,
        )
    )
    return EdgeSide(door, inventory, contacts, partials)
