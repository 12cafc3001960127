"""`eirhub site certificate`: key pairs for townships, by which DICOM TLS and HTTPS know them."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click

from access_control.atna_application import command_run
from access_control.authority import CertificateRequest, write_secret
from access_control.certificates import MachineCertificate, MachineCertificates
from access_control.errors import CertificateAuthorityError
from access_control.model import Site
from hub_kernel.errors import InvalidValueError, NotFoundError
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.commands.certificates import line, told
from hub_runtime.hub import Hub
from hub_runtime.options import answer, json_option, with_settings
from hub_runtime.own_tls import certificate_authority


@dataclass(frozen=True)
class KeyPair:
    """What was made for a site: the folder with its files, and what opens the PKCS #12 file."""

    folder: Path
    passphrase: str
    bound: MachineCertificate
    expires_at: datetime

    def told(self) -> dict[str, object]:
        """Return what a script reads of it."""
        return told(self.bound) | {"folder": str(self.folder), "passphrase": self.passphrase}

    def words(self) -> str:
        """Return what a person reads of it; the passphrase is shown this once."""
        return (
            f"{self.folder}: certificate.pem, key.pem, ca.pem and the same as certificate.p12\n"
            f"passphrase of certificate.p12 (shown this once): {self.passphrase}\n"
            f"certificate {self.bound.certificate_id} holds until {self.expires_at:%Y-%m-%d}"
        )


@click.group("certificate")
def site_certificate() -> None:
    """Certificates of a site."""


_out = click.option("--out", type=click.Path(path_type=Path), help="Folder for the files.")
_days = click.option("--days", default=730, show_default=True, help="Valid for this many days.")
_kind = click.option("--key", "kind", type=click.Choice(["ec", "rsa"]), default="ec")
_titles = click.option(
    "--ae-title", "ae_titles", multiple=True, help="Valid for this AE title; none: all of the site."
)
_hosts = click.option("--host", "hosts", multiple=True, help="Name or address where it listens.")


@site_certificate.command()
@click.argument("site_id")
@_titles
@_hosts
@_out
@_days
@_kind
@json_option
@with_settings
def issue(
    settings: Settings, site_id: str, *, out: Path | None, as_json: bool, **wanted: object
) -> None:
    """Make a key pair for SITE_ID from the hub's own CA and bind its certificate to the site."""
    with opened_hub(settings) as hub:
        made = issue_for(hub, hub.access.sites.get(site_id), out, **wanted)
    answer(made.told(), made.words(), as_json=as_json)


@site_certificate.command()
@click.argument("site_id")
@click.argument("certificate_id")
@click.option("--revoke-old", is_flag=True, help="Refuse the old one at once, not when it ends.")
@_hosts
@_out
@_days
@_kind
@json_option
@with_settings
def renew(
    settings: Settings, site_id: str, certificate_id: str, *, as_json: bool, **wanted: object
) -> None:
    """Make a new key pair in place of CERTIFICATE_ID; both hold until the old one ends."""
    with opened_hub(settings) as hub:
        old, site = _of_site(hub, site_id, certificate_id), hub.access.sites.get(site_id)
        revoke_old, out = wanted.pop("revoke_old"), wanted.pop("out")
        folder = Path(str(out)) if out else None
        made = issue_for(hub, site, folder, ae_titles=old.ae_titles, **wanted)
        if revoke_old:
            _revoke(hub, old)
    answer(made.told(), made.words(), as_json=as_json)


