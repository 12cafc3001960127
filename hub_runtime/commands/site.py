"""`eirhub site`: which sites may talk to the hub, from where, and who issues their patient IDs."""

from pathlib import Path

import click

from access_control.model import Site
from access_control.site_rules import load_site_file, site_from_table
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.options import answer, json_option, with_settings


@click.group()
def site() -> None:
    """Sites: AE titles, addresses, assigning authorities."""


@site.command()
@click.argument("site_id", required=False)
@click.option("--file", type=click.Path(path_type=Path), help="TOML file with [[site]] tables.")
@click.option("--name", help="What people call the site.")
@click.option("--name-en", default="", help="The same in English.")
@click.option("--institution", default="", help="Who answers for it.")
@click.option("--level", default="township", show_default=True, help="Level of the institution.")
@click.option("--ae-title", "ae_titles", multiple=True, help="Calling AE title; may be repeated.")
@click.option("--network", "networks", multiple=True, help="Address or CIDR; may be repeated.")
@click.option("--namespace", help="Assigning authority of its patient IDs: short name.")
@click.option("--oid", help="Assigning authority of its patient IDs: OID.")
@click.option("--charset", default="", help="Character set its devices declare.")
@click.option("--replace", is_flag=True, help="Overwrite a site of the same ID.")
@with_settings
def add(settings: Settings, file: Path | None, *, replace: bool, **described: object) -> None:
    """Add the site SITE_ID, or every site of a file."""
    sites = load_site_file(file) if file else (_described(described),)
    with opened_hub(settings, may_create=True) as hub:
        for new in sites:
            hub.access.sites.add(new, replace=replace)
            click.echo(f"{new.site_id}: {new.name} is admitted as {', '.join(new.ae_titles)}")


@site.command("list")
@json_option
@with_settings
def list_sites(settings: Settings, *, as_json: bool) -> None:
    """List all sites."""
    with opened_hub(settings) as hub:
        sites = hub.access.sites.all()
    lines = [f"{s.site_id:12} {', '.join(s.ae_titles):18} {s.name}" for s in sites]
    answer([_shown(s) for s in sites], "\n".join(lines) or "no sites yet", as_json=as_json)


@site.command()
@click.argument("site_id")
@json_option
@with_settings
def show(settings: Settings, site_id: str, *, as_json: bool) -> None:
    """Show one site."""
    with opened_hub(settings) as hub:
        shown = _shown(hub.access.sites.get(site_id))
    answer(shown, "\n".join(f"{k}: {v}" for k, v in shown.items()), as_json=as_json)


def _described(options: dict[str, object]) -> Site:
    """Return the site that the options describe; the rules are those of a site file."""
    table: dict[str, object] = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in options.items()
        if value is not None and key not in {"namespace", "oid", "charset"}
    }
    table["claimed_charset"] = table["used_charset"] = options["charset"]
    table["networks"] = table["networks"] or ["127.0.0.0/8", "::1/128"]
    table["assigning_authority"] = {"namespace": options["namespace"], "oid": options["oid"]}
    return site_from_table(table, where="eirhub site add")


def _shown(site: Site) -> dict[str, object]:
    return {
        "site_id": site.site_id,
        "name": site.name,
        "name_en": site.name_en,
        "institution": site.institution,
        "level": site.level,
        "ae_titles": list(site.ae_titles),
        "networks": list(site.networks),
        "namespace": site.assigning_authority.namespace,
        "oid": site.assigning_authority.oid,
        "claimed_charset": site.claimed_charset,
        "query_scope": site.query_scope,
    }
