"""Which certificate the hub shows on its TLS ports, and whose client certificates it takes there.

What the settings name, else the certificate that `eirhub certificate server` made; the hub's own
CA is trusted beside every authority that is named, so a township needs no settings at all.
"""

import ssl
from pathlib import Path

from access_control.authority import (
    CA_CERTIFICATE,
    SERVER_CERTIFICATE,
    SERVER_KEY,
    CertificateAuthority,
)
from hub_kernel.clock import Clock
from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import RouterSettings, Settings, WebSettings
from hub_kernel.tls import TlsFiles, server_context


def trust_folder(settings: Settings) -> Path:
    """Return where the hub's CA and its own server certificate lie."""
    return settings.hub.data_dir / "secrets" / "tls"


def certificate_authority(settings: Settings, clock: Clock) -> CertificateAuthority:
    """Return the hub's own CA, which is made when it is first asked for something."""
    return CertificateAuthority(trust_folder(settings), clock, settings.hub.name_en)


def web_tls_files(settings: Settings) -> TlsFiles | None:
    """Return the files of the HTTPS port, None where there is no certificate.

    Raises:
        ConfigurationError: a certificate without its key, or anything without a certificate.
    """
    return _files(settings, settings.web, "web")


def dicom_tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return how the DICOM TLS port speaks TLS, None where there is no certificate.

    Raises:
        ConfigurationError: as `web_tls_files`, or a file cannot be used.
    """
    files = _files(settings, settings.router, "router")
    return server_context(files, section="router") if files else None


def with_own_certificate(settings: Settings) -> Settings:
    """Return settings where the hub shows its own certificate to destinations that name none.

    A destination without `tls_ca` is believed when the hub's own CA has signed it, where there is
    one; else the system's authorities count.
    """
    own = _files(settings, settings.router, "router")
    ca = trust_folder(settings) / CA_CERTIFICATE
    found = []
    for one in settings.router.destinations:
        added: dict[str, Path] = {}
        if one.tls and one.tls_ca is None and ca.exists():
            added["tls_ca"] = ca
        if one.tls and one.tls_certificate is None and own is not None:
            added |= {"tls_certificate": own.certificate, "tls_key": own.key}
        found.append(one.model_copy(update=added))
    router = settings.router.model_copy(update={"destinations": tuple(found)})
    return settings.model_copy(update={"router": router})


def _files(
    settings: Settings, wanted: RouterSettings | WebSettings, section: str
) -> TlsFiles | None:
    folder = trust_folder(settings)
    certificate, key = wanted.tls_certificate, wanted.tls_key
    if (certificate is None) != (key is None):
        raise ConfigurationError(f"{section}: tls_certificate and tls_key are needed together")
    if certificate is None or key is None:
        certificate, key = folder / SERVER_CERTIFICATE, folder / SERVER_KEY
        if not certificate.exists():
            if wanted.tls_client_ca is not None:
                raise ConfigurationError(
                    f"{section}: tls_client_ca needs tls_certificate and tls_key"
                )
            return None
    authorities = [folder / CA_CERTIFICATE] if (folder / CA_CERTIFICATE).exists() else []
    if wanted.tls_client_ca is not None:
        authorities.append(wanted.tls_client_ca)
    return TlsFiles(certificate, key, tuple(authorities), wanted.tls_client_demanded)
