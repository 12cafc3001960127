"""`eirhub archive retention` and `deleted`: what is past its term, and what stays of what went."""

from typing import Any

import click
from sqlalchemy import select

from hub_kernel.errors import InvalidValueError
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.hub import Hub
from hub_runtime.options import Progress, answer, json_option, with_settings
from hub_runtime.retention.deleting import Deleted, StudyDeletion
from hub_runtime.retention.planning import RetentionPlan, retention_plan
from image_archive.deletion import Reasons
from image_archive.tables_deletion import DELETED_INSTANCE, DELETED_STUDY


@click.command("retention")
@click.option("--site", "site_id", help="Of this site alone.")
@click.option("--delete", "deleting", is_flag=True, help="Delete them for good, after asking.")
@click.option("--confirm", type=int, help="How many studies go, instead of being asked.")
@click.option("--by", default="", help="Who deletes.")
@click.option("--reason", default="", help="Why; no names, no numbers.")
@json_option
@with_settings
def retention(
    settings: Settings, site_id: str | None, *, deleting: bool, as_json: bool, **said: Any
) -> None:
    """List the studies past their term (`[retention]`), by site and year; delete them on demand.

    Without --delete nothing is changed. With it, whoever deletes types how many studies go, or
    names the number by --confirm; another number than the one counted now deletes nothing.
    Studies under a legal hold are kept. Safe beside a running hub, and safe to interrupt.
    """
    with opened_hub(settings) as hub:
        plan = retention_plan(hub, site_id)
        told = _told(plan)
        if not deleting:
            answer(told, "\n".join(_lines(hub, plan)), as_json=as_json)
            return
        reasons = _reasons(said["by"], said["reason"])
        if not as_json:
            click.echo("\n".join(_lines(hub, plan)))
        _require_confirmed(plan, said["confirm"])
        progress = Progress("deleting")
        done = StudyDeletion(hub).run(plan.due, reasons, progress)
        progress.close()
    answer(told | {"deleted": _told_done(done)}, _words(done), as_json=as_json)


@click.command("deleted")
@click.argument("study_instance_uid", required=False)
@click.option("--limit", default=100, show_default=True)
@json_option
@with_settings
def deleted(
    settings: Settings, study_instance_uid: str | None, *, limit: int, as_json: bool
) -> None:
    """List what was deleted for good, the latest first; of one study also the hashes."""
    with opened_hub(settings) as hub:
        studies = _deleted(hub, study_instance_uid, limit)
    lines = [
        f"{one['deleted_at']:%Y-%m-%d %H:%M}  {one['study_instance_uid']}  {one['site_id']:12} "
        f"{one['instances']:6} instances  by {one['deleted_by']}: {one['reason']}"
        + ("" if one["finished_at"] else "  (bytes are still to go)")
        for one in studies
    ]
    lines += [
        f"  {each['sop_instance_uid']} sha256:{each['dataset_sha256']}"
        for one in studies
        for each in one.get("hashes", ())
    ]
    answer(studies, "\n".join(lines) or "nothing was ever deleted", as_json=as_json)


def _reasons(by: str, reason: str) -> Reasons:
    if not by.strip() or not reason.strip():
        raise InvalidValueError("--delete needs --by and --reason: they stay on record")
    return Reasons(f"cli:{by.strip()}"[:128], reason.strip()[:400])


def _require_confirmed(plan: RetentionPlan, confirmed: int | None) -> None:
    """Return when a person has said how many studies go.

    Raises:
        InvalidValueError: that is not how many there are.
    """
    count = plan.total.studies
    if confirmed is None and count:
        confirmed = click.prompt(
            f"Type how many studies are deleted for good ({count}), or 0 for none",
            type=int,
            err=True,
        )
    if count and confirmed != count:
        raise InvalidValueError(f"{count} studies are past their term, {confirmed} were confirmed")


def _told(plan: RetentionPlan) -> dict[str, Any]:
    return {
        **vars(plan.total),
        "by_site_and_year": [
            {"site_id": site_id, "year": year, **vars(amount)}
            for (site_id, year), amount in plan.by_site_and_year().items()
        ],
        "kept": {reason.name.lower(): count for reason, count in plan.kept.items()},
    }


def _lines(hub: Hub, plan: RetentionPlan) -> list[str]:
    wanted = hub.settings.retention
    if not wanted.years and not any(rule.years for rule in wanted.rules):
        return ["everything is kept for ever: [retention] names no years"]
    lines = [
        f"{site_id:12} {year}  {amount.studies:6} studies {amount.instances:8} instances "
        f"{amount.dataset_bytes:14} bytes"
        for (site_id, year), amount in plan.by_site_and_year().items()
    ]
    total = plan.total
    lines.append(
        f"{total.studies} studies of {total.instances} instances, {total.dataset_bytes} bytes are "
        "past their term"
    )
    lines += [f"  kept all the same, {reason}: {count}" for reason, count in plan.kept.items()]
    return lines


def _told_done(done: Deleted) -> dict[str, Any]:
    return {**vars(done.amount), "objects": done.objects, "kept": done.kept}


def _words(done: Deleted) -> str:
    amount = done.amount
    words = (
        f"{amount.studies} studies of {amount.instances} instances, {amount.dataset_bytes} bytes "
        f"deleted for good; {done.objects} objects removed"
    )
    return words + "".join(f"\n  kept after all: {uid}" for uid in done.kept)


def _deleted(hub: Hub, study_instance_uid: str | None, limit: int) -> list[dict[str, Any]]:
    wanted = select(DELETED_STUDY).order_by(DELETED_STUDY.c.id.desc()).limit(limit)
    if study_instance_uid:
        wanted = wanted.where(DELETED_STUDY.c.study_instance_uid == study_instance_uid)
    with hub.database.read() as session:
        studies: list[dict[str, Any]] = [dict(row) for row in session.execute(wanted).mappings()]
        if study_instance_uid:
            for one in studies:
                hashes = select(DELETED_INSTANCE).where(
                    DELETED_INSTANCE.c.deleted_study_id == one["id"]
                )
                one["hashes"] = [dict(row) for row in session.execute(hashes).mappings()]
    return studies
