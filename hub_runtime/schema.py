"""Bring a database to the schema this version of the hub works with, by Alembic migrations."""

import logging
from pathlib import Path
from types import ModuleType

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import access_control.tables
import access_control.tables_break_glass
import access_control.tables_consent
import access_control.tables_holds
import access_control.tables_trust
import dicom_router.forwarding.tables
import dicom_router.tables
import edge_gateway.tables
import eir_versions.deidentification.tables
import eir_versions.reports.tables
import eir_versions.tables
import hub_kernel.leases
import hub_kernel.outbox_tables
import image_archive.tables
import image_archive.tables_deletion
import image_archive.tables_holdings
import image_archive.tables_tiers
import patient_index.hl7v2.tables
import patient_index.tables
import patient_index.tables_feed
import xds_registry.tables
import xds_registry.tables_codes
import xds_registry.tables_gateways
import xds_registry.tables_imaging
import xds_registry.tables_refused
import xds_registry.tables_removed
import xds_registry.tables_repository
import xds_registry.tables_subscriptions
from hub_kernel.database import Base, Database
from hub_kernel.errors import ConfigurationError
from hub_kernel.named_locks import held_alone
from hub_runtime.schema_steps import is_not_of_steps, note_steps, require_expanded_only

log = logging.getLogger(__name__)

# Importing a module of tables is what puts them into the metadata.
TABLES: tuple[ModuleType, ...] = (
    hub_kernel.outbox_tables,
    hub_kernel.leases,
    access_control.tables,
    access_control.tables_consent,
    access_control.tables_trust,
    image_archive.tables,
    image_archive.tables_tiers,
    patient_index.tables,
    patient_index.tables_feed,
    patient_index.hl7v2.tables,
    xds_registry.tables,
    xds_registry.tables_codes,
    xds_registry.tables_gateways,
    xds_registry.tables_imaging,
    xds_registry.tables_refused,
    xds_registry.tables_removed,
    xds_registry.tables_repository,
    xds_registry.tables_subscriptions,
    eir_versions.reports.tables,
    eir_versions.tables,
    edge_gateway.tables,
    dicom_router.forwarding.tables,
    dicom_router.tables,
)
METADATA = Base.metadata
_MIGRATIONS = Path(__file__).parent / "migrations"
_PATIENCE_S = 600.0


def upgrade(database: Database, revision: str = "head") -> str:
    """Apply the migrations that are missing up to `revision`; return where the database is then.

    Repeating it is harmless, and of several processes that begin at once one applies them. A
    database that a newer version of the hub has only expanded is left as it is, and used.

    Raises:
        ConfigurationError: the database belongs to a newer version of the hub, and not only by
            what was added.
    """
    if revision == "head" and is_current(database):
        return head()  # nobody waits for anybody when a hub of many processes starts
    with held_alone(database, "schema", patience_s=_PATIENCE_S) as held:
        if not held:
            raise ConfigurationError("another process is still changing the database's schema")
        with database.writing() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
            if _is_newer(current):
                require_expanded_only(connection, current, head())
                log.warning("the database is newer than this hub", extra={"revision": current})
                return str(current)
            connection.rollback()
            # Before: a migration may commit on its way, and older hubs that start meanwhile look.
            note_steps(connection, _scripts().walk_revisions())
            connection.commit()
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()
    return head()


def head() -> str:
    """Return the revision that this version of the hub works with."""
    revision = _scripts().get_current_head()
    assert revision, "the hub ships with at least one migration"  # noqa: S101
    return revision


def is_known(revision: str) -> bool:
    """Say whether `revision` is one that this version of the hub knows."""
    return not _is_newer(revision)


def is_past(database: Database, revision: str) -> bool:
    """Say whether the database has been brought farther than to `revision`, one that is known."""
    current = revision_of(database)
    if current is None or current == revision:
        return False
    return _is_newer(current) or any(
        script.revision == revision for script in _scripts().iterate_revisions(current, "base")
    )


def is_current(database: Database) -> bool:
    """Say whether every migration this version knows has been applied, and no other."""
    return revision_of(database) == head()


def revision_of(database: Database) -> str | None:
    """Return the revision the database is at; None for one without a hub's tables."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def differences(database: Database) -> list[object]:
    """Return what a migrated `database` lacks compared with the models; empty when they agree."""
    with database.engine.connect() as connection:
        options = {"compare_type": False, "include_name": is_not_of_steps}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, METADATA))


def new_migration(database: Database, message: str, revision: str) -> None:
    """Write the migration that turns `database`'s schema into the models' (for developers)."""
    config = _config()
    with database.engine.connect() as connection:
        config.attributes["connection"] = connection
        command.revision(config, message, autogenerate=True, rev_id=revision)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _is_newer(current: str | None) -> bool:
    known = {script.revision for script in _scripts().walk_revisions()}
    return current is not None and current not in known
