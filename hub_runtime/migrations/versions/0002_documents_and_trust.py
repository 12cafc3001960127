"""Folders, versions and refused submissions of the registry; machine certificates; audit shipping."""

import hashlib
import json
from typing import Any

import sqlalchemy as sa
from alembic import op

import hub_kernel.database
from hub_kernel.append_only import append_only_statements

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

APPEND_ONLY = (
    "removed_object",
)

_SOME_ENTRIES = sa.text(
    "SELECT entry_uuid, content FROM document_entry WHERE entry_uuid > :last"
    " ORDER BY entry_uuid LIMIT 1000"
)
_CODES = sa.table(
    "document_code", sa.column("code_hash"), sa.column("moment"), sa.column("entry_uuid")
)


def upgrade() -> None:
    """Apply the change."""
    op.create_table('audit_cursor',
    sa.Column('destination', sa.String(length=200), nullable=False),
    sa.Column('sequence', sa.BigInteger(), nullable=False),
    sa.Column('shipped_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('held_by', sa.String(length=64), nullable=False),
    sa.Column('held_until', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('destination', name=op.f('pk_audit_cursor'))
    )
    op.create_table('document_code',
    sa.Column('code_hash', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('moment', sa.String(length=14), nullable=False),
    sa.Column('entry_uuid', sa.String(length=80), nullable=False),
    sa.PrimaryKeyConstraint('code_hash', 'moment', 'entry_uuid', name=op.f('pk_document_code'))
    )
    op.create_table('foreign_object',
    sa.Column('home_community_id', sa.String(length=72), nullable=False),
    sa.Column('unique_id', sa.String(length=128), nullable=False),
    sa.Column('linked_identifier', sa.String(length=256), nullable=False),
    sa.PrimaryKeyConstraint('home_community_id', 'unique_id', name=op.f('pk_foreign_object'))
    )
    op.create_table('machine_certificate',
    sa.Column('certificate_id', sa.String(length=36), nullable=False),
    sa.Column('fingerprint', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=128), nullable=False),
    sa.Column('subject_name', sa.String(length=400), nullable=False),
    sa.Column('roles', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('sites', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('created_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('expires_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('revoked_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('last_used_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('certificate_id', name=op.f('pk_machine_certificate')),
    sa.UniqueConstraint('fingerprint', name=op.f('uq_machine_certificate_fingerprint')),
    sa.UniqueConstraint('name', name=op.f('uq_machine_certificate_name'))
    )
    op.create_table('refused_submission',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('action', sa.String(length=120), nullable=False),
    sa.Column('received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('last_received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('times', sa.Integer(), nullable=False),
    sa.Column('address', sa.String(length=64), nullable=False),
    sa.Column('sender_name', sa.String(length=128), nullable=False),
    sa.Column('sender', sa.Text(), nullable=False),
    sa.Column('codes', sa.String(length=400), nullable=False),
    sa.Column('errors', sa.Text(), nullable=False),
    sa.Column('payload', sa.Text(), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('decided_by', sa.String(length=128), nullable=False),
    sa.Column('decided_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('decision', sa.String(length=400), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_refused_submission')),
    sa.UniqueConstraint('digest', name=op.f('uq_refused_submission_digest'))
    )
    with op.batch_alter_table('refused_submission', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_refused_submission_last_received_at'), ['last_received_at'], unique=False)
        batch_op.create_index('ix_refused_submission_status', ['status', 'id'], unique=False)

    op.create_table('removed_object',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('entry_uuid', sa.String(length=80), nullable=False),
    sa.Column('kind', sa.String(length=20), nullable=False),
    sa.Column('content', sa.Text(), nullable=False),
    sa.Column('removed_by', sa.String(length=255), nullable=False),
    sa.Column('removed_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_removed_object'))
    )
    with op.batch_alter_table('removed_object', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_removed_object_entry_uuid'), ['entry_uuid'], unique=False)

    op.create_table('repository_intake',
    sa.Column('storage_key', sa.String(length=120), nullable=False),
    sa.Column('begun_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('storage_key', name=op.f('pk_repository_intake'))
    )
    with op.batch_alter_table('repository_intake', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_repository_intake_begun_at'), ['begun_at'], unique=False)

    op.create_table('subscription',
    sa.Column('subscription_id', sa.String(length=36), nullable=False),
    sa.Column('subscriber_id', sa.String(length=128), nullable=False),
    sa.Column('consumer', sa.String(length=500), nullable=False),
    sa.Column('reference', sa.String(length=1000), nullable=False),
    sa.Column('topic', sa.String(length=40), nullable=False),
    sa.Column('query_id', sa.String(length=80), nullable=False),
    sa.Column('patient_id', sa.String(length=256), nullable=False),
    sa.Column('filters', sa.Text(), nullable=False),
    sa.Column('created_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('terminates_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('subscription_id', name=op.f('pk_subscription'))
    )
    with op.batch_alter_table('subscription', schema=None) as batch_op:
        batch_op.create_index('ix_subscription_patient', ['patient_id', 'terminates_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_subscription_subscriber_id'), ['subscriber_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_subscription_terminates_at'), ['terminates_at'], unique=False)

    op.create_table('subscription_consumer',
    sa.Column('address', sa.String(length=500), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('due_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('address', name=op.f('pk_subscription_consumer'))
    )
    op.create_table('used_assertion',
    sa.Column('assertion_hash', sa.String(length=64), nullable=False),
    sa.Column('used_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('forgotten_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('assertion_hash', name=op.f('pk_used_assertion'))
    )
    with op.batch_alter_table('used_assertion', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_used_assertion_forgotten_at'), ['forgotten_at'], unique=False)

    op.create_table('xds_folder',
    sa.Column('entry_uuid', sa.String(length=80), nullable=False),
    sa.Column('unique_id', sa.String(length=128), nullable=False),
    sa.Column('linked_identifier', sa.String(length=256), nullable=False),
    sa.Column('status', sa.String(length=80), nullable=False),
    sa.Column('logical_id', sa.String(length=80), nullable=False),
    sa.Column('version', sa.Integer(), nullable=False),
    sa.Column('last_update_time', sa.String(length=14), nullable=False),
    sa.Column('content', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('entry_uuid', name=op.f('pk_xds_folder')),
    sa.UniqueConstraint('unique_id', 'version', name=op.f('uq_xds_folder_unique_id_version'))
    )
    with op.batch_alter_table('xds_folder', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_xds_folder_logical_id'), ['logical_id'], unique=False)
        batch_op.create_index('ix_xds_folder_person', ['linked_identifier', 'status'], unique=False)

    op.create_table('listed_study',
    sa.Column('entry_uuid', sa.String(length=80), nullable=False),
    sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('repository_unique_id', sa.String(length=64), nullable=False),
    sa.Column('series_count', sa.Integer(), nullable=False),
    sa.Column('instance_count', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['entry_uuid'], ['document_entry.entry_uuid'], name=op.f('fk_listed_study_entry_uuid_document_entry')),
    sa.PrimaryKeyConstraint('entry_uuid', 'study_instance_uid', name=op.f('pk_listed_study'))
    )
    with op.batch_alter_table('listed_study', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_listed_study_study_instance_uid'), ['study_instance_uid'], unique=False)

    op.create_table('refused_document',
    sa.Column('submission_id', sa.Integer(), nullable=False),
    sa.Column('content_id', sa.String(length=512), nullable=False),
    sa.Column('storage_key', sa.String(length=120), nullable=False),
    sa.Column('media_type', sa.String(length=120), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('sha1', sa.String(length=40), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['submission_id'], ['refused_submission.id'], name=op.f('fk_refused_document_submission_id_refused_submission')),
    sa.PrimaryKeyConstraint('submission_id', 'content_id', name=op.f('pk_refused_document'))
    )
    with op.batch_alter_table('refused_document', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_refused_document_storage_key'), ['storage_key'], unique=False)

    op.create_table('subscription_notification',
    sa.Column('notification_id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('subscription_id', sa.String(length=36), nullable=False),
    sa.Column('submission_set_uuid', sa.String(length=80), nullable=False),
    sa.Column('consumer', sa.String(length=500), nullable=False),
    sa.Column('items', sa.Text(), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('occurred_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('reason', sa.String(length=200), nullable=False),
    sa.ForeignKeyConstraint(['subscription_id'], ['subscription.subscription_id'], name=op.f('fk_subscription_notification_subscription_id_subscription')),
    sa.PrimaryKeyConstraint('notification_id', name=op.f('pk_subscription_notification')),
    sa.UniqueConstraint('subscription_id', 'submission_set_uuid', name=op.f('uq_subscription_notification_subscription_id_submission_set_uuid'))
    )
    with op.batch_alter_table('subscription_notification', schema=None) as batch_op:
        batch_op.create_index('ix_subscription_notification_consumer', ['state', 'consumer', 'notification_id'], unique=False)

    # Columns with a default are added in place; a copy of the table would break what refers to it.
    with op.batch_alter_table('document_entry', schema=None) as batch_op:
        batch_op.add_column(sa.Column('occurrence', sa.Integer(), nullable=False, server_default='0'))
        batch_op.add_column(sa.Column('logical_id', sa.String(length=80), nullable=False, server_default=''))
        batch_op.add_column(sa.Column('version', sa.Integer(), nullable=False, server_default='1'))

    _number_entries(op.get_bind())
    with op.batch_alter_table('document_entry', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_document_entry_unique_id'))
        batch_op.create_index(batch_op.f('ix_document_entry_logical_id'), ['logical_id'], unique=False)
        batch_op.create_index('uq_document_entry_unique_id_occurrence', ['unique_id', 'occurrence'], unique=True)

    with op.batch_alter_table('repository_document', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_repository_document_storage_key'), ['storage_key'], unique=False)

    for statement in append_only_statements(APPEND_ONLY, op.get_bind().dialect.name):
        op.get_bind().exec_driver_sql(statement)


def _number_entries(connection: sa.Connection) -> None:
    """Make what was registered before its own first version, and index its codes."""
    connection.exec_driver_sql(
        "UPDATE document_entry SET logical_id = entry_uuid, occurrence = ("
        "SELECT COUNT(*) FROM document_entry AS other WHERE"
        " other.unique_id = document_entry.unique_id"
        " AND other.entry_uuid < document_entry.entry_uuid)"
    )
    last = ""
    while rows := connection.execute(_SOME_ENTRIES, {"last": last}).all():
        found = [row for uuid, content in rows for row in _code_rows(uuid, json.loads(content))]
        connection.execute(_CODES.insert(), found)
        last = rows[-1][0]


def _code_rows(uuid: str, entry: dict[str, Any]) -> list[dict[str, Any]]:
    codes = [
        ("class", entry["class_code"]),
        ("facility", entry["healthcare_facility_type_code"]),
        *(("event", code) for code in entry["event_codes"]),
    ]
    moment = (entry["creation_time"] + "00000101000000"[len(entry["creation_time"]) :])[:14]
    numbers = {
        hashlib.blake2b(f"{kind} {code['code']}^^{code['scheme']}".encode(), digest_size=8).digest()
        for kind, code in codes
    }
    return [
        {
            "code_hash": int.from_bytes(number, "big", signed=True),
            "moment": moment,
            "entry_uuid": uuid,
        }
        for number in numbers
    ]


def downgrade() -> None:
    """Take the change back."""
    with op.batch_alter_table('repository_document', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_repository_document_storage_key'))

    with op.batch_alter_table('document_entry', schema=None) as batch_op:
        batch_op.drop_index('uq_document_entry_unique_id_occurrence')
        batch_op.drop_index(batch_op.f('ix_document_entry_logical_id'))
        batch_op.create_index(batch_op.f('ix_document_entry_unique_id'), ['unique_id'], unique=False)
        batch_op.drop_column('version')
        batch_op.drop_column('logical_id')
        batch_op.drop_column('occurrence')

    with op.batch_alter_table('subscription_notification', schema=None) as batch_op:
        batch_op.drop_index('ix_subscription_notification_consumer')

    op.drop_table('subscription_notification')
    with op.batch_alter_table('refused_document', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_refused_document_storage_key'))

    op.drop_table('refused_document')
    with op.batch_alter_table('listed_study', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_listed_study_study_instance_uid'))

    op.drop_table('listed_study')
    with op.batch_alter_table('xds_folder', schema=None) as batch_op:
        batch_op.drop_index('ix_xds_folder_person')
        batch_op.drop_index(batch_op.f('ix_xds_folder_logical_id'))

    op.drop_table('xds_folder')
    with op.batch_alter_table('used_assertion', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_used_assertion_forgotten_at'))

    op.drop_table('used_assertion')
    op.drop_table('subscription_consumer')
    with op.batch_alter_table('subscription', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_subscription_terminates_at'))
        batch_op.drop_index(batch_op.f('ix_subscription_subscriber_id'))
        batch_op.drop_index('ix_subscription_patient')

    op.drop_table('subscription')
    with op.batch_alter_table('repository_intake', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_repository_intake_begun_at'))

    op.drop_table('repository_intake')
    with op.batch_alter_table('removed_object', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_removed_object_entry_uuid'))

    op.drop_table('removed_object')
    with op.batch_alter_table('refused_submission', schema=None) as batch_op:
        batch_op.drop_index('ix_refused_submission_status')
        batch_op.drop_index(batch_op.f('ix_refused_submission_last_received_at'))

    op.drop_table('refused_submission')
    op.drop_table('machine_certificate')
    op.drop_table('foreign_object')
    op.drop_table('document_code')
    op.drop_table('audit_cursor')
