"""Bring a database to the schema this version of the hub works with, by Alembic migrations."""

from pathlib import Path
from types import ModuleType

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import access_control.tables
import access_control.tables_consent
import access_control.tables_trust
import dicom_router.forwarding.tables
import dicom_router.tables
import edge_gateway.tables
import eir_versions.deidentification.tables
import eir_versions.tables
import hub_kernel.leases
import hub_kernel.outbox_tables
import image_archive.tables
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

# Importing a module of tables is what puts them into the metadata.
TABLES: tuple[ModuleType, ...] = (
    hub_kernel.outbox_tables,
    hub_kernel.leases,
    access_control.tables,
    access_control.tables_consent,
    access_control.tables_trust,
    image_archive.tables,
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
    eir_versions.tables,
    edge_gateway.tables,
    dicom_router.forwarding.tables,
    dicom_router.tables,
)
METADATA = Base.metadata
_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(database: Database, revision: str = "head") -> str:
    """Apply the migrations that are missing up to `revision`; return the newest there is.

    Repeating it is harmless.

    Raises:
        ConfigurationError: the database belongs to a newer version of the hub.
    """
    config = _config()
    with database.engine.connect() as connection:
        _refuse_newer(MigrationContext.configure(connection).get_current_revision())
        connection.rollback()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.commit()
    return head()


def head() -> str:
    """Return the revision that this version of the hub works with."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision, "the hub ships with at least one migration"  # noqa: S101
    return revision


def is_current(database: Database) -> bool:
    """Say whether every migration this version knows has been applied."""
    return revision_of(database) == head()


def revision_of(database: Database) -> str | None:
    """Return the revision of a database; None for one without tables."""
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def differences(database: Database) -> list[object]:
    """Return what a migrated `database` lacks compared with the models; empty when they agree."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
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


def _refuse_newer(current: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise ConfigurationError(
            f"the database is at revision {current}, which this version does not know; "
            "start the version of the hub that last used it, or a newer one"
        )
