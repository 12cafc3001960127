"""`eirhub registry`: prove that archive, index, manifests, entries, renditions, reports agree."""

import sys
from collections.abc import Iterator
from dataclasses import asdict

import click
from sqlalchemy import FromClause, Select, func, literal, select

from eir_versions.tables import EirVersionPictureRow, EirVersionRow
from hub_kernel.database import Base, Database
from hub_kernel.settings import Settings
from hub_runtime.bootstrap import opened_hub
from hub_runtime.hub import Hub
from hub_runtime.options import Progress, answer, json_option, with_settings
from xds_registry.errors import DocumentCorruptError
from xds_registry.tables import DocumentEntryRow
from xds_registry.verification import LedgerPicture, RegistryVerification, VerifiedParts
from xds_registry.verification_findings import Drift, RegistryReport
from xds_registry.verification_repair import register_again

_PICTURES_PER_QUERY = 500
_STUDIES_PER_QUERY = 500


@click.group()
def registry() -> None:
    """The registry of documents."""


@registry.command("verify")
@click.option(
    "--repair",
    is_flag=True,
    help="Have manifests, versions and reports registered once more as they stand.",
)
@json_option
@with_settings
def verify_registry(settings: Settings, *, repair: bool, as_json: bool) -> None:
    """Compare archive, index, manifests, entries, versions, reports; exit 1 and name each drift."""
    progress = Progress("verifying")
    with opened_hub(settings) as hub:
        parts = verified_parts(hub)
        report = RegistryVerification(parts, progress).run()
        again = register_again(parts, report.drifts) if repair else 0
    progress.close()
    found = {"drifts": [_as_data(drift) for drift in report.drifts], "registered_again": again}
    counts = {
        name: getattr(report, name)
        for name in ("studies", "entries", "documents", "pictures", "waiting")
    }
    answer(counts | found, "\n".join(_words(report, again)), as_json=as_json)
    sys.exit(1 if report.drifts else 0)


@registry.command("register-versions")
@json_option
@with_settings
def register_versions(settings: Settings, *, as_json: bool) -> None:
    """Register the versions in force that are not; beside a running hub, and again any time.

    For the studies of a hub that had `registry.version_documents` off; without this they follow
    when something about them changes.
    """
    if not settings.registry.version_documents:
        raise click.UsageError("registry.version_documents is off: no version is registered")
    progress = Progress("registering")
    studies, versions, lost = 0, 0, []
    with opened_hub(settings) as hub:
        total = _count(hub.database, _unregistered().subquery())
        for uid in _studies_unregistered(hub.database):
            try:
                versions += hub.registry.versions.register(uid)
            except DocumentCorruptError as error:
                lost.append(f"study {uid}: {error}")
            studies += 1
            progress(studies, max(studies, total))
    progress.close()
    words = [f"{versions} versions registered; {studies} studies had some that were not", *lost]
    found = {"studies": studies, "versions": versions, "lost": lost}
    answer(found, "\n".join(words), as_json=as_json)
    sys.exit(1 if lost else 0)


@registry.group("notifications")
def notifications() -> None:
    """What subscribers are still to be told."""


@notifications.command("list")
@json_option
@with_settings
def list_notifications(settings: Settings, *, as_json: bool) -> None:
    """Name every consumer that is owed something: how much waits, how much is parked, and why."""
    with opened_hub(settings) as hub:
        waiting = hub.registry.broker.waiting()
    lines = [
        f"{one.address}: {one.parked} parked, {one.pending} waiting since "
        f"{one.oldest_at:%Y-%m-%d %H:%M} UTC; {one.reason or 'not tried yet'}"
        for one in waiting
    ]
    found = {"consumers": [asdict(one) for one in waiting]}
    answer(found, "\n".join(lines) or "nobody waits for a notification", as_json=as_json)


@notifications.command("retry")
@click.argument("consumer", required=False)
@click.option("--all", "everybody", is_flag=True, help="Every consumer with parked notifications.")
@json_option
@with_settings
def retry_notifications(
    settings: Settings, consumer: str | None, *, everybody: bool, as_json: bool
) -> None:
    """Send again what was parked for CONSUMER, an address that `list` names; the hub sends it."""
    if everybody == bool(consumer):
        raise click.UsageError("name one consumer, or --all")
    with opened_hub(settings) as hub:
        broker = hub.registry.broker
        named = [consumer] if consumer else [one.address for one in broker.waiting() if one.parked]
        again = sum(map(broker.retry_parked, named))
    answer({"owed_again": again}, f"{again} notifications are owed again", as_json=as_json)


def verified_parts(hub: Hub) -> VerifiedParts:
    """Return what of `hub` is compared with each other."""
    versions = hub.registry.versions if hub.settings.registry.version_documents else None
    return VerifiedParts(
        hub.database,
        hub.base.backend,
        hub.index,
        hub.settings.registry.repository_unique_id,
        lambda: _pictures(hub.database),
        lambda: _count(hub.database, EirVersionPictureRow),
        hub.registry.reports,
        versions.standing if versions else None,
    )


def _as_data(drift: Drift) -> dict[str, str]:
    return {
        "kind": str(drift.kind),
        "subject": drift.subject,
        "what": drift.what,
        "remedy": drift.remedy,
    }


def _words(report: RegistryReport, again: int) -> Iterator[str]:
    yield (
        f"{report.studies} studies, {report.entries} entries, {report.documents} documents and "
        f"{report.pictures} pictures compared, {len(report.drifts)} drifts"
    )
    if report.waiting:
        owed = "a manifest, a version or a report; the task engine owes it"
        yield f"{report.waiting} studies wait for {owed}"
    yield from (f"  {drift.what}: {drift.remedy}" for drift in report.drifts)
    if again:
        yield f"{again} studies will be registered by the running hub; verify again afterwards"


def _unregistered() -> Select[str]:
    """Select the studies with a version in force that could be registered and is not."""
    row = EirVersionRow
    entry = select(DocumentEntryRow.entry_uuid).where(
        DocumentEntryRow.entry_uuid == literal("urn:uuid:") + row.version_id
    )
    standing = select(row.study_instance_uid).where(row.superseded_at.is_(None))
    return standing.where(row.document_key != "", ~entry.exists()).distinct()


def _studies_unregistered(database: Database) -> Iterator[str]:
    uid, last = EirVersionRow.study_instance_uid, ""
    while True:
        page = _unregistered().where(uid > last).order_by(uid).limit(_STUDIES_PER_QUERY)
        with database.read() as session:
            found = session.scalars(page).all()
        if not found:
            return
        yield from found
        last = found[-1]


def _count(database: Database, rows: FromClause | type[Base]) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(rows)) or 0


def _pictures(database: Database) -> Iterator[LedgerPicture]:
    last = ""
    row = EirVersionPictureRow
    while True:
        page = (
            select(row.picture_id, row.storage_key, row.sha256)
            .where(row.picture_id > last)
            .order_by(row.picture_id)
            .limit(_PICTURES_PER_QUERY)
        )
        with database.read() as session:
            found = session.execute(page).all()
        if not found:
            return
        yield from (LedgerPicture(*one) for one in found)
        last = found[-1].picture_id
