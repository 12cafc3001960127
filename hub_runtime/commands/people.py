"""`eirhub user`, `token`: people who sign in, machines that prove themselves by a token."""

import sys
from datetime import timedelta

import click

from access_control.model import Role
from hub_kernel.errors import InvalidValueError
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.hub import Hub
from hub_runtime.options import answer, json_option, with_settings

roles_option = click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice([r.value for r in Role])
)
sites_option = click.option(
    "--site", "sites", multiple=True, help="Site the right is limited to; none: the whole region."
)


@click.group()
def user() -> None:
    """People who sign in."""


@user.command("add")
@click.argument("username")
@roles_option
@sites_option
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
            roles=role_set(given["roles"]),
            sites=site_set(hub, given["sites"]),
            display_name=str(given["display_name"] or username),
        )
    shown = {"username": added.username} | ({} if typed else {"password": added.password})
    answer(shown, "\n".join(f"{k}: {v}" for k, v in shown.items()), as_json=as_json)


@click.group()
def token() -> None:
    """Machines that prove themselves."""


@token.command("create")
@click.argument("name")
@roles_option
@sites_option
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
            roles=role_set(given["roles"]),
            sites=site_set(hub, given["sites"]),
            expires=hub.base.clock.now() + timedelta(days=days),
        )
    answer({"name": name, "token": plain}, plain, as_json=as_json)


def role_set(given: object) -> frozenset[Role]:
    """Return the roles named on a command line."""
    return frozenset(Role(str(value)) for value in given)  # type: ignore[attr-defined]


def site_set(hub: Hub, given: object) -> frozenset[str] | None:
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
