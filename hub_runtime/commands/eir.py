"""`eirhub eir`: the versions of a study explained and proved, and its reports."""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from eir_versions.explaining import Explanation
from eir_versions.reports.ledger import WaitingReport
from eir_versions.reports.model import ShownReport
from hub_kernel.errors import InvalidValueError, NotFoundError
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.commands.burned_in import burned_in
from hub_runtime.hub import Hub
from hub_runtime.options import answer, json_option, with_settings


@click.group()
def eir() -> None:
    """The Electronic Imaging Record: versions, reports, and what holds pictures back."""


eir.add_command(burned_in)


@eir.command("explain")
@click.argument("study")
@click.option("--recipe", help="One version only: diagnostic, clinical or public.")
@json_option
@with_settings
def explain(settings: Settings, study: str, *, recipe: str | None, as_json: bool) -> None:
    """Say what the versions of STUDY are made of, and make every picture again.

    Exit 0 when each gives the same bytes from the same inputs; 1 when something differs: a stored
    byte, the recipe, the renderer, or what the study holds.
    """
    with opened_hub(settings) as hub:
        found = list(_explained(hub, study, recipe))
    if not found:
        raise NotFoundError("no such study, or no version of it has been rendered yet")
    told = [_told(one) for one in found]
    words = "\n\n".join("\n".join(_words(one)) for one in found)
    answer({"study_instance_uid": study, "versions": told}, words, as_json=as_json)
    sys.exit(0 if all(one.proved for one in found) else 1)


@eir.command("reports")
@click.argument("study", required=False)
@click.option("--waiting", is_flag=True, help="HL7 results that belong to no study yet.")
@json_option
@with_settings
def reports(settings: Settings, study: str | None, *, waiting: bool, as_json: bool) -> None:
    """List the reports of STUDY and which of them stand; --waiting: results without a study.

    Nothing that names a patient is shown. Exit 1 when there is no such study.
    """
    if waiting == bool(study):
        raise InvalidValueError("name a study, or say --waiting")
    with opened_hub(settings) as hub:
        if waiting:
            rows = [_waiting(one) for one in hub.eir.reports.waiting()]
        else:
            rows = [_report(one) for one in _standing(hub, study or "")]
    words = "\n".join("  ".join(str(value) for value in row.values()) for row in rows)
    answer(rows, words or "no report", as_json=as_json)


def _standing(hub: Hub, study: str) -> Sequence[ShownReport]:
    if hub.index.study(study) is None:
        raise NotFoundError("no such study")
    return hub.eir.reports.standing(study, hub.index.instances_of(study))


def _explained(hub: Hub, study: str, recipe: str | None) -> Iterator[Explanation]:
    names = [one.name for one in hub.eir.recipes]
    if recipe is not None and recipe not in names:
        raise InvalidValueError(f"--recipe: one of {', '.join(names)}")
    for name in names:
        version = hub.eir.version(study, name) if recipe in {None, name} else None
        if version is not None:
            yield hub.eir.explain(version)


def _told(found: Explanation) -> dict[str, Any]:
    version = found.version
    return {
        "recipe": version.recipe,
        "recipe_version": version.recipe_version,
        "recipe_sha256": version.recipe_digest,
        "version_id": version.version_id,
        "generation": version.generation,
        "created_at": version.created_at.isoformat(),
        "cause": version.cause,
        "renderer_version": version.renderer_version,
        "renderer_version_now": found.renderer_version,
        "inputs_sha256": version.inputs_sha256,
        "selection": version.selection,
        "reason": version.reason,
        "global_id": version.global_id,
        "reports": [{"report_id": one, "standing": how} for one, how in version.reports],
        "sources": [vars(one) for one in found.sources],
        "pictures": [
            {
                "picture_id": one.picture.picture_id,
                "kind": one.picture.kind.value,
                "sop_instance_uid": one.picture.sop_instance_uid,
                "frame_number": one.picture.frame_number,
                "steps": list(one.steps),
                "sha256": one.picture.sha256,
                "again_sha256": one.again_sha256,
                "compression_ratio": one.picture.compression_ratio,
                "ratio_ceiling": one.ratio_ceiling,
                "psnr_db": one.picture.psnr_db,
                "ssim": one.picture.ssim,
            }
            for one in found.pictures
        ],
        "findings": [{"kind": one.kind.value, "subject": one.subject} for one in found.findings],
        "proved": found.proved,
    }


def _words(found: Explanation) -> Iterator[str]:
    version = found.version
    yield f"{version.recipe}: version {version.version_id}, generation {version.generation}"
    yield f"  recipe {version.recipe} {version.recipe_version}, SHA-256 {version.recipe_digest}"
    yield f"  renderer {version.renderer_version}"
    yield f"  made because of {version.cause or 'StudyCompleted'} at {version.created_at:%F %T} UTC"
    yield f"  inputs: {len(found.sources)} instances, SHA-256 {version.inputs_sha256}"
    for source in found.sources:
        why = f"  not shown: {source.reason}" if source.reason else ""
        yield f"    {source.sop_instance_uid}  {source.dataset_sha256}{why}"
    if version.selection:
        yield f"  key pictures chosen by {version.selection}"
    if version.reason:
        yield f"  no pictures: {version.reason}"
    for report_id, standing in version.reports:
        yield f"  report {report_id} {standing}"
    yield from _pictures(found)
    for finding in found.findings:
        yield f"  DIFFERS: {finding.kind.value} {finding.subject}".rstrip()
    yield "  proved: made again to the same bytes" if found.proved else "  NOT PROVED"


def _pictures(found: Explanation) -> Iterator[str]:
    for one in found.pictures:
        picture = one.picture
        yield (
            f"  {picture.kind.value} {picture.sop_instance_uid} frame {picture.frame_number}: "
            f"SHA-256 {picture.sha256}, {'the same again' if one.proved else 'NOT the same again'}"
        )
        yield f"    {_figures(picture.compression_ratio, one.ratio_ceiling)}; " + _fidelity(
            picture.psnr_db, picture.ssim
        )
        for number, step in enumerate(one.steps, start=1):
            yield f"    {number}. {step}"


def _figures(ratio: float | None, ceiling: float | None) -> str:
    limit = "no ceiling" if ceiling is None else f"ceiling {ceiling:g}"
    return f"ratio {'-' if ratio is None else f'{ratio:.2f}'} ({limit})"


def _fidelity(psnr_db: float | None, ssim: float | None) -> str:
    if ssim is None:
        return "no figures"
    return f"PSNR {'lossless' if psnr_db is None else f'{psnr_db:.2f} dB'}, SSIM {ssim:.4f}"


def _report(shown: ShownReport) -> dict[str, Any]:
    report = shown.report
    return {
        "report_id": report.report_id,
        "standing": shown.standing.value,
        "status": report.status.value,
        "kind": report.kind,
        "issued_at": report.issued_at.isoformat() if report.issued_at else "",
        "received_at": report.received_at.isoformat(),
        "sha256": report.sha256,
    }


def _waiting(waiting: WaitingReport) -> dict[str, Any]:
    report = waiting.report
    return {
        "report_id": report.report_id,
        "waiting": report.waiting,
        "sender": report.sender,
        "accession_number": report.accession_number,
        "sites": " ".join(sorted(waiting.site_ids)),
        "status": report.status.value,
        "received_at": report.received_at.isoformat(),
    }
