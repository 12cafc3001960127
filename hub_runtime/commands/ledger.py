"""`eirhub ledger`: compare what an edge has received with what the hub holds."""

import sys
from collections.abc import Sequence

import click

from edge_gateway.errors import EdgeError
from edge_gateway.model import MENDED_BY_RESENDING, Comparison, DifferenceKind
from hub_kernel.errors import InvalidValueError, NotFoundError
from hub_kernel.settings import Settings
from hub_runtime import schema
from hub_runtime.bootstrap import opened_hub
from hub_runtime.edge_running import build_edge
from hub_runtime.options import Progress, answer, json_option, with_settings

_SHOWN = 50
_UNREACHED = 3
_WORDS = {
    DifferenceKind.MISSING_AT_HUB: "missing at the hub",
    DifferenceKind.OTHER_BYTES: "other bytes at the hub",
    DifferenceKind.DAMAGED_AT_HUB: "damaged at the hub",
    DifferenceKind.UNREGISTERED: "complete, not registered",
    DifferenceKind.NOT_RENDERED: "complete, not rendered",
}


@click.group()
def ledger() -> None:
    """The ledger by site: what an edge has received beside what the hub holds."""


@ledger.command("reconcile")
@click.argument("site_id")
@click.option("--resend", is_flag=True, help="At the edge: hand over again what the hub lacks.")
@json_option
@with_settings
def reconcile(settings: Settings, site_id: str, *, resend: bool, as_json: bool) -> None:
    """Compare both sides of SITE_ID by SOP Instance UID and digest.

    At the hub: over everything the edge has reported. At the edge (its settings name the hub): over
    everything it has received, asking the hub. Exit 0 for no difference, 1 for some, 3 when the hub
    was not reached.
    """
    at_edge = bool(settings.edge.hub_url)
    if resend and not at_edge:
        raise InvalidValueError("--resend: run it at the edge; the hub has nothing to send")
    bar = Progress("comparing")
    try:
        found, owed = (
            _at_edge(settings, site_id, bar, resend=resend)
            if at_edge
            else (_at_hub(settings, site_id, bar), 0)
        )
    except EdgeError as error:
        click.echo(f"eirhub: {error}", err=True)
        sys.exit(_UNREACHED)
    finally:
        bar.close()
    answer(_told(found, site_id, owed), "\n".join(_lines(found, owed)), as_json=as_json)
    sys.exit(1 if found.differences else 0)


def _at_hub(settings: Settings, site_id: str, bar: Progress) -> Comparison:
    with opened_hub(settings) as hub:
        if all(site.site_id != site_id for site in hub.access.sites.all()):
            raise NotFoundError(f"no site {site_id}; eirhub site list shows them")
        return hub.edges.inventory.compare_all(site_id, bar)


def _at_edge(
    settings: Settings, site_id: str, bar: Progress, *, resend: bool
) -> tuple[Comparison, int]:
    if site_id != settings.edge.site_id:
        raise InvalidValueError(f"this edge stands at {settings.edge.site_id}, not at {site_id}")
    edge = build_edge(settings)
    try:
        schema.upgrade(edge.database)
        span = edge.span()
        found = span.reporter.compare(bar)
        owed = span.queue.owe_again(found.differences) if resend else 0
    finally:
        edge.close()
    return found, owed


def _told(found: Comparison, site_id: str, owed: int) -> dict[str, object]:
    return {
        "site_id": site_id,
        "instances": found.instances,
        "studies": found.studies,
        "counts": found.counts(),
        "resent": owed,
        "differences": [
            {
                "kind": one.kind.value,
                "study_instance_uid": one.study_instance_uid,
                "sop_instance_uid": one.sop_instance_uid,
            }
            for one in found.differences
        ],
    }


def _lines(found: Comparison, owed: int) -> Sequence[str]:
    lines = [
        f"{_WORDS[one.kind]}: {one.sop_instance_uid or one.study_instance_uid}"
        for one in found.differences[:_SHOWN]
    ]
    if len(found.differences) > _SHOWN:
        lines.append(f"… {len(found.differences) - _SHOWN} more; --json names all")
    lines.append(
        f"{found.instances} instances of {found.studies} studies compared, "
        f"{len(found.differences)} differences"
    )
    if owed:
        lines.append(f"{owed} instances are handed over again")
    if any(one.kind in MENDED_BY_RESENDING for one in found.differences) and not owed:
        lines.append("run it at the edge with --resend to hand over again what is missing")
    return lines
