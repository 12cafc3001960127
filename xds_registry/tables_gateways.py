"""What other communities have said about whose their documents are."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from hub_kernel.database import Base


class ForeignObjectRow(Base):
    """One document or study of another community, and the identifier of its person in theirs.

    `unique_id` is the document's uniqueId or the Study Instance UID. Whose it is today is asked of
    the patient index, as for every document.
    """

    __tablename__ = "foreign_object"

    home_community_id: Mapped[str] = mapped_column(String(72), primary_key=True)
    unique_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    linked_identifier: Mapped[str] = mapped_column(String(256))
