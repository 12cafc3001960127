"""`eirhub backup` and `eirhub restore`: the whole hub to a folder, and back on an empty host."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from access_control.atna_application import command_run
from hub_kernel.errors import ConfigurationError
from hub_kernel.settings import Settings
from hub_runtime.backup.checking import check_backup
from hub_runtime.backup.folder import BackupFolder
from hub_runtime.backup.model import Manifest
from hub_runtime.backup.restoring import restore as bring_back
from hub_runtime.backup.taking import Taken, take_backup
from hub_runtime.bootstrap import opened_hub
from hub_runtime.options import Progress, answer, json_option, with_settings

_TARGET = click.argument("target", type=click.Path(file_okay=False, path_type=Path))
PASSPHRASE = click.option(
    "--passphrase-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the passphrase that closes keys and settings.",
)
_GENERATION = click.option("--generation", default="", help="Which backup; the newest by default.")


@click.command()
@_TARGET
@PASSPHRASE
@_GENERATION
@click.option("--verify", is_flag=True, help="Take none: read a backup again, exit 1 if damaged.")
@click.option("--list", "listed", is_flag=True, help="Take none: list the backups in TARGET.")
@click.option("--keep", type=click.IntRange(min=1), help="Afterwards keep only the newest so many.")
@json_option
@with_settings
def backup(settings: Settings, target: Path, *, as_json: bool, **wanted: Any) -> None:
    """Back up database, archive, keys and settings to the folder TARGET, beside a running hub.

    Objects that an earlier backup has are not copied again, and one that was interrupted goes on.
    TARGET holds patient data and keys; it belongs on another machine.
    """
    folder, passphrase = BackupFolder(target), passphrase_of(wanted["passphrase_file"])
    if wanted["listed"]:
        found = {one.name: one.manifest() for one in folder.generations()}
        told = [{"generation": name, **told_of(manifest)} for name, manifest in found.items()]
        words = [f"{name}: {words_of(manifest)}" for name, manifest in found.items()]
        return answer(told, "\n".join(words) or f"no backup in {target}", as_json=as_json)
    if wanted["verify"]:
        one = folder.generation(wanted["generation"])
        with bars() as show:
            manifest = check_backup(one, show("checking"), passphrase or None)
        words_of_it = f"{one.name} is whole: {words_of(manifest)}"
        return answer({"generation": one.name, **told_of(manifest)}, words_of_it, as_json=as_json)
    with opened_hub(settings) as hub, bars() as show:
        taken = take_backup(hub, target, show, passphrase)
        removed = _keep_newest(folder, wanted["keep"])
        hub.access.audit.record_now(command_run("backup", f"taken {taken.generation}"))
    told_of_it = {"generation": taken.generation, "copied": taken.copied, "removed": removed}
    told_of_it |= {"settled": taken.settled}
    answer(told_of_it | told_of(taken.manifest), _taken_words(taken), as_json=as_json)
    return None


@click.command()
@_TARGET
@PASSPHRASE
@_GENERATION
@json_option
@with_settings
def restore(
    settings: Settings,
    target: Path,
    passphrase_file: Path | None,
    generation: str,
    *,
    as_json: bool,
) -> None:
    """Restore the newest backup in the folder TARGET to an empty host: to --data, database, bucket.

    The whole backup is read and compared first; a damaged one restores nothing. Interrupted, the
    same command goes on. Everybody has to sign in again.
    """
    with bars() as show:
        back = bring_back(
            BackupFolder(target).generation(generation),
            settings,
            show,
            passphrase_of(passphrase_file),
        )
    with opened_hub(settings) as hub:
        hub.access.audit.record_now(command_run("restore", f"restored {back.generation}"))
    words = [
        f"{back.generation} is restored: {words_of(back.manifest)}",
        f"{back.sessions} sessions ended; links that were revoked since then hold again",
        f"settings it ran with: {settings.hub.data_dir / 'configuration'}",
    ]
    told = {"generation": back.generation, "sessions_ended": back.sessions}
    answer(told | told_of(back.manifest), "\n".join(words), as_json=as_json)


def _keep_newest(folder: BackupFolder, most: int | None) -> list[str]:
    doomed = folder.generations()[:-most] if most else []
    with folder.alone():
        for one in doomed:
            folder.remove(one)
    return [one.name for one in doomed]


def passphrase_of(file: Path | None) -> str:
    """Return the passphrase in `file`, empty for none."""
    if file is None:
        return ""
    said = file.read_text("utf-8").rstrip("\r\n")
    if not said:
        raise ConfigurationError(f"{file} holds no passphrase")
    return said


@contextmanager
def bars() -> Iterator[Callable[[str], Progress]]:
    """Give a progress bar for each label; all are left finished."""
    bars: list[Progress] = []

    def show(label: str) -> Progress:
        if bars:
            bars[-1].close()
        bars.append(Progress(label))
        return bars[-1]

    try:
        yield show
    finally:
        if bars:
            bars[-1].close()


def told_of(manifest: Manifest) -> dict[str, object]:
    """Return what a script would read of a manifest."""
    return {
        "taken_at": manifest.taken_at,
        "version": manifest.version,
        "tables": len(manifest.tables),
        "rows": manifest.rows,
        "objects": manifest.objects,
        "object_bytes": manifest.object_bytes,
        "encrypted": manifest.encrypted,
        "damaged": list(manifest.damaged),
        "missing": list(manifest.missing),
    }


def words_of(manifest: Manifest) -> str:
    """Return a manifest in words."""
    closed = "encrypted" if manifest.encrypted else "not encrypted"
    return (
        f"{manifest.rows} rows of {len(manifest.tables)} tables, {manifest.objects} objects of "
        f"{manifest.object_bytes} bytes, keys and settings {closed}"
    )


def _taken_words(taken: Taken) -> str:
    manifest = taken.manifest
    lines = [f"{taken.generation}: {words_of(manifest)}; {taken.copied} objects copied anew"]
    if not taken.settled:
        lines.append(
            "what was acknowledged last waits for the archive and is not in it: eirhub doctor, "
            "then take another"
        )
    return "\n".join([*lines, *broken_words(manifest)])


def broken_words(manifest: Manifest) -> list[str]:
    """Return what to say of what is not whole in a manifest: a line, or none."""
    if not (manifest.damaged or manifest.missing):
        return []
    return [
        f"{len(manifest.damaged)} objects are damaged and {len(manifest.missing)} instances "
        "missing in the archive: eirhub archive verify, then repair"
    ]
