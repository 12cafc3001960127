"""`eirhub export all` and `eirhub import`: everything as plain files, and a hub of them again."""

from pathlib import Path

import click

from access_control.atna_application import command_run
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.commands.backup import (
    PASSPHRASE,
    bars,
    broken_words,
    passphrase_of,
    told_of,
    words_of,
)
from hub_runtime.exit.reading import import_everything
from hub_runtime.exit.writing import export_everything
from hub_runtime.options import answer, json_option, with_settings

_FOLDER = click.argument("folder", type=click.Path(file_okay=False, path_type=Path))


@click.group("export")
def export() -> None:
    """What a hub holds, as plain files."""


@export.command("all")
@_FOLDER
@PASSPHRASE
@json_option
@with_settings
def export_all(
    settings: Settings, folder: Path, passphrase_file: Path | None, *, as_json: bool
) -> None:
    """Write everything to FOLDER: DICOM files, documents, reports, versions, links, audit trail.

    Nothing in it needs this hub to be read; README.md there says what is where. The hub may be
    running. Interrupted, the same command goes on.
    """
    with opened_hub(settings) as hub, bars() as show:
        manifest = export_everything(hub, folder, show, passphrase_of(passphrase_file))
        hub.access.audit.record_now(command_run("export", f"{manifest.objects} objects"))
    words = [f"{folder}: {words_of(manifest)}", *broken_words(manifest)]
    answer(told_of(manifest), "\n".join(words), as_json=as_json)


@click.command("import")
@_FOLDER
@PASSPHRASE
@json_option
@with_settings
def import_all(
    settings: Settings, folder: Path, passphrase_file: Path | None, *, as_json: bool
) -> None:
    """Make a hub of a full export in FOLDER, on an empty host.

    Every file is read and compared first; a damaged export imports nothing. Interrupted, the same
    command goes on.
    """
    with bars() as show:
        back = import_everything(folder, settings, show, passphrase_of(passphrase_file))
    with opened_hub(settings) as hub:
        hub.access.audit.record_now(command_run("import", f"imported {back.generation}"))
    answer(told_of(back.manifest), f"imported: {words_of(back.manifest)}", as_json=as_json)
