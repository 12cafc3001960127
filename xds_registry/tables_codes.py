"""The index of codes that queries over many patients select by (ITI TF-2 3.51).

A row says: the object `entry_uuid` carries the code behind `code_hash`. It is an index and no fact:
it is made from the object's own content, two codes may share a hash, and what is found by it is
looked at again. No foreign key, because checking one would cost more than the row.
"""

from sqlalchemy import BigInteger, String
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base


class CodeIndexRow(Base):
    """One code of a document entry or folder; `moment` is an entry's first second of creation."""

    __tablename__ = "document_code"

    code_hash: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    moment: Mapped[str] = mapped_column(String(14), primary_key=True)
    entry_uuid: Mapped[str] = mapped_column(String(80), primary_key=True)
