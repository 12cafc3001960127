"""Forget a study that is deleted for good: its versions, its reports, what was seen in its pixels.

Ledgers are otherwise only added to; this is the one way out of them, in the transaction that
deletes the study and keeps the hashes of what was destroyed.
"""

from collections.abc import Iterator

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from eir_versions.deidentification.tables import BurnedInCaseRow
from eir_versions.reports.tables import EirReportKeyRow, EirReportRow
from eir_versions.tables import EirVersionPictureRow, EirVersionRow, EirVersionSourceRow


def forget_study(session: Session, study_instance_uid: str) -> list[str]:
    """Remove every row of this package about the study; return the keys of their bytes.

    What was exported de-identified stays on record: it names nobody.
    """
    versions = select(EirVersionRow.version_id).where(
        EirVersionRow.study_instance_uid == study_instance_uid
    )
    reports = select(EirReportRow.report_id).where(
        EirReportRow.study_instance_uid == study_instance_uid
    )
    keys = dict.fromkeys(_keys(session, study_instance_uid))
    for statement in (
        delete(EirVersionPictureRow).where(EirVersionPictureRow.version_id.in_(versions)),
        delete(EirVersionSourceRow).where(EirVersionSourceRow.version_id.in_(versions)),
        delete(EirVersionRow).where(EirVersionRow.study_instance_uid == study_instance_uid),
        delete(EirReportKeyRow).where(EirReportKeyRow.report_id.in_(reports)),
        delete(EirReportRow).where(EirReportRow.study_instance_uid == study_instance_uid),
        delete(BurnedInCaseRow).where(BurnedInCaseRow.study_instance_uid == study_instance_uid),
    ):
        session.execute(statement)
    return list(keys)


def is_named(session: Session, key: str) -> bool:
    """Return whether a version or a report of another study is kept under the key."""
    return any(
        session.scalar(select(column).where(column == key).limit(1)) is not None
        for column in (EirVersionPictureRow.storage_key, EirReportRow.pdf_key)
    )


def _keys(session: Session, study_instance_uid: str) -> Iterator[str]:
    yield from session.scalars(
        select(EirVersionPictureRow.storage_key)
        .join(EirVersionRow, EirVersionRow.version_id == EirVersionPictureRow.version_id)
        .where(EirVersionRow.study_instance_uid == study_instance_uid)
    )
    yield from session.scalars(
        select(EirVersionRow.document_key).where(
            EirVersionRow.study_instance_uid == study_instance_uid,
            EirVersionRow.document_key != "",
        )
    )
    yield from session.scalars(
        select(EirReportRow.pdf_key).where(
            EirReportRow.study_instance_uid == study_instance_uid, EirReportRow.pdf_key != ""
        )
    )