@site_certificate.command()
@click.argument("site_id")
@click.argument("pem", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_titles
@json_option
@with_settings
def bind(
    settings: Settings, site_id: str, pem: Path, ae_titles: tuple[str, ...], *, as_json: bool
) -> None:
    """Bind a certificate that somebody else issued to SITE_ID; see router.tls_client_ca."""
    with opened_hub(settings) as hub:
        certificates = MachineCertificates(hub.database, hub.base.clock)
        bound = certificates.bind_site(site_id, pem.read_bytes(), ae_titles)
        _on_record(hub, f"bound {bound.certificate_id} to site {site_id}")
    answer(told(bound), line(bound), as_json=as_json)


@site_certificate.command("list")
@click.argument("site_id")
@json_option
@with_settings
def list_of_site(settings: Settings, site_id: str, *, as_json: bool) -> None:
    """List the certificates of SITE_ID, revoked and expired ones included."""
    with opened_hub(settings) as hub:
        bound = MachineCertificates(hub.database, hub.base.clock).of_site(site_id)
    words = "\n".join(map(line, bound)) or "no certificates yet"
    answer([told(one) for one in bound], words, as_json=as_json)


@site_certificate.command()
@click.argument("site_id")
@click.argument("certificate_id")
@with_settings
def revoke(settings: Settings, site_id: str, certificate_id: str) -> None:
    """Refuse a certificate of SITE_ID from now on; a running hub does so within a second."""
    with opened_hub(settings) as hub:
        _revoke(hub, _of_site(hub, site_id, certificate_id))
    click.echo("revoked")


def issue_for(hub: Hub, site: Site, out: Path | None, **wanted: object) -> KeyPair:
    """Make a key pair for `site`, write its files and bind its certificate.

    `wanted` may hold ae_titles, hosts, days and kind, as the options of `issue`.

    Raises:
        CertificateAuthorityError: a file is there already or cannot be written.
        InvalidValueError: an AE title is not the site's.
    """
    titles = tuple(str(title) for title in wanted.get("ae_titles") or ())  # type: ignore[attr-defined]
    if foreign := sorted(set(titles) - set(site.ae_titles)):
        raise InvalidValueError(f"AE title {foreign[0]} is not one of site {site.site_id}")
    request = CertificateRequest(
        common_name=titles[0] if titles else site.site_id,
        organization=site.institution or site.name,
        hosts=tuple(str(host) for host in wanted.get("hosts") or ()),  # type: ignore[attr-defined]
        days=int(str(wanted.get("days") or 730)),
        key=wanted.get("kind") or "ec",  # type: ignore[arg-type]
    )
    made = certificate_authority(hub.settings, hub.base.clock).issue(request)
    bundle, passphrase = made.pkcs12(request.common_name)
    folder = out or Path(f"{site.site_id}-certificate")
    _write(
        folder,
        {
            "key.pem": made.key_pem,
            "certificate.pem": made.certificate_pem,
            "ca.pem": made.ca_pem,
            "certificate.p12": bundle,
        },
    )
    # Bound last: a certificate nobody was given is better than one that nobody admits.
    bound = MachineCertificates(hub.database, hub.base.clock).bind_site(
        site.site_id, made.certificate_pem, titles, issued_here=True
    )
    _on_record(hub, f"issued {bound.certificate_id} to site {site.site_id}")
    return KeyPair(folder, passphrase, bound, made.expires_at)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        there = [name for name in files if (folder / name).exists()]
        if there:
            raise CertificateAuthorityError(f"{folder / there[0]} is there already; give --out")
        for name, content in files.items():
            write_secret(folder / name, content)
    except OSError as error:
        raise CertificateAuthorityError(f"{folder}: {error.strerror}") from error


def _of_site(hub: Hub, site_id: str, certificate_id: str) -> MachineCertificate:
    known = MachineCertificates(hub.database, hub.base.clock).of_site(site_id)
    found = [one for one in known if one.certificate_id == certificate_id]
    if not found:
        raise NotFoundError(f"site {site_id} has no certificate {certificate_id}")
    return found[0]


def _revoke(hub: Hub, one: MachineCertificate) -> None:
    MachineCertificates(hub.database, hub.base.clock).revoke(one.certificate_id)
    _on_record(hub, f"revoked {one.certificate_id} of site {one.site_id}")


def _on_record(hub: Hub, detail: str) -> None:
    hub.access.audit.record_now(command_run("manage_certificate", detail))
