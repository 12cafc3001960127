"""`eirhub site`: which sites may talk to the hub, from where, and who issues their patient IDs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from access_control.model import Site
from access_control.quotas import Usage
from access_control.site_rules import checked_site, load_site_file, site_from_table
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.commands.site_certificates import issue_for, site_certificate
from hub_runtime.commands.site_quota import site_quota
from hub_runtime.options import answer, json_option, with_settings

_TUPLES = {"ae_titles", "networks", "allowed_sop_classes", "certificate_fingerprints"}


@click.group()
def site() -> None:
    """Sites: AE titles, addresses, certificates, quotas, assigning authorities."""


site.add_command(site_certificate)
site.add_command(site_quota)

_DESCRIPTION: tuple[Callable[[Any], Any], ...] = (
    click.option("--name", help="What people call the site."),
    click.option("--name-en", help="The same in English."),
    click.option("--institution", help="Who answers for it."),
    click.option("--level", help="Level of the institution, as township."),
    click.option("--ae-title", "ae_titles", multiple=True, help="Calling AE title; repeatable."),
    click.option("--network", "networks", multiple=True, help="Address or CIDR; repeatable."),
    click.option("--charset", help="Character set its devices declare."),
    click.option("--query-scope", type=click.Choice(["site", "region"]), help="What it may find."),
    click.option(
        "--sop-class", "allowed_sop_classes", multiple=True, help="May send this only; repeatable."
    ),
    click.option("--max-bytes-per-day", type=int, help="Quota of bytes a day; 0: none."),
    click.option("--max-instances-per-day", type=int, help="Quota of instances a day; 0: none."),
    click.option("--max-bytes", type=int, help="Quota of bytes held in all; 0: none."),
    click.option("--max-instances", type=int, help="Quota of instances held in all; 0: none."),
    click.option("--max-associations", type=int, help="Associations at once; 0: no quota."),
    click.option("--priority", type=click.Choice(["normal", "high"]), help="When room is short."),
    click.option("--tls-only/--plain-too", default=None, help="Admitted with its certificate."),
    click.option(
        "--fingerprint", "certificate_fingerprints", multiple=True,
        help="SHA-256 of a certificate that others issued; repeatable.",
    ),
)  # fmt: skip


def _described_by_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_DESCRIPTION):
        command = option(command)
    return command


@site.command()
@click.argument("site_id", required=False)
@click.option("--file", type=click.Path(path_type=Path), help="TOML file with [[site]] tables.")
@_described_by_options
@click.option("--namespace", help="Assigning authority of its patient IDs: short name.")
@click.option("--oid", help="Assigning authority of its patient IDs: OID.")
@click.option("--replace", "replaced", is_flag=True, help="Overwrite a site of the same ID.")
@click.option("--issue-certificate", is_flag=True, help="Make a key pair for each site added.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the key pairs.")
@with_settings
def add(
    settings: Settings, file: Path | None, *, replaced: bool, issue_certificate: bool, **given: Any
) -> None:
    """Add the site SITE_ID, or every site of a file."""
    out: Path | None = given.pop("out")
    sites = load_site_file(file) if file else (_described(given),)
    with opened_hub(settings, may_create=True) as hub:
        for new in sites:
            hub.access.sites.add(new, replace=replaced)
            click.echo(f"{new.site_id}: {new.name} is admitted as {', '.join(new.ae_titles)}")
            if issue_certificate:
                folder = out / new.site_id if out and len(sites) > 1 else out
                click.echo(issue_for(hub, new, folder).words())


@site.command()
@click.argument("site_id")
@_described_by_options
@click.option("--every-sop-class", is_flag=True, help="Take back the limits of --sop-class.")
@with_settings
def edit(settings: Settings, site_id: str, *, every_sop_class: bool, **given: Any) -> None:
    """Change what is given of SITE_ID; a running hub knows within a second."""
    charset = given.pop("charset")
    changes = {key: value for key, value in given.items() if value not in (None, ())}
    if charset is not None:
        changes |= {"claimed_charset": charset, "used_charset": charset}
    if every_sop_class:
        changes["allowed_sop_classes"] = ()
    with opened_hub(settings) as hub:
        changed = checked_site(replace(hub.access.sites.get(site_id), **changes))
        hub.access.sites.add(changed, replace=True)
    click.echo(f"{site_id}: changed {', '.join(sorted(changes)) or 'nothing'}")


@site.command("list")
@json_option
@with_settings
def list_sites(settings: Settings, *, as_json: bool) -> None:
    """List all sites."""
    with opened_hub(settings) as hub:
        sites = hub.access.sites.all()
        shown = [_shown(one, hub.usage.today(one.site_id)) for one in sites]
    answer(shown, "\n".join(map(_line, sites)) or "no sites yet", as_json=as_json)


@site.command()
@click.argument("site_id")
@json_option
@with_settings
def show(settings: Settings, site_id: str, *, as_json: bool) -> None:
    """Show one site."""
    with opened_hub(settings) as hub:
        shown = _shown(hub.access.sites.get(site_id), hub.usage.today(site_id))
    answer(shown, "\n".join(f"{k}: {v}" for k, v in shown.items()), as_json=as_json)


def _described(options: dict[str, Any]) -> Site:
    """Return the site that the options describe; the rules are those of a site file."""
    table: dict[str, object] = {
        key: list(value) if key in _TUPLES else value
        for key, value in options.items()
        if value is not None and key not in {"namespace", "oid", "charset"}
    }
    table["level"] = table.get("level", "township")
    table["claimed_charset"] = table["used_charset"] = options["charset"] or ""
    table["networks"] = table["networks"] or ["127.0.0.0/8", "::1/128"]
    table["assigning_authority"] = {"namespace": options["namespace"], "oid": options["oid"]}
    return site_from_table(table, where="eirhub site add")


def _line(site: Site) -> str:
    marks = [
        *(["TLS only"] if site.tls_only else []),
        *([f"{len(site.certificate_fingerprints)} cert"] if site.certificate_fingerprints else []),
        *([f"{site.max_bytes_per_day} B/day"] if site.max_bytes_per_day else []),
        *([f"{site.max_instances_per_day} instances/day"] if site.max_instances_per_day else []),
        *([f"{site.max_bytes} B"] if site.max_bytes else []),
        *([f"{site.max_instances} instances"] if site.max_instances else []),
        *(["high priority"] if site.priority == "high" else []),
    ]
    said = f"  [{', '.join(marks)}]" if marks else ""
    return f"{site.site_id:12} {', '.join(site.ae_titles):18} {site.name}{said}"


def _shown(site: Site, today: Usage) -> dict[str, object]:
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
        "allowed_sop_classes": list(site.allowed_sop_classes),
        "max_bytes_per_day": site.max_bytes_per_day,
        "max_instances_per_day": site.max_instances_per_day,
        "max_bytes": site.max_bytes,
        "max_instances": site.max_instances,
        "max_associations": site.max_associations,
        "priority": site.priority,
        "tls_only": site.tls_only,
        "certificate_fingerprints": list(site.certificate_fingerprints),
        "received_today": vars(today),
    }
