"""`eirhub site quota`: how much of its quotas each site has used."""

import sys

import click

from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.options import answer, json_option, with_settings
from hub_runtime.quota_watch import quota_watch
from image_archive.holdings import Holdings


@click.command("quota")
@click.option("--recount", is_flag=True, help="Count anew what is held of each site first.")
@json_option
@with_settings
def site_quota(settings: Settings, *, recount: bool, as_json: bool) -> None:
    """Show what every site with a quota has used of it; exit 1 from the first mark on.

    A quota is set by `eirhub site edit`. A running hub's log, /metrics and the page /sites/usage
    warn at the marks of `quotas.warn_at` and when it is used up.
    """
    with opened_hub(settings) as hub:
        if recount:
            Holdings(hub.database).recount()
        watch = quota_watch(hub)
        uses = watch.uses()
        told = [{**vars(use), "share": round(use.share, 4)} for use in uses]
        lines = [f"{use.site_id:12} {watch.words(use)}" for use in uses]
        near = any(watch.is_near(use) for use in uses)
    answer(told, "\n".join(lines) or "no site has a quota", as_json=as_json)
    sys.exit(1 if near else 0)
