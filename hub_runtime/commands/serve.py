"""`eirhub serve` runs every role in one process; `web` and `worker` run one each."""

import click

from hub_kernel.errors import ConfigurationError
from hub_kernel.logs import configure_logging
from hub_kernel.settings import Settings
from hub_runtime import garbage
from hub_runtime.bootstrap import build_hub
from hub_runtime.options import with_settings
from hub_runtime.serving import ROLES, EndRequest, running


def run(settings: Settings, roles: tuple[str, ...]) -> None:
    """Run `roles` until a signal asks for the end; print the ready line once all ports answer.

    Raises:
        ConfigurationError: the settings are those of a gateway.
    """
    if settings.edge.hub_url:
        raise ConfigurationError("edge.hub_url is set: these are a gateway's; start eirhub edge")
    configure_logging(settings.hub.log_format, settings.hub.log_level)
    end = EndRequest()
    with running(build_hub(settings), roles) as listening:
        garbage.settled()
        click.echo(listening.ready_line)
        end.wait()


@click.command()
@with_settings
def serve(settings: Settings) -> None:
    """Run every role: DICOM node, web, worker."""
    run(settings, ROLES)


@click.command()
@with_settings
def web(settings: Settings) -> None:
    """Run pages, DICOMweb, SOAP and the API only."""
    run(settings, ("web",))


@click.command()
@with_settings
def worker(settings: Settings) -> None:
    """Run what follows receipt only: linking, registration, rendering, completion."""
    run(settings, ("worker",))
