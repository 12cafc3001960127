"""What an observation result says (ORU^R01, HL7 v2.5 7.3.1), free of its wire form."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from sqlalchemy.orm import Session

from hub_kernel.identifiers import PatientIdentifier


@dataclass(frozen=True)
class ReceivedResult:
    """One OBR with its OBX segments.

    `message_key` is the same for the same message sent again. `status` is the letter of table 0123
    that holds: "P" wherever a part is not final. The study is named by `study_instance_uid`, else
    by one of `accession_numbers`, the likeliest first. `paragraphs` are (what it is, what is said).
    `issued_at` is naive where the sender named no time zone.
    """

    message_key: str
    sender: str
    order_key: str
    status: str
    title: str
    author: str
    issued_at: datetime | None
    study_instance_uid: str
    accession_numbers: tuple[str, ...]
    patients: tuple[PatientIdentifier, ...]
    paragraphs: tuple[tuple[str, str], ...] = field(repr=False)
    pdf: bytes | None = field(default=None, repr=False)


class ResultSink(Protocol):
    """Takes results on; whoever keeps reports is one."""

    def __call__(self, result: ReceivedResult, recorded: Callable[[Session, str], None], /) -> None:
        """Make the result durable; `recorded` is called in the same transaction, in words."""
        ...
