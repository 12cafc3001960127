"""All wiring of the hub: settings in, one object graph out. Nothing starts until it is opened."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from access_control.usage import SiteUsage
from eir_versions.decoding import DecoderPool, PoolLimits
from hub_kernel.errors import ConfigurationError
from hub_kernel.outbox import Outbox
from hub_kernel.settings import Settings
from hub_runtime.deidentifying import text_gate
from hub_runtime.edge_door import edge_side, edge_side_parts
from hub_runtime.forwarding import ForwardingParts, build_forwarding
from hub_runtime.foundation import Foundation, access_parts, foundation
from hub_runtime.hub import Hub
from hub_runtime.identity import build_identity
from hub_runtime.machine_trust import TrustParts, machine_trust
from hub_runtime.open_doors import refuse_open_doors
from hub_runtime.own_tls import with_own_certificate
from hub_runtime.public_address import public_address
from hub_runtime.sharing import SharingParts, build_registry
from hub_runtime.versions import StaleLinks, VersionParts, build_versions
from image_archive.holdings import held_by_site
from image_archive.index import ArchiveIndex
from image_archive.rejections import Rejections
from image_archive.service import ArchiveService
from patient_index.contradiction import Contradictions
from viewer_api.dicomweb.ready_metadata import ReadyMetadata


def build_hub(settings: Settings) -> Hub:
    """Return the hub that `settings` describe.

    Raises:
        ConfigurationError: settings contradict each other, or the data folder cannot be made.
    """
    refuse_open_doors(settings)
    settings = with_own_certificate(settings)
    base = foundation(settings)
    access = access_parts(base)
    trust = machine_trust(
        settings.access.machine_authentication,
        TrustParts(base.database, base.clock, access.tokens),
        settings.access.saml_trust,
    )
    archive = _archive(base)
    index = ArchiveIndex(base.database, settled=archive.settled)
    identity = build_identity(base.database, base.clock, settings, access.sites)
    pool = _decoders(settings)
    versions = VersionParts(base, access, archive, index, pool, identity, text_gate(base))
    eir, stale = build_versions(versions), StaleLinks(versions)
    address = public_address(settings)
    sharing = SharingParts(
        database=base.database,
        backend=base.backend,
        index=index,
        patients=identity.patients,
        eir=eir,
        sites=access.sites,
        consents=access.consents,
        audit=access.audit,
        trust=trust,
        dicomweb_url=address.dicomweb,
    )
    registry = build_registry(sharing, settings)
    forwarded = ForwardingParts(base.database, archive, base.backend, index, base.metrics, pool)
    forwarding = build_forwarding(forwarded, settings)
    ready = ReadyMetadata(base.backend, index)
    # A gateway hands over and makes nothing of what it has.
    followers = () if settings.edge.hub_url else (identity.patients, registry, eir, stale, ready)
    _subscribe(base.outbox, Rejections(base.database, base.backend, index), *followers, forwarding)
    usage = SiteUsage(base.database, base.clock, settings.hub.time_zone, held_by_site)
    edges = edge_side(edge_side_parts(base, access, archive, trust.authenticate, usage))
    made = (base, access, trust, archive, index, identity, pool, eir, registry, edges)
    return Hub(*made, forwarding, address, usage)


@contextmanager
def opened_hub(settings: Settings, *, may_create: bool = False) -> Iterator[Hub]:
    """Give a hub with an up-to-date schema to a command, beside a running one or not.

    Raises:
        ConfigurationError: there is no hub in the data folder and the command may not make one: a
            mistyped folder must not be verified as whole.
    """
    data = settings.hub.data_dir
    if not may_create and not (data / "secrets").is_dir():
        raise ConfigurationError(f"no hub in {data}; check --data, or make one with eirhub serve")
    hub = build_hub(settings)
    try:
        hub.join()
        yield hub
    finally:
        hub.close()


def _archive(base: Foundation) -> ArchiveService:
    quiet_s = base.settings.study.quiet_period_s
    return ArchiveService(
        base.database,
        base.backend,
        base.clock,
        base.metrics,
        quiet_period_s=quiet_s,
        doubted=Contradictions(base.database),
    )


def _subscribe(outbox: Outbox, *parts: Any) -> None:
    for part in parts:
        for subscriber in part.subscribers():
            outbox.subscribe(subscriber)


def _decoders(settings: Settings) -> DecoderPool:
    eir = settings.eir
    limits = PoolLimits(eir.decode_processes, eir.decode_memory_mb, eir.decode_timeout_s)
    return DecoderPool(limits)
