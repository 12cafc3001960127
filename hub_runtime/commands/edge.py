"""`eirhub edge`: run a township gateway, or only see whether it can reach its hub."""

import sys

import click

from hub_kernel.errors import ConfigurationError, NotFoundError
from hub_kernel.logs import configure_logging
from hub_kernel.settings import Settings
from hub_runtime import garbage, schema
from hub_runtime.edge_running import Edge, build_edge, reach, running_edge
from hub_runtime.options import answer, json_option, with_settings
from hub_runtime.serving import EndRequest


@click.command()
@click.option("--check", is_flag=True, help="Only try to reach the hub; exit 1 if it cannot be.")
@json_option
@with_settings
def edge(settings: Settings, *, check: bool, as_json: bool) -> None:
    """Run the gateway of one site: receive, keep, hand over to the hub, show what has arrived."""
    if check:
        sys.exit(_check(settings, as_json=as_json))
    configure_logging(settings.hub.log_format, settings.hub.log_level)
    end = EndRequest()
    with running_edge(_known(build_edge(settings))) as listening:
        garbage.settled()
        click.echo(listening.ready_line)
        end.wait()


def _known(made: Edge) -> Edge:
    """Return the edge when its own site is registered here too, so that modalities are admitted."""
    schema.upgrade(made.database)
    site_id = made.settings.edge.site_id
    try:
        made.access.sites.get(site_id)
    except NotFoundError as error:
        raise ConfigurationError(
            f"edge.site_id {site_id}: no such site here; add it with eirhub site add, as the "
            "hub has it"
        ) from error
    return made


def _check(settings: Settings, *, as_json: bool) -> int:
    made = _known(build_edge(settings))
    try:
        error = reach(made)
    finally:
        made.close()
    words = str(error) if error else f"{settings.edge.hub_url} knows {settings.edge.site_id}"
    answer({"ok": error is None, "words": words}, words, as_json=as_json)
    return 1 if error else 0
