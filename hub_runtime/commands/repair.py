"""`eirhub archive repair`: whole bytes in the place of damaged ones, from another copy."""

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from access_control.atna_application import command_run
from hub_kernel.settings import Settings
from hub_runtime.backup.folder import BackupFolder
from hub_runtime.bootstrap import opened_hub
from hub_runtime.hub import Hub
from hub_runtime.options import Progress, answer, json_option, with_settings
from image_archive.repairing import repair
from viewer_api.dicomweb.ready_metadata import ReadyMetadata


@click.command("repair")
@click.option(
    "--from",
    "backups",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of `eirhub backup`; repeatable. Both tiers are looked at in any case.",
)
@click.option("--dry-run", is_flag=True, help="Say what could be repaired, change nothing.")
@json_option
@with_settings
def repair_archive(
    settings: Settings, backups: tuple[Path, ...], *, dry_run: bool, as_json: bool
) -> None:
    """Repair what `eirhub archive verify` found damaged or missing; exit 1 if something is left.

    A copy counts only if it has the hash taken when the instance was received. A running hub shows
    what is whole again without a restart; one on another machine within ten minutes.
    """
    progress = Progress("repairing")
    for folder in map(BackupFolder, backups):
        folder.generation()  # says so where there is no backup
    with opened_hub(settings) as hub:
        copies = [BackupFolder(path).objects() for path in backups]
        found = repair(hub.database, hub.base.backend, copies, progress, dry_run=dry_run)
        if found.repaired and not dry_run:
            words = f"{len(found.repaired)} repaired, {len(found.left)} left"
            hub.access.audit.record_now(command_run("repair", words))
            _make_anew(hub, found.repaired)
    progress.close()
    could = "can be" if dry_run else "are"
    lines = [f"{len(found.repaired)} instances {could} repaired, {len(found.left)} not"]
    lines += [f"  {uid}: no whole copy" for uid in found.left]
    answer(vars(found) | {"dry_run": dry_run}, "\n".join(lines), as_json=as_json)
    sys.exit(1 if found.left else 0)


def _make_anew(hub: Hub, repaired: Sequence[str]) -> None:
    """Take away what may have been made of damaged bytes; metadata are made at once."""
    instances = [one for uid in repaired if (one := hub.index.instance(uid)) is not None]
    for instance in instances:
        for key in hub.eir.made_of(instance):
            hub.base.backend.delete(key)
    metadata = ReadyMetadata(hub.base.backend, hub.index)
    for study in {instance.study_instance_uid for instance in instances}:
        metadata.make(study)
