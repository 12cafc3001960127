"""Which studies the manifests of other archives list."""

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base


class ListedStudyRow(Base):
    """One study in one registered manifest; `repository_unique_id` says who holds the images."""

    __tablename__ = "listed_study"

    entry_uuid: Mapped[str] = mapped_column(
        ForeignKey("document_entry.entry_uuid"), primary_key=True
    )
    study_instance_uid: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    repository_unique_id: Mapped[str] = mapped_column(String(64))
    series_count: Mapped[int]
    instance_count: Mapped[int]
