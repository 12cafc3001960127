"""`eirhub site quota`: how much of today's quota each site has used."""

import sys

import click

from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.options import answer, json_option, with_settings
from hub_runtime.quota_watch import WARNED_AT, quota_watch


@click.command("quota")
@json_option
@with_settings
def site_quota(settings: Settings, *, as_json: bool) -> None:
    """Show what every site with a quota has used of it today; exit 1 from 80 % on.

    A quota is set by `eirhub site edit`. A running hub's log and /metrics warn at 80 %, 90 % and
    when it is used up.
    """
    with opened_hub(settings) as hub:
        uses = quota_watch(hub).uses()
    told = [{**vars(use), "share": round(use.share, 4)} for use in uses]
    lines = [f"{use.site_id:12} {use.words()}" for use in uses]
    answer(told, "\n".join(lines) or "no site has a quota", as_json=as_json)
    sys.exit(1 if any(use.level >= WARNED_AT[0] for use in uses) else 0)
