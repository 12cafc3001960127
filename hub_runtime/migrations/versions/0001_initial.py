"""The tables of version 0.1."""

import sqlalchemy as sa
from alembic import op

import hub_kernel.database
from hub_kernel.append_only import append_only_statements

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = (
    "audit_record",
    "consent_entry",
    "consent_identifier",
    "global_person",
    "patient_identifier",
    "observed_demographics",
    "identity_number",
    "identity_evidence",
    "link_log",
    "link_review",
    "statement_detail",
    "stated_phone",
    "claimed_identifier",
    "person_relation",
    "link_decision",
    "link_step",
    "link_review_evidence",
    "link_review_answer",
)


def upgrade() -> None:
    """Apply the change."""
    op.create_table('audit_head',
    sa.Column('head_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('sequence', sa.BigInteger(), nullable=False),
    sa.Column('mac', sa.String(length=64), nullable=False),
    sa.Column('head_mac', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('head_id', name=op.f('pk_audit_head'))
    )
    op.create_table('audit_record',
    sa.Column('sequence', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('recorded_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('action', sa.String(length=64), nullable=False),
    sa.Column('outcome', sa.String(length=16), nullable=False),
    sa.Column('subject_kind', sa.String(length=16), nullable=False),
    sa.Column('subject_id', sa.String(length=128), nullable=False),
    sa.Column('resource_kind', sa.String(length=32), nullable=False),
    sa.Column('resource_id', sa.String(length=256), nullable=False),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('mac', sa.String(length=64), nullable=False),
    sa.PrimaryKeyConstraint('sequence', name=op.f('pk_audit_record'))
    )
    with op.batch_alter_table('audit_record', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_audit_record_action'), ['action'], unique=False)
        batch_op.create_index(batch_op.f('ix_audit_record_recorded_at'), ['recorded_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_audit_record_resource_id_audit_record_sequence'), ['resource_id', 'sequence'], unique=False)
        batch_op.create_index(batch_op.f('ix_audit_record_subject_kind_audit_record_subject_id_audit_record_sequence'), ['subject_kind', 'subject_id', 'sequence'], unique=False)

    op.create_table('consent_entry',
    sa.Column('entry_id', sa.Integer(), nullable=False),
    sa.Column('global_id', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('scope', sa.String(length=80), nullable=False),
    sa.Column('reason', sa.String(length=400), nullable=False),
    sa.Column('recorded_by', sa.String(length=128), nullable=False),
    sa.Column('recorded_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('entry_id', name=op.f('pk_consent_entry'))
    )
    with op.batch_alter_table('consent_entry', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_consent_entry_global_id'), ['global_id'], unique=False)

    op.create_table('document_entry',
    sa.Column('entry_uuid', sa.String(length=80), nullable=False),
    sa.Column('unique_id', sa.String(length=128), nullable=False),
    sa.Column('linked_identifier', sa.String(length=256), nullable=False),
    sa.Column('status', sa.String(length=80), nullable=False),
    sa.Column('document_type', sa.String(length=80), nullable=False),
    sa.Column('content', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('entry_uuid', name=op.f('pk_document_entry'))
    )
    with op.batch_alter_table('document_entry', schema=None) as batch_op:
        batch_op.create_index('ix_document_entry_person', ['linked_identifier', 'status'], unique=False)
        batch_op.create_index(batch_op.f('ix_document_entry_unique_id'), ['unique_id'], unique=False)

    op.create_table('eir_version',
    sa.Column('version_id', sa.String(length=36), nullable=False),
    sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('recipe', sa.String(length=32), nullable=False),
    sa.Column('recipe_version', sa.Integer(), nullable=False),
    sa.Column('recipe_digest', sa.String(length=64), nullable=False),
    sa.Column('renderer_version', sa.String(length=200), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('inputs_sha256', sa.String(length=64), nullable=False),
    sa.Column('reason', sa.String(length=40), nullable=False),
    sa.Column('source_count', sa.Integer(), nullable=False),
    sa.Column('skipped_count', sa.Integer(), nullable=False),
    sa.Column('created_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('superseded_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('version_id', name=op.f('pk_eir_version'))
    )
    with op.batch_alter_table('eir_version', schema=None) as batch_op:
        batch_op.create_index('ix_eir_version_history', ['study_instance_uid', 'recipe', 'generation'], unique=False)
        batch_op.create_index('uq_eir_version_current', ['study_instance_uid', 'recipe'], unique=True, sqlite_where=sa.text('superseded_at IS NULL'), postgresql_where=sa.text('superseded_at IS NULL'))

    op.create_table('feed_message',
    sa.Column('message_key', sa.String(length=128).with_variant(sa.String(length=128, collation='C'), 'postgresql'), nullable=False),
    sa.Column('outcome', sa.Text(), nullable=False),
    sa.Column('received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('message_key', name=op.f('pk_feed_message'))
    )
    with op.batch_alter_table('feed_message', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_feed_message_received_at'), ['received_at'], unique=False)

    op.create_table('global_person',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('global_id', sa.String(length=64), nullable=False),
    sa.Column('issued_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_global_person')),
    sa.UniqueConstraint('global_id', name=op.f('uq_global_person_global_id'))
    )
    op.create_table('hl7_refusal',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('last_received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('times', sa.Integer(), nullable=False),
    sa.Column('address', sa.String(length=64), nullable=False),
    sa.Column('sender', sa.String(length=128), nullable=False),
    sa.Column('message_type', sa.String(length=32), nullable=False),
    sa.Column('control_id', sa.String(length=200), nullable=False),
    sa.Column('raw', sa.LargeBinary(), nullable=False),
    sa.Column('size', sa.Integer(), nullable=False),
    sa.Column('rule', sa.String(length=32), nullable=False),
    sa.Column('code', sa.Integer(), nullable=False),
    sa.Column('place', sa.String(length=64), nullable=False),
    sa.Column('english', sa.String(length=1000), nullable=False),
    sa.Column('chinese', sa.String(length=1000), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('decided_by', sa.String(length=128), nullable=False),
    sa.Column('decided_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('decision', sa.String(length=400), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_hl7_refusal')),
    sa.UniqueConstraint('digest', name=op.f('uq_hl7_refusal_digest'))
    )
    with op.batch_alter_table('hl7_refusal', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_hl7_refusal_status_hl7_refusal_size'), ['status', 'size'], unique=False)

    op.create_table('identity_number',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('value', sa.String(length=64).with_variant(sa.String(length=64, collation='C'), 'postgresql'), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_number')),
    sa.UniqueConstraint('value', 'kind', name=op.f('uq_identity_number_value_kind'))
    )
    op.create_table('machine_token',
    sa.Column('token_id', sa.String(length=36), nullable=False),
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=128), nullable=False),
    sa.Column('roles', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('sites', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('created_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('expires_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('revoked_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('last_used_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('token_id', name=op.f('pk_machine_token')),
    sa.UniqueConstraint('name', name=op.f('uq_machine_token_name')),
    sa.UniqueConstraint('token_hash', name=op.f('uq_machine_token_token_hash'))
    )
    op.create_table('match_key',
    sa.Column('key', sa.BigInteger(), autoincrement=False, nullable=False),
    sa.Column('identifier_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.PrimaryKeyConstraint('key', 'identifier_id', name=op.f('pk_match_key')),
    sqlite_with_rowid=False
    )
    op.create_table('outbox_event',
    sa.Column('event_id', sa.String(length=36), nullable=False),
    sa.Column('kind', sa.String(length=40), nullable=False),
    sa.Column('payload', sa.Text(), nullable=False),
    sa.Column('occurred_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('event_id', name=op.f('pk_outbox_event'))
    )
    with op.batch_alter_table('outbox_event', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_outbox_event_occurred_at'), ['occurred_at'], unique=False)

    op.create_table('patient_identifier',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('value', sa.String(length=64).with_variant(sa.String(length=64, collation='C'), 'postgresql'), nullable=False),
    sa.Column('issuer_oid', sa.String(length=64), nullable=False),
    sa.Column('issuer_namespace', sa.String(length=64), nullable=False),
    sa.Column('registered_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_patient_identifier')),
    sa.UniqueConstraint('value', 'issuer_oid', name=op.f('uq_patient_identifier_value_issuer_oid'))
    )
    op.create_table('quarantine',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('reason', sa.String(length=32), nullable=False),
    sa.Column('sop_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('site_id', sa.String(length=64), nullable=False),
    sa.Column('calling_ae_title', sa.String(length=64), nullable=False),
    sa.Column('transfer_syntax_uid', sa.String(length=64), nullable=False),
    sa.Column('dataset_sha256', sa.String(length=64), nullable=False),
    sa.Column('dataset_bytes', sa.BigInteger(), nullable=False),
    sa.Column('storage_key', sa.String(length=200).with_variant(sa.String(length=200, collation='C'), 'postgresql'), nullable=False),
    sa.Column('received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('detail', sa.String(length=256), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_quarantine')),
    sa.UniqueConstraint('storage_key', name=op.f('uq_quarantine_storage_key'))
    )
    with op.batch_alter_table('quarantine', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_quarantine_dataset_sha256'), ['dataset_sha256'], unique=False)
        batch_op.create_index(batch_op.f('ix_quarantine_received_at'), ['received_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_quarantine_sop_instance_uid'), ['sop_instance_uid'], unique=False)

    op.create_table('reconciliation',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('started_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('abandoned', sa.Integer(), nullable=False),
    sa.Column('rebuilt', sa.Integer(), nullable=False),
    sa.Column('superfluous', sa.Integer(), nullable=False),
    sa.Column('missing', sa.Integer(), nullable=False),
    sa.Column('unrecognised', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_reconciliation'))
    )
    op.create_table('repository_document',
    sa.Column('unique_id', sa.String(length=128), nullable=False),
    sa.Column('storage_key', sa.String(length=120), nullable=False),
    sa.Column('mime_type', sa.String(length=120), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('sha1', sa.String(length=40), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('stored_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('unique_id', name=op.f('pk_repository_document'))
    )
    op.create_table('shared_link',
    sa.Column('link_id', sa.String(length=36), nullable=False),
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('passcode_hash', sa.String(length=256), nullable=False),
    sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('global_id', sa.String(length=128), nullable=False),
    sa.Column('created_by', sa.String(length=128), nullable=False),
    sa.Column('created_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('expires_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('revoked_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.Column('max_views', sa.Integer(), nullable=True),
    sa.Column('views', sa.Integer(), nullable=False),
    sa.PrimaryKeyConstraint('link_id', name=op.f('pk_shared_link')),
    sa.UniqueConstraint('token_hash', name=op.f('uq_shared_link_token_hash'))
    )
    with op.batch_alter_table('shared_link', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_shared_link_global_id'), ['global_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_shared_link_study_instance_uid'), ['study_instance_uid'], unique=False)

    op.create_table('shared_link_attempt',
    sa.Column('link_id', sa.String(length=36), nullable=False),
    sa.Column('failures', sa.BigInteger(), nullable=False),
    sa.Column('last_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('link_id', name=op.f('pk_shared_link_attempt'))
    )
    op.create_table('sign_in_failure',
    sa.Column('name_hash', sa.String(length=64), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('last_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name_hash', name=op.f('pk_sign_in_failure'))
    )
    with op.batch_alter_table('sign_in_failure', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_sign_in_failure_last_at'), ['last_at'], unique=False)

    op.create_table('site',
    sa.Column('site_id', sa.String(length=64), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('name_en', sa.String(length=200), nullable=False),
    sa.Column('institution', sa.String(length=200), nullable=False),
    sa.Column('level', sa.String(length=64), nullable=False),
    sa.Column('networks', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('authority_namespace', sa.String(length=64), nullable=False),
    sa.Column('authority_oid', sa.String(length=64), nullable=False),
    sa.Column('claimed_charset', sa.String(length=128), nullable=False),
    sa.Column('used_charset', sa.String(length=128), nullable=False),
    sa.Column('query_scope', sa.String(length=16), nullable=False),
    sa.Column('added_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('site_id', name=op.f('pk_site'))
    )
    op.create_table('study',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('study_instance_uid', sa.String(length=64).with_variant(sa.String(length=64, collation='C'), 'postgresql'), nullable=False),
    sa.Column('site_id', sa.String(length=64), nullable=False),
    sa.Column('issuer_namespace', sa.String(length=128), nullable=False),
    sa.Column('issuer_oid', sa.String(length=64), nullable=False),
    sa.Column('patient_id', sa.String(length=80).with_variant(sa.String(length=80, collation='C'), 'postgresql'), nullable=False),
    sa.Column('name_alphabetic', sa.String(length=200), nullable=False),
    sa.Column('name_ideographic', sa.String(length=200), nullable=False),
    sa.Column('name_phonetic', sa.String(length=200), nullable=False),
    sa.Column('name_confident', sa.Boolean(), nullable=False),
    sa.Column('name_rule', sa.String(length=80), nullable=False),
    sa.Column('key_as_sent', sa.String(length=400).with_variant(sa.String(length=400, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_hanzi', sa.String(length=400).with_variant(sa.String(length=400, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_pinyin', sa.String(length=800).with_variant(sa.String(length=800, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_initials', sa.String(length=400).with_variant(sa.String(length=400, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_alphabetic', sa.String(length=400).with_variant(sa.String(length=400, collation='C'), 'postgresql'), nullable=False),
    sa.Column('patient_birth_date', sa.Date(), nullable=True),
    sa.Column('patient_sex', sa.String(length=16), nullable=False),
    sa.Column('other_patient_ids', sa.JSON(), nullable=False),
    sa.Column('accession_number', sa.String(length=64).with_variant(sa.String(length=64, collation='C'), 'postgresql'), nullable=False),
    sa.Column('study_id', sa.String(length=64), nullable=False),
    sa.Column('study_date', sa.Date(), nullable=True),
    sa.Column('study_time', sa.String(length=28), nullable=False),
    sa.Column('study_time_key', sa.String(length=13).with_variant(sa.String(length=13, collation='C'), 'postgresql'), nullable=False),
    sa.Column('study_description', sa.String(length=256), nullable=False),
    sa.Column('referring_alphabetic', sa.String(length=200), nullable=False),
    sa.Column('referring_ideographic', sa.String(length=200), nullable=False),
    sa.Column('referring_phonetic', sa.String(length=200), nullable=False),
    sa.Column('modalities', sa.JSON(), nullable=False),
    sa.Column('body_parts', sa.JSON(), nullable=False),
    sa.Column('series_count', sa.Integer(), nullable=False),
    sa.Column('instance_count', sa.Integer(), nullable=False),
    sa.Column('state', sa.String(length=16), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('last_received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('completed_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_study')),
    sa.UniqueConstraint('study_instance_uid', name=op.f('uq_study_study_instance_uid'))
    )
    with op.batch_alter_table('study', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_study_accession_number'), ['accession_number'], unique=False)
        batch_op.create_index(batch_op.f('ix_study_key_alphabetic'), ['key_alphabetic'], unique=False)
        batch_op.create_index(batch_op.f('ix_study_key_hanzi'), ['key_hanzi'], unique=False)
        batch_op.create_index(batch_op.f('ix_study_key_initials'), ['key_initials'], unique=False)
        batch_op.create_index(batch_op.f('ix_study_key_pinyin'), ['key_pinyin'], unique=False)
        batch_op.create_index(batch_op.f('ix_study_patient_id_study_issuer_oid'), ['patient_id', 'issuer_oid'], unique=False)
        batch_op.create_index(batch_op.f('ix_study_state_study_last_received_at'), ['state', 'last_received_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_study_study_date'), ['study_date'], unique=False)

    op.create_table('submission_set',
    sa.Column('entry_uuid', sa.String(length=80), nullable=False),
    sa.Column('unique_id', sa.String(length=128), nullable=False),
    sa.Column('linked_identifier', sa.String(length=256), nullable=False),
    sa.Column('status', sa.String(length=80), nullable=False),
    sa.Column('content', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('entry_uuid', name=op.f('pk_submission_set')),
    sa.UniqueConstraint('unique_id', name=op.f('uq_submission_set_unique_id'))
    )
    with op.batch_alter_table('submission_set', schema=None) as batch_op:
        batch_op.create_index('ix_submission_set_person', ['linked_identifier', 'status'], unique=False)

    op.create_table('user_account',
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('username', sa.String(length=64), nullable=False),
    sa.Column('display_name', sa.String(length=128), nullable=False),
    sa.Column('password_hash', sa.String(length=256), nullable=False),
    sa.Column('roles', sa.JSON(none_as_null=True), nullable=False),
    sa.Column('sites', sa.JSON(none_as_null=True), nullable=True),
    sa.Column('language', sa.String(length=8), nullable=False),
    sa.Column('enabled', sa.Boolean(), nullable=False),
    sa.Column('created_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('user_id', name=op.f('pk_user_account')),
    sa.UniqueConstraint('username', name=op.f('uq_user_account_username'))
    )
    op.create_table('xds_association',
    sa.Column('entry_uuid', sa.String(length=80), nullable=False),
    sa.Column('association_type', sa.String(length=80), nullable=False),
    sa.Column('source', sa.String(length=80), nullable=False),
    sa.Column('target', sa.String(length=80), nullable=False),
    sa.Column('status', sa.String(length=80), nullable=False),
    sa.Column('content', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('entry_uuid', name=op.f('pk_xds_association'))
    )
    with op.batch_alter_table('xds_association', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_xds_association_source'), ['source'], unique=False)
        batch_op.create_index(batch_op.f('ix_xds_association_target'), ['target'], unique=False)

    op.create_table('claimed_identifier',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('identifier_id', sa.Integer(), nullable=False),
    sa.Column('value', sa.String(length=64).with_variant(sa.String(length=64, collation='C'), 'postgresql'), nullable=False),
    sa.Column('issuer_oid', sa.String(length=64), nullable=False),
    sa.Column('issuer_namespace', sa.String(length=64), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('claimed_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['identifier_id'], ['patient_identifier.id'], name=op.f('fk_claimed_identifier_identifier_id_patient_identifier')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_claimed_identifier')),
    sa.UniqueConstraint('value', 'issuer_oid', 'identifier_id', name=op.f('uq_claimed_identifier_value_issuer_oid_identifier_id'))
    )
    with op.batch_alter_table('claimed_identifier', schema=None) as batch_op:
        batch_op.create_index('ix_claimed_identifier_holder', ['identifier_id'], unique=False)

    op.create_table('consent_identifier',
    sa.Column('entry_id', sa.Integer(), nullable=False),
    sa.Column('value', sa.String(length=64).with_variant(sa.String(length=64, collation='C'), 'postgresql'), nullable=False),
    sa.Column('issuer_oid', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['entry_id'], ['consent_entry.entry_id'], name=op.f('fk_consent_identifier_entry_id_consent_entry')),
    sa.PrimaryKeyConstraint('entry_id', 'value', 'issuer_oid', name=op.f('pk_consent_identifier'))
    )
    with op.batch_alter_table('consent_identifier', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_consent_identifier_value_consent_identifier_issuer_oid'), ['value', 'issuer_oid'], unique=False)

    op.create_table('document_reference',
    sa.Column('entry_uuid', sa.String(length=80), nullable=False),
    sa.Column('cxi', sa.String(length=256), nullable=False),
    sa.ForeignKeyConstraint(['entry_uuid'], ['document_entry.entry_uuid'], name=op.f('fk_document_reference_entry_uuid_document_entry')),
    sa.PrimaryKeyConstraint('entry_uuid', 'cxi', name=op.f('pk_document_reference'))
    )
    with op.batch_alter_table('document_reference', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_document_reference_cxi'), ['cxi'], unique=False)

    op.create_table('eir_version_picture',
    sa.Column('picture_id', sa.String(length=48), nullable=False),
    sa.Column('version_id', sa.String(length=36), nullable=False),
    sa.Column('ordinal', sa.Integer(), nullable=False),
    sa.Column('series_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('sop_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('frame_number', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=16), nullable=False),
    sa.Column('media_type', sa.String(length=32), nullable=False),
    sa.Column('width', sa.Integer(), nullable=False),
    sa.Column('height', sa.Integer(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('inputs_sha256', sa.String(length=64), nullable=False),
    sa.Column('storage_key', sa.String(length=200), nullable=False),
    sa.Column('quality', sa.Integer(), nullable=True),
    sa.Column('compression_ratio', sa.Double(), nullable=True),
    sa.Column('psnr_db', sa.Double(), nullable=True),
    sa.Column('ssim', sa.Double(), nullable=True),
    sa.ForeignKeyConstraint(['version_id'], ['eir_version.version_id'], name=op.f('fk_eir_version_picture_version_id_eir_version')),
    sa.PrimaryKeyConstraint('picture_id', name=op.f('pk_eir_version_picture'))
    )
    with op.batch_alter_table('eir_version_picture', schema=None) as batch_op:
        batch_op.create_index('ix_eir_version_picture_series', ['version_id', 'series_instance_uid'], unique=False)
        batch_op.create_index(batch_op.f('ix_eir_version_picture_version_id'), ['version_id'], unique=False)

    op.create_table('eir_version_source',
    sa.Column('version_id', sa.String(length=36), nullable=False),
    sa.Column('sop_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('series_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('dataset_sha256', sa.String(length=64), nullable=False),
    sa.Column('reason', sa.String(length=40), nullable=False),
    sa.ForeignKeyConstraint(['version_id'], ['eir_version.version_id'], name=op.f('fk_eir_version_source_version_id_eir_version')),
    sa.PrimaryKeyConstraint('version_id', 'sop_instance_uid', name=op.f('pk_eir_version_source'))
    )
    op.create_table('identity_evidence',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('identifier_id', sa.Integer(), nullable=False),
    sa.Column('number_id', sa.Integer(), nullable=False),
    sa.Column('observed_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['identifier_id'], ['patient_identifier.id'], name=op.f('fk_identity_evidence_identifier_id_patient_identifier')),
    sa.ForeignKeyConstraint(['number_id'], ['identity_number.id'], name=op.f('fk_identity_evidence_number_id_identity_number')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_identity_evidence')),
    sa.UniqueConstraint('identifier_id', 'number_id', name=op.f('uq_identity_evidence_identifier_id_number_id'))
    )
    with op.batch_alter_table('identity_evidence', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_identity_evidence_number_id'), ['number_id'], unique=False)

    op.create_table('link_decision',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('action', sa.String(length=16), nullable=False),
    sa.Column('survivor', sa.String(length=64), nullable=False),
    sa.Column('subsumed', sa.String(length=64), nullable=False),
    sa.Column('survivor_identifier_id', sa.Integer(), nullable=True),
    sa.Column('subsumed_identifier_id', sa.Integer(), nullable=True),
    sa.Column('rule', sa.String(length=64), nullable=False),
    sa.Column('reason', sa.String(length=400), nullable=False),
    sa.Column('decided_by', sa.String(length=128), nullable=False),
    sa.Column('explanation', sa.Text(), nullable=False),
    sa.Column('undoes', sa.Integer(), nullable=True),
    sa.Column('decided_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['subsumed_identifier_id'], ['patient_identifier.id'], name=op.f('fk_link_decision_subsumed_identifier_id_patient_identifier')),
    sa.ForeignKeyConstraint(['survivor_identifier_id'], ['patient_identifier.id'], name=op.f('fk_link_decision_survivor_identifier_id_patient_identifier')),
    sa.ForeignKeyConstraint(['undoes'], ['link_decision.id'], name=op.f('fk_link_decision_undoes_link_decision')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_link_decision')),
    sa.UniqueConstraint('undoes', name=op.f('uq_link_decision_undoes'))
    )
    with op.batch_alter_table('link_decision', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_link_decision_subsumed'), ['subsumed'], unique=False)
        batch_op.create_index(batch_op.f('ix_link_decision_subsumed_identifier_id'), ['subsumed_identifier_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_link_decision_survivor'), ['survivor'], unique=False)
        batch_op.create_index(batch_op.f('ix_link_decision_survivor_identifier_id'), ['survivor_identifier_id'], unique=False)

    op.create_table('link_log',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('identifier_id', sa.Integer(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('global_id', sa.String(length=64), nullable=False),
    sa.Column('action', sa.String(length=16), nullable=False),
    sa.Column('rule', sa.String(length=64), nullable=False),
    sa.Column('reason', sa.String(length=400), nullable=False),
    sa.Column('decided_by', sa.String(length=128), nullable=False),
    sa.Column('logged_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['global_id'], ['global_person.global_id'], name=op.f('fk_link_log_global_id_global_person')),
    sa.ForeignKeyConstraint(['identifier_id'], ['patient_identifier.id'], name=op.f('fk_link_log_identifier_id_patient_identifier')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_link_log')),
    sa.UniqueConstraint('identifier_id', 'position', name=op.f('uq_link_log_identifier_id_position'))
    )
    with op.batch_alter_table('link_log', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_link_log_global_id_link_log_identifier_id'), ['global_id', 'identifier_id'], unique=False)

    op.create_table('link_review',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('identifier_id', sa.Integer(), nullable=False),
    sa.Column('candidate_id', sa.Integer(), nullable=False),
    sa.Column('rule', sa.String(length=64), nullable=False),
    sa.Column('reason', sa.String(length=400), nullable=False),
    sa.Column('raised_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['candidate_id'], ['patient_identifier.id'], name=op.f('fk_link_review_candidate_id_patient_identifier')),
    sa.ForeignKeyConstraint(['identifier_id'], ['patient_identifier.id'], name=op.f('fk_link_review_identifier_id_patient_identifier')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_link_review')),
    sa.UniqueConstraint('identifier_id', 'candidate_id', 'rule', name=op.f('uq_link_review_identifier_id_candidate_id_rule'))
    )
    with op.batch_alter_table('link_review', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_link_review_candidate_id'), ['candidate_id'], unique=False)

    op.create_table('observed_demographics',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('identifier_id', sa.Integer(), nullable=False),
    sa.Column('fingerprint', sa.String(length=64), nullable=False),
    sa.Column('name_alphabetic', sa.String(length=255), nullable=False),
    sa.Column('name_ideographic', sa.String(length=255), nullable=False),
    sa.Column('name_phonetic', sa.String(length=255), nullable=False),
    sa.Column('name_confident', sa.Boolean(), nullable=False),
    sa.Column('name_rule', sa.String(length=64), nullable=False),
    sa.Column('key_hanzi', sa.String(length=255).with_variant(sa.String(length=255, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_pinyin', sa.String(length=255).with_variant(sa.String(length=255, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_initials', sa.String(length=255).with_variant(sa.String(length=255, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_alphabetic', sa.String(length=255).with_variant(sa.String(length=255, collation='C'), 'postgresql'), nullable=False),
    sa.Column('birth_date', sa.Date(), nullable=True),
    sa.Column('sex', sa.String(length=16), nullable=False),
    sa.Column('observed_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['identifier_id'], ['patient_identifier.id'], name=op.f('fk_observed_demographics_identifier_id_patient_identifier')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_observed_demographics')),
    sa.UniqueConstraint('identifier_id', 'fingerprint', name=op.f('uq_observed_demographics_identifier_id_fingerprint'))
    )
    with op.batch_alter_table('observed_demographics', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_observed_demographics_birth_date'), ['birth_date'], unique=False)
        batch_op.create_index(batch_op.f('ix_observed_demographics_key_alphabetic'), ['key_alphabetic'], unique=False)
        batch_op.create_index(batch_op.f('ix_observed_demographics_key_hanzi'), ['key_hanzi'], unique=False)
        batch_op.create_index(batch_op.f('ix_observed_demographics_key_initials'), ['key_initials'], unique=False)
        batch_op.create_index(batch_op.f('ix_observed_demographics_key_pinyin'), ['key_pinyin'], unique=False)

    op.create_table('outbox_delivery',
    sa.Column('delivery_id', sa.Integer(), autoincrement=True, nullable=False),
    sa.Column('event_id', sa.String(length=36), nullable=False),
    sa.Column('subscriber', sa.String(length=80), nullable=False),
    sa.Column('state', sa.String(length=10), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('due_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('claimed_by', sa.String(length=200), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['event_id'], ['outbox_event.event_id'], name=op.f('fk_outbox_delivery_event_id_outbox_event')),
    sa.PrimaryKeyConstraint('delivery_id', name=op.f('pk_outbox_delivery'))
    )
    with op.batch_alter_table('outbox_delivery', schema=None) as batch_op:
        batch_op.create_index('ix_outbox_delivery_due', ['state', 'due_at', 'delivery_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_outbox_delivery_event_id'), ['event_id'], unique=False)

    op.create_table('person_relation',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('identifier_id', sa.Integer(), nullable=False),
    sa.Column('relation', sa.String(length=16), nullable=False),
    sa.Column('value', sa.String(length=64).with_variant(sa.String(length=64, collation='C'), 'postgresql'), nullable=False),
    sa.Column('issuer_oid', sa.String(length=64), nullable=False),
    sa.Column('issuer_namespace', sa.String(length=64), nullable=False),
    sa.Column('stated_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['identifier_id'], ['patient_identifier.id'], name=op.f('fk_person_relation_identifier_id_patient_identifier')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_person_relation')),
    sa.UniqueConstraint('identifier_id', 'relation', 'value', 'issuer_oid', name=op.f('uq_person_relation_identifier_id_relation_value_issuer_oid'))
    )
    with op.batch_alter_table('person_relation', schema=None) as batch_op:
        batch_op.create_index('ix_person_relation_related', ['value', 'issuer_oid'], unique=False)

    op.create_table('series',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('study_row_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('series_instance_uid', sa.String(length=64).with_variant(sa.String(length=64, collation='C'), 'postgresql'), nullable=False),
    sa.Column('modality', sa.String(length=16).with_variant(sa.String(length=16, collation='C'), 'postgresql'), nullable=False),
    sa.Column('series_number', sa.Integer(), nullable=True),
    sa.Column('series_description', sa.String(length=256), nullable=False),
    sa.Column('body_part_examined', sa.String(length=64), nullable=False),
    sa.Column('series_date', sa.Date(), nullable=True),
    sa.Column('series_time', sa.String(length=28), nullable=False),
    sa.Column('institution_name', sa.String(length=256), nullable=False),
    sa.Column('station_name', sa.String(length=64), nullable=False),
    sa.Column('instance_count', sa.Integer(), nullable=False),
    sa.Column('received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['study_row_id'], ['study.id'], name=op.f('fk_series_study_row_id_study')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_series'))
    )
    with op.batch_alter_table('series', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_series_series_instance_uid'), ['series_instance_uid'], unique=False)
        batch_op.create_index(batch_op.f('ix_series_study_row_id_series_series_instance_uid'), ['study_row_id', 'series_instance_uid'], unique=True)

    op.create_table('shared_link_grant',
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('link_id', sa.String(length=36), nullable=False),
    sa.Column('ends_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['link_id'], ['shared_link.link_id'], name=op.f('fk_shared_link_grant_link_id_shared_link')),
    sa.PrimaryKeyConstraint('token_hash', name=op.f('pk_shared_link_grant'))
    )
    with op.batch_alter_table('shared_link_grant', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_shared_link_grant_ends_at'), ['ends_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_shared_link_grant_link_id'), ['link_id'], unique=False)

    op.create_table('shared_link_visit',
    sa.Column('visit_id', sa.String(length=36), nullable=False),
    sa.Column('link_id', sa.String(length=36), nullable=False),
    sa.Column('opened_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('address', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['link_id'], ['shared_link.link_id'], name=op.f('fk_shared_link_visit_link_id_shared_link')),
    sa.PrimaryKeyConstraint('visit_id', name=op.f('pk_shared_link_visit'))
    )
    with op.batch_alter_table('shared_link_visit', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_shared_link_visit_link_id'), ['link_id'], unique=False)

    op.create_table('site_ae_title',
    sa.Column('ae_title', sa.String(length=16), nullable=False),
    sa.Column('site_id', sa.String(length=64), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['site_id'], ['site.site_id'], name=op.f('fk_site_ae_title_site_id_site')),
    sa.PrimaryKeyConstraint('ae_title', name=op.f('pk_site_ae_title'))
    )
    with op.batch_alter_table('site_ae_title', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_site_ae_title_site_id'), ['site_id'], unique=False)

    op.create_table('stated_phone',
    sa.Column('digits', sa.String(length=32), nullable=False),
    sa.Column('identifier_id', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['identifier_id'], ['patient_identifier.id'], name=op.f('fk_stated_phone_identifier_id_patient_identifier')),
    sa.PrimaryKeyConstraint('digits', 'identifier_id', name=op.f('pk_stated_phone')),
    sqlite_with_rowid=False
    )
    op.create_table('study_manifest',
    sa.Column('study_instance_uid', sa.String(length=64), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('entry_uuid', sa.String(length=80), nullable=False),
    sa.Column('unique_id', sa.String(length=128), nullable=False),
    sa.Column('registered_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['entry_uuid'], ['document_entry.entry_uuid'], name=op.f('fk_study_manifest_entry_uuid_document_entry')),
    sa.PrimaryKeyConstraint('study_instance_uid', 'generation', name=op.f('pk_study_manifest'))
    )
    op.create_table('user_session',
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('started_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('last_seen_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('ends_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['user_account.user_id'], name=op.f('fk_user_session_user_id_user_account')),
    sa.PrimaryKeyConstraint('token_hash', name=op.f('pk_user_session'))
    )
    with op.batch_alter_table('user_session', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_user_session_ends_at'), ['ends_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_session_user_id'), ['user_id'], unique=False)

    op.create_table('instance',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('series_row_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('sop_instance_uid', sa.String(length=64).with_variant(sa.String(length=64, collation='C'), 'postgresql'), nullable=False),
    sa.Column('sop_class_uid', sa.String(length=64), nullable=False),
    sa.Column('transfer_syntax_uid', sa.String(length=64), nullable=False),
    sa.Column('instance_number', sa.Integer(), nullable=True),
    sa.Column('rows', sa.Integer(), nullable=False),
    sa.Column('columns', sa.Integer(), nullable=False),
    sa.Column('number_of_frames', sa.Integer(), nullable=False),
    sa.Column('dataset_sha256', sa.String(length=64), nullable=False),
    sa.Column('dataset_bytes', sa.BigInteger(), nullable=False),
    sa.Column('storage_key', sa.String(length=200).with_variant(sa.String(length=200, collation='C'), 'postgresql'), nullable=False),
    sa.Column('received_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('condition', sa.String(length=16), nullable=False),
    sa.ForeignKeyConstraint(['series_row_id'], ['series.id'], name=op.f('fk_instance_series_row_id_series')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_instance')),
    sa.UniqueConstraint('sop_instance_uid', name=op.f('uq_instance_sop_instance_uid')),
    sa.UniqueConstraint('storage_key', name=op.f('uq_instance_storage_key'))
    )
    with op.batch_alter_table('instance', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_instance_series_row_id'), ['series_row_id'], unique=False)

    op.create_table('link_review_answer',
    sa.Column('id', sa.Integer(), nullable=False),
    sa.Column('review_id', sa.Integer(), nullable=False),
    sa.Column('position', sa.Integer(), nullable=False),
    sa.Column('verdict', sa.String(length=16), nullable=False),
    sa.Column('decision_id', sa.Integer(), nullable=True),
    sa.Column('decided_by', sa.String(length=128), nullable=False),
    sa.Column('reason', sa.String(length=400), nullable=False),
    sa.Column('decided_at', hub_kernel.database.UtcDateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['decision_id'], ['link_decision.id'], name=op.f('fk_link_review_answer_decision_id_link_decision')),
    sa.ForeignKeyConstraint(['review_id'], ['link_review.id'], name=op.f('fk_link_review_answer_review_id_link_review')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_link_review_answer')),
    sa.UniqueConstraint('review_id', 'position', name=op.f('uq_link_review_answer_review_id_position'))
    )
    with op.batch_alter_table('link_review_answer', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_link_review_answer_decision_id'), ['decision_id'], unique=False)

    op.create_table('link_review_evidence',
    sa.Column('review_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('score', sa.Double(), nullable=True),
    sa.Column('explanation', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['review_id'], ['link_review.id'], name=op.f('fk_link_review_evidence_review_id_link_review')),
    sa.PrimaryKeyConstraint('review_id', name=op.f('pk_link_review_evidence'))
    )
    with op.batch_alter_table('link_review_evidence', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_link_review_evidence_score'), ['score'], unique=False)

    op.create_table('link_step',
    sa.Column('link_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('decision_id', sa.Integer(), nullable=False),
    sa.Column('previous_global_id', sa.String(length=64), nullable=False),
    sa.ForeignKeyConstraint(['decision_id'], ['link_decision.id'], name=op.f('fk_link_step_decision_id_link_decision')),
    sa.ForeignKeyConstraint(['link_id'], ['link_log.id'], name=op.f('fk_link_step_link_id_link_log')),
    sa.PrimaryKeyConstraint('link_id', name=op.f('pk_link_step'))
    )
    with op.batch_alter_table('link_step', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_link_step_decision_id'), ['decision_id'], unique=False)

    op.create_table('statement_detail',
    sa.Column('observed_id', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('source', sa.String(length=128), nullable=False),
    sa.Column('provisional', sa.Boolean(), nullable=False),
    sa.Column('details', sa.Text(), nullable=False),
    sa.Column('key_street', sa.String(length=128).with_variant(sa.String(length=128, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_city', sa.String(length=128).with_variant(sa.String(length=128, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_province', sa.String(length=128).with_variant(sa.String(length=128, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_postal_code', sa.String(length=128).with_variant(sa.String(length=128, collation='C'), 'postgresql'), nullable=False),
    sa.Column('key_mother', sa.String(length=128).with_variant(sa.String(length=128, collation='C'), 'postgresql'), nullable=False),
    sa.ForeignKeyConstraint(['observed_id'], ['observed_demographics.id'], name=op.f('fk_statement_detail_observed_id_observed_demographics')),
    sa.PrimaryKeyConstraint('observed_id', name=op.f('pk_statement_detail'))
    )
    for statement in append_only_statements(APPEND_ONLY, op.get_bind().dialect.name):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Take the change back."""
    op.drop_table('statement_detail')
    with op.batch_alter_table('link_step', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_link_step_decision_id'))

    op.drop_table('link_step')
    with op.batch_alter_table('link_review_evidence', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_link_review_evidence_score'))

    op.drop_table('link_review_evidence')
    with op.batch_alter_table('link_review_answer', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_link_review_answer_decision_id'))

    op.drop_table('link_review_answer')
    with op.batch_alter_table('instance', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_instance_series_row_id'))

    op.drop_table('instance')
    with op.batch_alter_table('user_session', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_user_session_user_id'))
        batch_op.drop_index(batch_op.f('ix_user_session_ends_at'))

    op.drop_table('user_session')
    op.drop_table('study_manifest')
    op.drop_table('stated_phone')
    with op.batch_alter_table('site_ae_title', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_site_ae_title_site_id'))

    op.drop_table('site_ae_title')
    with op.batch_alter_table('shared_link_visit', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_shared_link_visit_link_id'))

    op.drop_table('shared_link_visit')
    with op.batch_alter_table('shared_link_grant', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_shared_link_grant_link_id'))
        batch_op.drop_index(batch_op.f('ix_shared_link_grant_ends_at'))

    op.drop_table('shared_link_grant')
    with op.batch_alter_table('series', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_series_study_row_id_series_series_instance_uid'))
        batch_op.drop_index(batch_op.f('ix_series_series_instance_uid'))

    op.drop_table('series')
    with op.batch_alter_table('person_relation', schema=None) as batch_op:
        batch_op.drop_index('ix_person_relation_related')

    op.drop_table('person_relation')
    with op.batch_alter_table('outbox_delivery', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_outbox_delivery_event_id'))
        batch_op.drop_index('ix_outbox_delivery_due')

    op.drop_table('outbox_delivery')
    with op.batch_alter_table('observed_demographics', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_observed_demographics_key_pinyin'))
        batch_op.drop_index(batch_op.f('ix_observed_demographics_key_initials'))
        batch_op.drop_index(batch_op.f('ix_observed_demographics_key_hanzi'))
        batch_op.drop_index(batch_op.f('ix_observed_demographics_key_alphabetic'))
        batch_op.drop_index(batch_op.f('ix_observed_demographics_birth_date'))

    op.drop_table('observed_demographics')
    with op.batch_alter_table('link_review', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_link_review_candidate_id'))

    op.drop_table('link_review')
    with op.batch_alter_table('link_log', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_link_log_global_id_link_log_identifier_id'))

    op.drop_table('link_log')
    with op.batch_alter_table('link_decision', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_link_decision_survivor_identifier_id'))
        batch_op.drop_index(batch_op.f('ix_link_decision_survivor'))
        batch_op.drop_index(batch_op.f('ix_link_decision_subsumed_identifier_id'))
        batch_op.drop_index(batch_op.f('ix_link_decision_subsumed'))

    op.drop_table('link_decision')
    with op.batch_alter_table('identity_evidence', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_identity_evidence_number_id'))

    op.drop_table('identity_evidence')
    op.drop_table('eir_version_source')
    with op.batch_alter_table('eir_version_picture', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_eir_version_picture_version_id'))
        batch_op.drop_index('ix_eir_version_picture_series')

    op.drop_table('eir_version_picture')
    with op.batch_alter_table('document_reference', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_document_reference_cxi'))

    op.drop_table('document_reference')
    with op.batch_alter_table('consent_identifier', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_consent_identifier_value_consent_identifier_issuer_oid'))

    op.drop_table('consent_identifier')
    with op.batch_alter_table('claimed_identifier', schema=None) as batch_op:
        batch_op.drop_index('ix_claimed_identifier_holder')

    op.drop_table('claimed_identifier')
    with op.batch_alter_table('xds_association', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_xds_association_target'))
        batch_op.drop_index(batch_op.f('ix_xds_association_source'))

    op.drop_table('xds_association')
    op.drop_table('user_account')
    with op.batch_alter_table('submission_set', schema=None) as batch_op:
        batch_op.drop_index('ix_submission_set_person')

    op.drop_table('submission_set')
    with op.batch_alter_table('study', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_study_study_date'))
        batch_op.drop_index(batch_op.f('ix_study_state_study_last_received_at'))
        batch_op.drop_index(batch_op.f('ix_study_patient_id_study_issuer_oid'))
        batch_op.drop_index(batch_op.f('ix_study_key_pinyin'))
        batch_op.drop_index(batch_op.f('ix_study_key_initials'))
        batch_op.drop_index(batch_op.f('ix_study_key_hanzi'))
        batch_op.drop_index(batch_op.f('ix_study_key_alphabetic'))
        batch_op.drop_index(batch_op.f('ix_study_accession_number'))

    op.drop_table('study')
    op.drop_table('site')
    with op.batch_alter_table('sign_in_failure', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_sign_in_failure_last_at'))

    op.drop_table('sign_in_failure')
    op.drop_table('shared_link_attempt')
    with op.batch_alter_table('shared_link', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_shared_link_study_instance_uid'))
        batch_op.drop_index(batch_op.f('ix_shared_link_global_id'))

    op.drop_table('shared_link')
    op.drop_table('repository_document')
    op.drop_table('reconciliation')
    with op.batch_alter_table('quarantine', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_quarantine_sop_instance_uid'))
        batch_op.drop_index(batch_op.f('ix_quarantine_received_at'))
        batch_op.drop_index(batch_op.f('ix_quarantine_dataset_sha256'))

    op.drop_table('quarantine')
    op.drop_table('patient_identifier')
    with op.batch_alter_table('outbox_event', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_outbox_event_occurred_at'))

    op.drop_table('outbox_event')
    op.drop_table('match_key')
    op.drop_table('machine_token')
    op.drop_table('identity_number')
    with op.batch_alter_table('hl7_refusal', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_hl7_refusal_status_hl7_refusal_size'))

    op.drop_table('hl7_refusal')
    op.drop_table('global_person')
    with op.batch_alter_table('feed_message', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_feed_message_received_at'))

    op.drop_table('feed_message')
    with op.batch_alter_table('eir_version', schema=None) as batch_op:
        batch_op.drop_index('uq_eir_version_current', sqlite_where=sa.text('superseded_at IS NULL'), postgresql_where=sa.text('superseded_at IS NULL'))
        batch_op.drop_index('ix_eir_version_history')

    op.drop_table('eir_version')
    with op.batch_alter_table('document_entry', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_document_entry_unique_id'))
        batch_op.drop_index('ix_document_entry_person')

    op.drop_table('document_entry')
    with op.batch_alter_table('consent_entry', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_consent_entry_global_id'))

    op.drop_table('consent_entry')
    with op.batch_alter_table('audit_record', schema=None) as batch_op:
        batch_op.drop_index(batch_op.f('ix_audit_record_subject_kind_audit_record_subject_id_audit_record_sequence'))
        batch_op.drop_index(batch_op.f('ix_audit_record_resource_id_audit_record_sequence'))
        batch_op.drop_index(batch_op.f('ix_audit_record_recorded_at'))
        batch_op.drop_index(batch_op.f('ix_audit_record_action'))

    op.drop_table('audit_record')
    op.drop_table('audit_head')
