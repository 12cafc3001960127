"""Destinations from settings: who may be sent to, and how each is spoken to (PS3.15 B.9)."""

import ssl
from collections.abc import Iterable, Mapping

from dicom_router.sending.model import Destination
from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import DestinationSettings


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
    try:
        context = ssl.create_default_context(cafile=configured.tls_ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if configured.tls_certificate is not None:
            context.load_cert_chain(configured.tls_certificate, configured.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"router.destinations, {configured.name}: tls_ca, tls_certificate or tls_key: {error}"
        ) from error
    return context
