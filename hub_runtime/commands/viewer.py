"""`eirhub viewer install`: the full diagnostic viewer, from its npm package."""

from pathlib import Path

import click

from hub_kernel.settings import Settings
from hub_runtime.options import with_settings
from hub_runtime.viewer_package import PACKAGE, install_viewer
from hub_runtime.viewer_port import viewer_folder
from viewer_api.viewer_origin import installed_viewer


@click.group()
def viewer() -> None:
    """The full diagnostic viewer (OHIF)."""


@viewer.command()
@click.option(
    "--package",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The package's file, where the hub cannot reach a registry.",
)
@click.option("--if-missing", is_flag=True, help="Do nothing where it is installed already.")
@with_settings
def install(settings: Settings, *, package: Path | None, if_missing: bool) -> None:
    """Fetch the viewer with npm, check its digest and install it."""
    folder = viewer_folder(settings)
    if if_missing and installed_viewer(folder):
        return
    place = install_viewer(folder, package)
    click.echo(f"{PACKAGE} is installed in {place}; a running hub opens it at its next start")
