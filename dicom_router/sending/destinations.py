"""Destinations from settings: who may be sent to, and how each is spoken to (PS3.15 B.9)."""

import ssl
from collections.abc import Iterable, Mapping

from dicom_router.sending.model import Destination
from hub_kernel.settings import DestinationSettings
from hub_kernel.tls import PeerTls, client_context


def destinations_by_ae_title(
    configured: Iterable[DestinationSettings], own_ae_title: str
) -> Mapping[str, Destination]:
    """Return the destinations by AE title; `own_ae_title` is what the hub calls itself.

    Raises:
        ConfigurationError: a file of certificates cannot be used; says of which destination.
    """
    found = [destination_of(one, own_ae_title) for one in configured]
    return {one.ae_title: one for one in found}


def destination_of(configured: DestinationSettings, own_ae_title: str) -> Destination:
    """Return one destination; raises as `destinations_by_ae_title`."""
    return Destination(
        name=configured.name,
        ae_title=configured.ae_title.strip(),
        host=configured.host,
        port=configured.port,
        calling_ae_title=configured.calling_ae_title or own_ae_title,
        tls=_client_context(configured) if configured.tls else None,
    )


def _client_context(configured: DestinationSettings) -> ssl.SSLContext:
    peer = PeerTls(
        ca_files=(configured.tls_ca,) if configured.tls_ca else (),
        certificate=configured.tls_certificate,
        key=configured.tls_key,
        check_host_name=configured.tls_check_host,
    )
    return client_context(peer, section=f"router.destinations, {configured.name}")
