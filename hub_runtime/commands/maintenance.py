"""`eirhub db`, `archive`, `audit`: bring up to date, and prove that nothing has changed."""

import sys

import click

from hub_kernel.database import Database
from hub_kernel.settings import Settings
from hub_runtime import schema
from hub_runtime.bootstrap import build_hub, opened_hub
from hub_runtime.commands.compact import compact
from hub_runtime.commands.conflicts import conflicts
from hub_runtime.commands.repair import repair_archive
from hub_runtime.commands.retention import deleted, retention
from hub_runtime.commands.tier import recall, tier
from hub_runtime.database_copy import copy_database
from hub_runtime.options import Progress, answer, json_option, with_settings


@click.group()
def db() -> None:
    """The database schema."""


@db.command()
@with_settings
def upgrade(settings: Settings) -> None:
    """Apply every migration that is missing."""
    hub = build_hub(settings)
    click.echo(f"the database is at revision {schema.upgrade(hub.database)}")
    hub.close()


@db.command("copy")
@click.argument("url", envvar="EIRHUB_COPY_TO")
@json_option
@with_settings
def copy_rows(settings: Settings, url: str, *, as_json: bool) -> None:
    """Copy every row into the empty database at URL, and read all of them back.

    Stop the hub first. URL is as `database.url`; so that its password is in no list of
    processes, give it in the variable EIRHUB_COPY_TO. The archive, secrets and settings stay where
    they are: set `database.url` afterwards and start the hub.
    """
    hub, progress = build_hub(settings), Progress("copying")
    target = Database(url)
    try:
        copied = copy_database(hub.database, target, progress)
    finally:
        progress.close()
        target.dispose()
        hub.close()
    words = f"{sum(one.rows for one in copied)} rows of {len(copied)} tables copied and read back"
    answer([vars(one) for one in copied], f"{words}; now set database.url", as_json=as_json)


@click.group()
def archive() -> None:
    """The central archive."""


archive.add_command(conflicts)
archive.add_command(compact)
archive.add_command(tier)
archive.add_command(repair_archive)
archive.add_command(recall)
archive.add_command(retention)
archive.add_command(deleted)


@archive.command("verify")
@json_option
@with_settings
def verify_archive(settings: Settings, *, as_json: bool) -> None:
    """Read every stored instance again and compare its hash; exit 1 if one differs."""
    progress = Progress("verifying")
    with opened_hub(settings) as hub:
        report = hub.archive.verify(progress)
    progress.close()
    damaged = [
        {"sop_instance_uid": b.sop_instance_uid, "fault": str(b.condition)} for b in report.broken
    ]
    words = [f"{report.checked} instances read, {len(damaged)} damaged"]
    words += [f"  {d['sop_instance_uid']}: {d['fault']}" for d in damaged]
    answer({"checked": report.checked, "damaged": damaged}, "\n".join(words), as_json=as_json)
    sys.exit(1 if damaged else 0)


@click.group()
def audit() -> None:
    """The audit trail."""


@audit.command("verify")
@json_option
@with_settings
def verify_audit(settings: Settings, *, as_json: bool) -> None:
    """Follow the chain from its first record; exit 1 and name the first bad one if it is broken."""
    progress = Progress("verifying")
    with opened_hub(settings) as hub:
        found = hub.access.audit.verify(progress)
    progress.close()
    words = (
        f"{found.count} records, the chain is whole"
        if found.ok
        else f"the chain breaks at record {found.first_bad_id}: {found.reason}"
    )
    result = {"ok": found.ok, "count": found.count, "first_bad_id": found.first_bad_id}
    answer(result | {"reason": found.reason}, words, as_json=as_json)
    sys.exit(0 if found.ok else 1)
