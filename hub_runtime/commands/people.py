"""`eirhub user`, `token`, `certificate`: people who sign in, machines that prove themselves."""

import sys
from datetime import timedelta
from pathlib import Path

import click

from access_control.certificates import MachineCertificate, MachineCertificates
from access_control.model import Role
from hub_kernel.errors import InvalidValueError
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import Hub, opened_hub
from hub_runtime.options import answer, json_option, with_settings

_roles = click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice([r.value for r in Role])
)
_sites = click.option(
    "--site", "sites", multiple=True, help="Site the right is limited to; none: the whole region."
)


@click.group()
def user() -> None:
    """People who sign in."""


@user.command("add")
@click.argument("username")
@_roles
@_sites
@click.option("--name", "display_name", default="", help="The name pages show.")
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input, not make one."
)
@json_option
@with_settings
def add_user(
    settings: Settings, username: str, *, password_stdin: bool, as_json: bool, **given: object
) -> None:
    """Add a person; prints the password once unless it was given."""
    typed = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    with opened_hub(settings, may_create=True) as hub:
        added = hub.access.accounts.add_user(
            username,
            typed,
            roles=_role_set(given["roles"]),
            sites=_site_set(hub, given["sites"]),
            display_name=str(given["display_name"] or username),
        )
    shown = {"username": added.username} | ({} if typed else {"password": added.password})
    answer(shown, "\n".join(f"{k}: {v}" for k, v in shown.items()), as_json=as_json)


@click.group()
def token() -> None:
    """Machines that prove themselves."""


@token.command("create")
@click.argument("name")
@_roles
@_sites
@click.option("--days", default=365, show_default=True, help="Valid for this many days.")
@json_option
@with_settings
def create_token(
    settings: Settings, name: str, *, days: int, as_json: bool, **given: object
) -> None:
    """Make a machine token; it is shown this once and stored only as a hash."""
    with opened_hub(settings, may_create=True) as hub:
        plain = hub.access.tokens.create(
            name,
            roles=_role_set(given["roles"]),
            sites=_site_set(hub, given["sites"]),
            expires=hub.base.clock.now() + timedelta(days=days),
        )
    answer({"name": name, "token": plain}, plain, as_json=as_json)


@click.group()
def certificate() -> None:
    """Client certificates of machines (mutual TLS)."""


@certificate.command("bind")
@click.argument("name")
@click.argument("pem", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_roles
@_sites
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
            roles=_role_set(given["roles"]),
            sites=_site_set(hub, given["sites"]),
        )
    words = f"{bound.certificate_id} {bound.name} sha256:{bound.fingerprint}"
    answer(_told(bound), words, as_json=as_json)


@certificate.command("list")
@json_option
@with_settings
def list_certificates(settings: Settings, *, as_json: bool) -> None:
    """List the bound certificates, revoked and expired ones included."""
    with opened_hub(settings) as hub:
        bound = MachineCertificates(hub.database, hub.base.clock).all()
    lines = (
        f"{one.certificate_id} {one.name} sha256:{one.fingerprint} until {one.expires_at:%Y-%m-%d}"
        f"{' revoked' if one.revoked_at else ''}"
        for one in bound
    )
    answer([_told(one) for one in bound], "\n".join(lines), as_json=as_json)


@certificate.command("revoke")
@click.argument("certificate_id")
@with_settings
def revoke_certificate(settings: Settings, certificate_id: str) -> None:
    """Refuse a certificate from now on."""
    with opened_hub(settings) as hub:
        MachineCertificates(hub.database, hub.base.clock).revoke(certificate_id)
    click.echo("revoked")


def _told(bound: MachineCertificate) -> dict[str, object]:
    return {
        "id": bound.certificate_id,
        "name": bound.name,
        "fingerprint": bound.fingerprint,
        "subject": bound.subject_name,
        "roles": sorted(bound.roles),
        "sites": None if bound.sites is None else sorted(bound.sites),
        "expires_at": bound.expires_at.isoformat(),
        "revoked": bound.revoked_at is not None,
    }


def _role_set(given: object) -> frozenset[Role]:
    return frozenset(Role(str(value)) for value in given)  # type: ignore[attr-defined]


def _site_set(hub: Hub, given: object) -> frozenset[str] | None:
    """Return the sites, or None (the whole region) when none was named.

    Raises:
        InvalidValueError: one is unknown; a typing mistake must not become a right to nothing.
    """
    named = frozenset(str(value) for value in given)  # type: ignore[attr-defined]
    known = {site.site_id for site in hub.access.sites.all()}
    if unknown := sorted(named - known):
        listed = ", ".join(sorted(known)) or "none; add one with eirhub site add"
        raise InvalidValueError(f"--site {unknown[0]}: no such site; known sites: {listed}")
    return named or None
