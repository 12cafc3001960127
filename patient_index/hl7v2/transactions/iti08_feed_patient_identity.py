"""ITI-8 and ITI-30 Patient Identity Feed: ADT in, one acknowledgement out (ITI TF-2 3.8, 3.30).

Nothing is acknowledged before the index has it durably, with its audit record in one transaction;
a message repeated under the same control ID by the same sender is answered as before and does
nothing twice.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import tzinfo

from sqlalchemy.orm import Session

from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import PatientIdentifier
from patient_index.errors import (
    ForeignDomainError,
    InvalidStatementError,
    UnknownDomainError,
    UnknownIdentifierError,
)
from patient_index.feed import Recorded
from patient_index.hl7v2.exchange import Asking, Done
from patient_index.hl7v2.identifiers import Authorities, patient_identifiers
from patient_index.hl7v2.pid_reading import read_statement
from patient_index.hl7v2.problems import Location, RefusedMessageError
from patient_index.hl7v2.reading import Hl7Message, Segment
from patient_index.hl7v2.values import read_time_stamp
from patient_index.hl7v2.writing import AnswerWriter
from patient_index.model import Decided, FeedOutcome, Ignored, MergeOutcome

Merge = tuple[PatientIdentifier, PatientIdentifier, Segment]

_PLACES: Mapping[str, int] = {
    "identifiers": 3,
    "demographics.name": 5,
    "demographics.other_names": 5,
    "demographics.mother_name": 6,
    "demographics.birth": 7,
    "demographics.sex": 8,
    "demographics.address": 11,
    "demographics.phones": 13,
    "demographics.mothers_identifiers": 21,
    "demographics.birth_order": 25,
    "demographics.deceased": 29,
}
"""Where a field of a statement stands in PID; the longest name that fits decides."""

_INSTEAD: Mapping[str, str] = {
    Ignored.ITSELF: "PID-3 ≠ MRG-1",
    Ignored.LOOP: "a survivor that was not merged into MRG-1",
    Ignored.ALREADY_MERGED: "MRG-1 that was not merged into another before",
    Ignored.SURVIVOR_MERGED: "a survivor that was not merged itself",
    Ignored.WRONG_AUTHORITY: "identifiers of one domain that the sender issues",
}
"""What would have been allowed instead of the merge that was ignored."""


def register_patient(message: Hl7Message, asking: Asking, writer: AnswerWriter) -> Done:
    """A01, A04, A05, A28: somebody is admitted, registered or added."""
    pid = message.required("PID")
    statement = read_statement(pid, _authorities(asking), _time_zone(message, asking))
    with _refusals_at(pid):
        outcome = asking.parts.feed.register(statement, asking.message_key, _recorded(asking))
    return _accepted(outcome, writer)


def update_patient(message: Hl7Message, asking: Asking, writer: AnswerWriter) -> Done:
    """A08, A31: what is known of somebody changes; who was not known yet is registered."""
    pid = message.required("PID")
    statement = read_statement(pid, _authorities(asking), _time_zone(message, asking))
    with _refusals_at(pid):
        outcome = asking.parts.feed.update(statement, asking.message_key, _recorded(asking))
    return _accepted(outcome, writer)


def merge_patients(message: Hl7Message, asking: Asking, writer: AnswerWriter) -> Done:
    """A40: MRG-1 is subsumed by PID-3; every pair is checked before the first is carried out.

    A merge that would make no sense (onto itself, in a circle, into somebody who was merged away)
    is not carried out, and the answer says so. One that was carried out before is accepted.
    """
    pairs = [pair for pid, mrg in pairs_of(message) for pair in _merges(pid, mrg, asking)]
    outcomes = [_merged(pair, f"{asking.message_key}:{n}", asking) for n, pair in enumerate(pairs)]
    writer.acknowledge("AA")
    for (_, _, mrg), outcome in zip(pairs, outcomes, strict=True):
        if outcome.ignored:
            note = RefusedMessageError("merged-before", mrg.place(1, 1))
            writer.error(note, severity="I")
    ids = tuple(dict.fromkeys(outcome.global_id for outcome in outcomes))
    return Done(ids, recorded=True)


def _accepted(outcome: FeedOutcome, writer: AnswerWriter) -> Done:
    writer.acknowledge("AA")
    return _registered(outcome)


def _recorded(asking: Asking) -> Recorded[FeedOutcome]:
    def recorded(session: Session, outcome: FeedOutcome) -> None:
        asking.record(_registered(outcome), session)

    return recorded


def _registered(outcome: FeedOutcome) -> Done:
    detail = "new person" if outcome.created else "known person"
    if outcome.linked_by:
        detail += f", linked by {outcome.linked_by}"
    if outcome.review_id is not None:
        detail += f", review {outcome.review_id}"
    return Done((outcome.global_id,), detail, recorded=True)


def _authorities(asking: Asking) -> Authorities:
    return Authorities(asking.parts.domains, asking.sender)


def _time_zone(message: Hl7Message, asking: Asking) -> tzinfo:
    """Return the zone of times that name none: that of MSH-7 (HL7 v2.5 2.A.77), else the hub's."""
    sent = read_time_stamp(message.header.text(7))
    return (sent and sent.zone) or asking.parts.time_zone


