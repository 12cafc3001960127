"""The tables of what is held of each site: counters, so that a quota in all costs no counting."""

from typing import cast

from sqlalchemy import BigInteger, Integer, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base


class SiteHoldingRow(Base):
    """Bytes of datasets and instances of one site, up to the instance that was counted last."""

    __tablename__ = "site_holding"

    site_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    dataset_bytes: Mapped[int] = mapped_column(BigInteger)
    instances: Mapped[int] = mapped_column(BigInteger)


class HoldingPositionRow(Base):
    """Up to which row of `instance` is counted, and which was the newest then; one row."""

    __tablename__ = "site_holding_position"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    counted_to: Mapped[int] = mapped_column(BigInteger)
    seen_to: Mapped[int] = mapped_column(BigInteger)


SITE_HOLDING = cast(Table, SiteHoldingRow.__table__)
HOLDING_POSITION = cast(Table, HoldingPositionRow.__table__)
