"""`eirhub deidentify`: studies for research, by DICOM PS3.15 Annex E."""

import sys
from pathlib import Path

import click

from access_control.model import Subject
from eir_versions.deidentification.exporting import StudyExport
from eir_versions.deidentification.profile import EDITION, Option, Profile
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.deidentifying import export, order
from hub_runtime.hub import Hub
from hub_runtime.options import Progress, answer, json_option, with_settings


@click.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY…")
@click.option("--project", required=True, help="Its name decides the pseudonyms.")
@click.option("--out", "folder", required=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--by", required=True, help="User name of a data steward.")
@click.option(
    "--option",
    "options",
    multiple=True,
    type=click.Choice([option.value for option in Option]),
    help="An option of the profile; may be given again.",
)
@json_option
@with_settings
def deidentify(
    settings: Settings, studies: tuple[str, ...], *, as_json: bool, folder: Path, **said: object
) -> None:
    """Write studies without identity to a folder, for a project; exit 1 if nothing left.

    The same studies for the same project and options give the same bytes again.
    """
    profile = Profile(frozenset(Option(word) for word in _words(said["options"])))
    bar = Progress("studies")
    with opened_hub(settings) as hub:
        by = _steward(hub, str(said["by"]))
        wanted = order(hub, str(said["project"]), profile, folder, by)
        done = []
        for number, study in enumerate(studies, start=1):
            done.append(export(hub, study, wanted, by))
            bar(number, len(studies))
    bar.close()
    answer([_told(one) for one in done], _sentences(done), as_json=as_json)
    sys.exit(0 if any(one.files for one in done) else 1)


def _words(options: object) -> tuple[str, ...]:
    return tuple(map(str, options)) if isinstance(options, tuple) else ()


def _steward(hub: Hub, username: str) -> Subject:
    return hub.access.accounts.subject_of(username)


def _told(done: StudyExport) -> dict[str, object]:
    return {
        "edition": EDITION,
        "subject_id": done.subject_id,
        "study_instance_uid": done.study_instance_uid,
        "files": [{"path": path, "sha256": digest} for path, digest in done.files],
        "left_out": done.left_out,
        "content_sha256": done.content_sha256,
    }


def _sentences(done: list[StudyExport]) -> str:
    lines = []
    for one in done:
        why = ", ".join(f"{count} {reason}" for reason, count in one.left_out.items())
        lines.append(
            f"{one.subject_id}  {one.study_instance_uid}  {len(one.files)} images"
            + (f"; left out: {why}" if why else "")
        )
    return "\n".join(lines)
