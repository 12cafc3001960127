"""The collaborators every route works with, handed to the application once at its creation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from flask import current_app

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from flask import Flask

    from access_control.accounts import Accounts
    from access_control.audit import AuditTrail
    from access_control.break_glass import BreakGlass
    from access_control.certificates import MachineCertificates
    from access_control.consent import Consents
    from access_control.health_links import HealthLinks
    from access_control.legal_holds import LegalHolds
    from access_control.sessions import Sessions
    from access_control.shared_links import SharedLinks
    from access_control.sites import SiteDirectory
    from access_control.tokens import MachineTokens
    from access_control.usage import SiteUsage
    from access_control.viewer_grants import ViewerGrants
    from eir_versions.service import EirService
    from hub_kernel.clock import Clock
    from hub_kernel.database import Database
    from hub_kernel.metrics import Metrics
    from hub_kernel.settings import Settings
    from image_archive.conflict_resolving import ConflictResolver
    from image_archive.index import ArchiveIndex
    from image_archive.service import ArchiveService
    from patient_index.hl7v2.refusals import RefusedMessages
    from patient_index.same_person import SamePerson
    from patient_index.service import PatientIndex
    from viewer_api.forwarding_model import ForwardingDesk
    from xds_registry.service import Registry

_EXTENSION = "eirhub"


def _none_forwarded(_sop_instance_uid: str) -> Sequence[Delivery]:
    """What a hub without forwarding says."""
    return ()


def _no_port() -> int:
    """What a hub whose diagnostic viewer is not open says."""
    return 0


@dataclass(frozen=True)
class Delivery:
    """One row of the forwarding ledger, as pages show it; `moment` is its latest change."""

    destination: str
    state: str
    status: str
    comment: str
    moment: datetime


@dataclass(frozen=True)
class ViewerServices:
    """Everything a route may call; made by `hub_runtime.bootstrap`, never by a route.

    `dicom_port` returns the port workstations use; it is asked late, because a port taken at start
    is not known before. So is `viewer_port`, 0 where the diagnostic viewer is not open.
    `deliveries` returns what became of an instance, named by its SOP Instance UID, at each
    destination it is forwarded to.
    """

    database: Database
    settings: Settings
    archive: ArchiveService
    index: ArchiveIndex
    patients: PatientIndex
    eir: EirService
    registry: Registry
    accounts: Accounts
    sessions: Sessions
    tokens: MachineTokens
    certificates: MachineCertificates
    links: SharedLinks
    health_links: HealthLinks
    viewer_grants: ViewerGrants
    sites: SiteDirectory
    consents: Consents
    same_person: SamePerson
    holds: LegalHolds
    break_glass: BreakGlass
    audit: AuditTrail
    metrics: Metrics
    clock: Clock
    refused_messages: RefusedMessages
    conflicts: ConflictResolver
    forwarding: ForwardingDesk
    usage: SiteUsage
    dicom_port: Callable[[], int]
    deliveries: Callable[[str], Sequence[Delivery]] = _none_forwarded
    viewer_port: Callable[[], int] = _no_port


def services() -> ViewerServices:
    """Return the services of the application that answers the current request."""
    return cast("ViewerServices", current_app.extensions[_EXTENSION])


def install_services(app: Flask, given: ViewerServices) -> None:
    """Make `given` what `services()` returns inside `app`."""
    app.extensions[_EXTENSION] = given
