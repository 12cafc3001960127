"""Tables of the registry, the repository and the manifests.

What a query selects by is a column; the rest of the metadata is kept in `content`, as the JSON form
of the value it came from, so that nothing a source submitted is lost or reshaped.
"""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime

_URN = String(80)
_CX = String(256)


class DocumentEntryRow(Base):
    """One document entry.

    A uniqueId may come again with the same content: `occurrence` counts, so that two who take one
    in the same moment are found out, whichever database it is.
    """

    __tablename__ = "document_entry"
    __table_args__ = (
        Index("ix_document_entry_person", "linked_identifier", "status"),
        Index("uq_document_entry_unique_id_occurrence", "unique_id", "occurrence", unique=True),
    )

    entry_uuid: Mapped[str] = mapped_column(_URN, primary_key=True)
    unique_id: Mapped[str] = mapped_column(String(128))
    occurrence: Mapped[int] = mapped_column(default=0)
    linked_identifier: Mapped[str] = mapped_column(_CX)
    status: Mapped[str] = mapped_column(_URN)
    document_type: Mapped[str] = mapped_column(_URN)
    logical_id: Mapped[str] = mapped_column(_URN, index=True)
    version: Mapped[int] = mapped_column(default=1)
    content: Mapped[str] = mapped_column(Text)


class DocumentReferenceRow(Base):
    """One identifier a document refers to; found by FindDocumentsByReferenceId."""

    __tablename__ = "document_reference"

    entry_uuid: Mapped[str] = mapped_column(
        ForeignKey("document_entry.entry_uuid"), primary_key=True
    )
    cxi: Mapped[str] = mapped_column(_CX, primary_key=True, index=True)


class SubmissionSetRow(Base):
    """One submission set."""

    __tablename__ = "submission_set"
    __table_args__ = (Index("ix_submission_set_person", "linked_identifier", "status"),)

    entry_uuid: Mapped[str] = mapped_column(_URN, primary_key=True)
    unique_id: Mapped[str] = mapped_column(String(128), unique=True)
    linked_identifier: Mapped[str] = mapped_column(_CX)
    status: Mapped[str] = mapped_column(_URN)
    content: Mapped[str] = mapped_column(Text)


class FolderRow(Base):
    """One version of a folder; `last_update_time` moves with its members and not with `content`."""

    __tablename__ = "xds_folder"
    __table_args__ = (
        Index("ix_xds_folder_person", "linked_identifier", "status"),
        UniqueConstraint("unique_id", "version"),
    )

    entry_uuid: Mapped[str] = mapped_column(_URN, primary_key=True)
    unique_id: Mapped[str] = mapped_column(String(128))
    linked_identifier: Mapped[str] = mapped_column(_CX)
    status: Mapped[str] = mapped_column(_URN)
    logical_id: Mapped[str] = mapped_column(_URN, index=True)
    version: Mapped[int] = mapped_column(default=1)
    last_update_time: Mapped[str] = mapped_column(String(14))
    content: Mapped[str] = mapped_column(Text)


class XdsAssociationRow(Base):
    """One association; both its ends are registered objects."""

    __tablename__ = "xds_association"

    entry_uuid: Mapped[str] = mapped_column(_URN, primary_key=True)
    association_type: Mapped[str] = mapped_column(_URN)
    source: Mapped[str] = mapped_column(_URN, index=True)
    target: Mapped[str] = mapped_column(_URN, index=True)
    status: Mapped[str] = mapped_column(_URN)
    content: Mapped[str] = mapped_column(Text)


class RepositoryDocumentRow(Base):
    """One document whose bytes the repository holds, by its uniqueId."""

    __tablename__ = "repository_document"

    unique_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    storage_key: Mapped[str] = mapped_column(String(120), index=True)
    mime_type: Mapped[str] = mapped_column(String(120))
    sha256: Mapped[str] = mapped_column(String(64))
    sha1: Mapped[str] = mapped_column(String(40))
    size: Mapped[int] = mapped_column(BigInteger)
    stored_at: Mapped[datetime] = mapped_column(UtcDateTime)


class StudyManifestRow(Base):
    """Which document entry is the manifest of which generation of a study."""

    __tablename__ = "study_manifest"

    study_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True)
    entry_uuid: Mapped[str] = mapped_column(ForeignKey("document_entry.entry_uuid"))
    unique_id: Mapped[str] = mapped_column(String(128))
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)
