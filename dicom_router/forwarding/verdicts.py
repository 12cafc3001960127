"""What an answer of a peer means for the ledger: classes of statuses as data (PS3.4 B.2.3, C.3.4).

Every status that is in no row is parked: a person looks before anything is sent again.
"""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What becomes of a ledger row after an answer."""

    ACCEPTED = "accepted"
    NOTED = "noted"  # accepted, with a remark that a person may want to read
    RETRY = "retry"  # the peer cannot now; later it may
    PARK = "park"  # the same bytes will be refused again; a person decides


@dataclass(frozen=True)
class StatusClass:
    """The statuses from `first` to `last`, and what they mean."""

    first: int
    last: int
    verdict: Verdict
    meaning: str


STORE_STATUSES = (
    StatusClass(0x0000, 0x0000, Verdict.ACCEPTED, "stored"),
    StatusClass(0xB000, 0xBFFF, Verdict.NOTED, "stored with a warning"),
    StatusClass(0x0001, 0x0001, Verdict.NOTED, "stored, requested optional attributes missing"),
    StatusClass(0x0107, 0x0107, Verdict.NOTED, "stored, attribute list warning"),
    StatusClass(0x0116, 0x0116, Verdict.NOTED, "stored, attribute value out of range"),
    StatusClass(0xA700, 0xA7FF, Verdict.RETRY, "the destination is out of resources"),
    StatusClass(0x0110, 0x0110, Verdict.RETRY, "processing failure at the destination"),
    StatusClass(0x0210, 0x0210, Verdict.RETRY, "duplicate invocation"),
    StatusClass(0x0213, 0x0213, Verdict.RETRY, "resource limitation at the destination"),
    StatusClass(0xFE00, 0xFE00, Verdict.RETRY, "cancelled by the destination"),
    StatusClass(0x0111, 0x0111, Verdict.PARK, "another instance of this UID is there already"),
    StatusClass(0x0122, 0x0122, Verdict.PARK, "the destination does not take this SOP class"),
    StatusClass(0x0124, 0x0124, Verdict.PARK, "not authorised at the destination"),
    StatusClass(0xA900, 0xA9FF, Verdict.PARK, "the dataset does not match its SOP class"),
    StatusClass(0xC000, 0xCFFF, Verdict.PARK, "the destination cannot understand the dataset"),
)
HTTP_STATUSES = (
    StatusClass(200, 200, Verdict.ACCEPTED, "stored"),
    StatusClass(202, 202, Verdict.NOTED, "stored with a warning"),
    StatusClass(401, 401, Verdict.RETRY, "the destination does not take the token"),
    StatusClass(403, 403, Verdict.RETRY, "the token may not store there"),
    StatusClass(404, 404, Verdict.RETRY, "no STOW-RS service at this address"),
    StatusClass(408, 408, Verdict.RETRY, "the destination waited too long"),
    StatusClass(429, 429, Verdict.RETRY, "the destination asks for fewer requests"),
    StatusClass(500, 599, Verdict.RETRY, "the destination failed"),
    StatusClass(400, 499, Verdict.PARK, "the destination refuses the request"),
)


def verdict_of(status: int, classes: tuple[StatusClass, ...] = STORE_STATUSES) -> StatusClass:
    """Return the first class that `status` is in; one that is in none is parked."""
    for known in classes:
        if known.first <= status <= known.last:
            return known
    return StatusClass(status, status, Verdict.PARK, "a status the standard does not know")
