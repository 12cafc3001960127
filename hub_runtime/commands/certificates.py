"""`eirhub certificate`: who proves themselves by mutual TLS, and what the hub itself shows."""

from pathlib import Path

import click

from access_control.atna_application import command_run
from access_control.authority import (
    SERVER_CERTIFICATE,
    SERVER_KEY,
    CertificateRequest,
    write_secret,
)
from access_control.certificates import END_UNKNOWN, MachineCertificate, MachineCertificates
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.commands.people import role_set, roles_option, site_set, sites_option
from hub_runtime.hub import Hub
from hub_runtime.options import answer, json_option, with_settings
from hub_runtime.own_tls import certificate_authority, trust_folder


@click.group()
def certificate() -> None:
    """Certificates of machines, of the hub itself and of its own CA."""


@certificate.command()
@click.option("--host", "hosts", multiple=True, required=True, help="Name or address of the hub.")
@click.option("--days", default=730, show_default=True, help="Valid for this many days.")
@click.option("--key", "kind", type=click.Choice(["ec", "rsa"]), default="ec", show_default=True)
@json_option
@with_settings
def server(
    settings: Settings, hosts: tuple[str, ...], days: int, kind: str, *, as_json: bool
) -> None:
    """Make the hub's own server certificate; DICOM TLS and HTTPS show it from the next start."""
    wanted = CertificateRequest(
        common_name=hosts[0],
        hosts=hosts,
        days=days,
        key=kind,  # type: ignore[arg-type]  # click lets no other word through
    )
    with opened_hub(settings, may_create=True) as hub:
        made = certificate_authority(settings, hub.base.clock).issue(wanted)
        folder = trust_folder(settings)
        # The key first: a certificate without its key would stop the next start.
        write_secret(folder / SERVER_KEY, made.key_pem)
        write_secret(folder / SERVER_CERTIFICATE, made.certificate_pem)
        _on_record(hub, f"server certificate for {', '.join(hosts)}")
    shown = {"certificate": str(folder / SERVER_CERTIFICATE), "expires_at": made.expires_at}
    words = f"{shown['certificate']} holds until {made.expires_at:%Y-%m-%d}; restart the hub"
    answer(shown, words, as_json=as_json)


@certificate.command()
@click.option("--out", type=click.Path(path_type=Path), help="File to write; else it is printed.")
@with_settings
def authority(settings: Settings, out: Path | None) -> None:
    """Export the certificate of the hub's own CA (PEM), for modalities to trust."""
    with opened_hub(settings, may_create=True) as hub:
        pem = certificate_authority(settings, hub.base.clock).certificate_pem()
    if out is None:
        click.echo(pem.decode(), nl=False)
    else:
        out.write_bytes(pem)
        click.echo(f"{out}: the certificate of the hub's CA")


@certificate.command("bind")
@click.argument("name")
@click.argument("pem", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@roles_option
@sites_option
@json_option
@with_settings
def bind_certificate(
    settings: Settings, name: str, pem: Path, *, as_json: bool, **given: object
) -> None:
    """Let the machine NAME prove itself by the certificate in the file PEM until it ends."""
    with opened_hub(settings, may_create=True) as hub:
        bound = MachineCertificates(hub.database, hub.base.clock).bind(
            name,
            pem.read_bytes(),
            roles=role_set(given["roles"]),
            sites=site_set(hub, given["sites"]),
        )
        _on_record(hub, f"bound {bound.certificate_id}")
    words = f"{bound.certificate_id} {bound.name} sha256:{bound.fingerprint}"
    answer(told(bound), words, as_json=as_json)


@certificate.command("list")
@json_option
@with_settings
def list_certificates(settings: Settings, *, as_json: bool) -> None:
    """List the certificates of machines and sites, revoked and expired ones included."""
    with opened_hub(settings) as hub:
        bound = MachineCertificates(hub.database, hub.base.clock).all()
    answer([told(one) for one in bound], "\n".join(map(line, bound)), as_json=as_json)


@certificate.command("revoke")
@click.argument("certificate_id")
@with_settings
def revoke_certificate(settings: Settings, certificate_id: str) -> None:
    """Refuse a certificate from now on; a running hub does so within a second."""
    with opened_hub(settings) as hub:
        revoked = MachineCertificates(hub.database, hub.base.clock).revoke(certificate_id)
        _on_record(hub, f"revoked {revoked.certificate_id}")
    click.echo("revoked")


def told(bound: MachineCertificate) -> dict[str, object]:
    """Return what a script reads of a certificate."""
    known_end = bound.expires_at != END_UNKNOWN
    return {
        "id": bound.certificate_id,
        "name": bound.name,
        "fingerprint": bound.fingerprint,
        "subject": bound.subject_name,
        "roles": sorted(bound.roles),
        "sites": None if bound.sites is None else sorted(bound.sites),
        "site": bound.site_id,
        "ae_titles": list(bound.ae_titles),
        "issued_here": bound.issued_here,
        "expires_at": bound.expires_at.isoformat() if known_end else None,
        "revoked": bound.revoked_at is not None,
    }


def line(bound: MachineCertificate) -> str:
    """Return what a person reads of a certificate."""
    until = "as it says" if bound.expires_at == END_UNKNOWN else f"{bound.expires_at:%Y-%m-%d}"
    revoked = " revoked" if bound.revoked_at else ""
    return f"{bound.certificate_id} {bound.name} sha256:{bound.fingerprint} until {until}{revoked}"


def _on_record(hub: Hub, detail: str) -> None:
    hub.access.audit.record_now(command_run("manage_certificate", detail))
