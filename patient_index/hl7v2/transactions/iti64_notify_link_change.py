"""ITI-64 Notify XAD-PID Link Change: ADT^A43 in, one acknowledgement out (ITI TF-2 3.64).

The sender issues the patient IDs that the affinity domain uses. PID-3 names the local identifier
and the affinity domain's ID that it belongs to, MRG-1 the local identifier and the ID that it
belonged to; a local identifier that was also replaced by another differs between the two. Where
only one identifier stands in MRG-1, the local one has not changed. Documents, images and answers
follow the identifier from the moment of the acknowledgement.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from hub_kernel.identifiers import PatientIdentifier
from patient_index.errors import NotLinkedError
from patient_index.hl7v2.exchange import Asking, Done
from patient_index.hl7v2.identifiers import Authorities
from patient_index.hl7v2.problems import Location, RefusedMessageError
from patient_index.hl7v2.reading import Hl7Message, Segment
from patient_index.hl7v2.transactions.iti08_feed_patient_identity import pairs_of, require_known
from patient_index.hl7v2.writing import AnswerWriter
from patient_index.model import Decided, MoveOutcome
from patient_index.moving import LinkMove


@dataclass(frozen=True)
class _Named:
    """The local identifier and the affinity domain's ID of one field, and where they stand."""

    local: PatientIdentifier
    person: PatientIdentifier
    local_at: Location
    person_at: Location


def change_patient_link(message: Hl7Message, asking: Asking, writer: AnswerWriter) -> Done:
    """A43: MRG-1 is moved to PID-3; everything the message says is carried out, or nothing."""
    sides = [(_named(pid, 3, asking), _named(mrg, 1, asking)) for pid, mrg in pairs_of(message)]
    moves = [_move(new, former, asking) for new, former in sides]
    by = asking.peer.replayed_by or asking.sender
    decided = Decided(by=by, reason=f"A43 {asking.asked.control_id}", rule="feed")

    def recorded(session: Session, outcome: MoveOutcome) -> None:
        words = "moved" if outcome.changed else "moved before"
        asking.record(Done(outcome.global_ids, words), session)

    try:
        outcome = asking.parts.feed.move(moves, decided, asking.message_key, recorded)
    except NotLinkedError as error:
        raise _refusal(sides[error.number], former=error.former) from error
    writer.acknowledge("AA")
    if not outcome.changed:
        writer.error(RefusedMessageError("moved-before", sides[0][1].local_at), severity="I")
    return Done(outcome.global_ids, recorded=True)


def _named(segment: Segment, field: int, asking: Asking) -> _Named:
    """Read PID-3 or MRG-1; the last identifier that the sender issues is the affinity domain's.

    Raises:
        RefusedMessageError: none is the sender's, an issuer is unknown, or there are three.
    """
    authorities = Authorities(asking.parts.domains, asking.sender)
    found = [
        (authorities.identifier(cx, at), at)
        for place, cx in enumerate(segment.repetitions(field), start=1)
        if not cx.empty
        for at in [segment.place(field, repetition=place)]
    ]
    if not found:
        raise RefusedMessageError("field-missing", segment.place(field, 1))
    if len(found) > 2:  # noqa: PLR2004 (the local one and the affinity domain's)
        raise RefusedMessageError("too-intricate", segment.place(field, repetition=3))
    own = [place for place, (one, _) in enumerate(found) if _issues(one, asking)]
    if not own:
        raise RefusedMessageError(
            "foreign-authority", segment.place(field, 4), allowed=authorities.allowed
        )
    person, person_at = found.pop(own[-1])
    local, local_at = found[0] if found else (person, person_at)
    return _Named(local, person, local_at, person_at)


def _issues(identifier: PatientIdentifier, asking: Asking) -> bool:
    domains = asking.parts.domains
    return domains.may_assign(asking.sender, domains.complete("", identifier.issuer.oid))


def _move(new: _Named, former: _Named, asking: Asking) -> LinkMove:
    alone = former.local_at == former.person_at
    local_before = new.local if alone else former.local
    for identifier, at in (
        (new.person, new.person_at),
        (new.local, new.local_at),
        (former.person, former.person_at),
        (local_before, former.local_at),
    ):
        require_known(identifier, at.part(1), asking)
    if local_before.issuer.oid != new.local.issuer.oid:
        raise RefusedMessageError("foreign-authority", former.local_at.part(4))
    return LinkMove(new.local, new.person, local_before, former.person)


def _refusal(sides: Sequence[_Named], *, former: bool) -> RefusedMessageError:
    return RefusedMessageError("not-linked", sides[1 if former else 0].local_at.part(1))
