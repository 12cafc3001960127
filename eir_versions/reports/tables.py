"""The tables of reports. A row is one state of a report, added once; only its study may follow."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Boolean, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base, UtcDateTime


class EirReportRow(Base):
    """One state of a report. Without a study it is waiting, and `waiting` says for what.

    `source_key` names the document or message it came in: the same one twice is one row. `patients`
    and `lines` hold patient data and go into no log.
    """

    __tablename__ = "eir_report"

    report_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    source_key: Mapped[str] = mapped_column(String(128), unique=True)
    chain_key: Mapped[str] = mapped_column(String(128))
    study_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    waiting: Mapped[str] = mapped_column(String(40))
    kind: Mapped[str] = mapped_column(String(8))
    status: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(String(200))
    author: Mapped[str] = mapped_column(String(200))
    sender: Mapped[str] = mapped_column(String(128))
    site_ids: Mapped[list[str]] = mapped_column(JSON)
    accession_number: Mapped[str] = mapped_column(String(64))
    patients: Mapped[list[list[str]]] = mapped_column(JSON)
    issued_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    matched_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sha256: Mapped[str] = mapped_column(String(64))
    lines: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
    cut: Mapped[bool] = mapped_column(Boolean)
    pdf_key: Mapped[str] = mapped_column(String(200))
    pdf_sha256: Mapped[str] = mapped_column(String(64))
    pdf_size: Mapped[int] = mapped_column(Integer)


class EirReportKeyRow(Base):
    """What a waiting report looks for: `acc:` and an accession number, `uid:` and a study."""

    __tablename__ = "eir_report_key"

    report_id: Mapped[str] = mapped_column(ForeignKey("eir_report.report_id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(80), primary_key=True, index=True)