def pairs_of(message: Hl7Message) -> Iterator[tuple[Segment, Segment]]:
    """Give each MRG with the PID before it (ADT_A39: { PID [PD1] MRG [PV1] }).

    Raises:
        RefusedMessageError: there is no MRG, or one without a PID.
    """
    pid: Segment | None = None
    found = 0
    for segment in message.segments:
        if segment.name == "PID":
            pid = segment
        elif segment.name == "MRG":
            if pid is None:
                raise RefusedMessageError("segment-missing", Location("PID"), allowed="PID MRG")
            found += 1
            yield pid, segment
    if not found:
        raise RefusedMessageError("segment-missing", Location("MRG"), allowed="PID MRG")


def _merges(pid: Segment, mrg: Segment, asking: Asking) -> list[Merge]:
    authorities = _authorities(asking)
    survivors = patient_identifiers(pid, 3, authorities)
    subsumed = patient_identifiers(mrg, 1, authorities)
    own = survivors[0].identifier
    for place, typed in enumerate(subsumed, start=1):
        issuer = typed.identifier.issuer
        if issuer.oid != own.issuer.oid:
            at = mrg.place(1, 4, place)
            came = f"{issuer.namespace}&{issuer.oid}"
            raise RefusedMessageError(
                "foreign-authority", at, came=came, allowed=own.issuer.namespace
            )
    require_known(own, pid.place(3, 1), asking)
    for place, typed in enumerate(subsumed, start=1):
        require_known(typed.identifier, mrg.place(1, 1, place), asking)
    return [(own, typed.identifier, mrg) for typed in subsumed]


def require_known(identifier: PatientIdentifier, at: Location, asking: Asking) -> None:
    """Return when somebody is known by the identifier that stands at `at`.

    Raises:
        RefusedMessageError: nobody is.
    """
    if asking.parts.patients.resolve(identifier) is None:
        raise RefusedMessageError("unknown-identifier", at)


def _merged(pair: Merge, message_key: str, asking: Asking) -> MergeOutcome:
    survivor, subsumed, mrg = pair
    by = asking.peer.replayed_by or asking.sender
    decided = Decided(by=by, reason=f"A40 {asking.asked.control_id}", rule="feed")

    def recorded(session: Session, outcome: MergeOutcome) -> None:
        if not outcome.ignored or _merged_before(outcome):
            words = "merged before" if outcome.ignored else "merged"
            asking.record(Done((outcome.global_id,), words), session)

    with _refusals_at(mrg):
        outcome = asking.parts.feed.merge(survivor, subsumed, decided, message_key, recorded)
    if outcome.ignored and not _merged_before(outcome):
        allowed = _INSTEAD[outcome.ignored]
        raise RefusedMessageError("merge-ignored", mrg.place(1, 1), allowed=allowed)
    return outcome


def _merged_before(outcome: MergeOutcome) -> bool:
    """Tell whether the two are one since an earlier message: repeating it is no mistake."""
    one = outcome.global_id == outcome.subsumed_global_id
    return outcome.ignored == Ignored.ALREADY_MERGED and one


@contextmanager
def _refusals_at(segment: Segment) -> Iterator[None]:
    """Say in which field of `segment` the index found what it refuses."""
    key = 3 if segment.name == "PID" else 1
    try:
        yield
    except ForeignDomainError as error:
        raise RefusedMessageError("foreign-authority", segment.place(key, 4)) from error
    except UnknownDomainError as error:
        raise RefusedMessageError("unknown-authority", segment.place(key, 4)) from error
    except UnknownIdentifierError as error:
        raise RefusedMessageError("unknown-identifier", segment.place(key, 1)) from error
    except InvalidStatementError as error:
        raise RefusedMessageError("invalid-value", _place(segment, error.field)) from error
    except InvalidValueError as error:
        raise RefusedMessageError("invalid-identifier", segment.place(key, 1)) from error


def _place(pid: Segment, path: str) -> Location:
    """Return where a field of a statement stands: "identifiers[1].value" is PID-3[2].1."""
    names = sorted((name for name in _PLACES if path.startswith(name)), key=len)
    if not names:
        return pid.place()
    place = re.search(r"\[(\d+)\]", path)
    repetition = int(place.group(1)) + 1 if place else 1
    return pid.place(_PLACES[names[-1]], repetition=repetition)
