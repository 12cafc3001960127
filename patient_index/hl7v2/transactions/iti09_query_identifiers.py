"""ITI-9 PIX Query: one identifier in, the person's other identifiers out (ITI TF-2 3.9).

An unknown identifier and an unknown domain are errors, named to the component; a person who refuses
to be found by the asker is answered like one whom nobody knows. A known person without an
identifier in the domains asked for is "not found". An identifier that its issuer merged into
another is no longer known by itself; the survivor's answer has it at the end.
"""

from hub_kernel.identifiers import PatientIdentifier
from patient_index.errors import UnknownIdentifierError
from patient_index.hl7v2.exchange import Asking, Done
from patient_index.hl7v2.identifiers import Authorities
from patient_index.hl7v2.pid_writing import pix_person
from patient_index.hl7v2.problems import RefusedMessageError
from patient_index.hl7v2.query import add_query_answer, require_immediate
from patient_index.hl7v2.reading import Hl7Message, Segment
from patient_index.hl7v2.relations import merged_identifiers
from patient_index.hl7v2.writing import AnswerWriter


def query_identifiers(message: Hl7Message, asking: Asking, writer: AnswerWriter) -> Done:
    """Answer QBP^Q23 with RSP^K23: the global ID first, the identifier asked about after others."""
    qpd = message.required("QPD")
    require_immediate(message)
    identifier = _asked_for(qpd, asking)
    targets = domains_wanted(qpd, 4, asking)
    try:
        known = asking.parts.lookup.cross_references(identifier)
    except UnknownIdentifierError as error:
        raise RefusedMessageError("unknown-identifier", qpd.place(3, 1)) from error
    person = known[0].value
    if not asking.may_find(person):
        at = qpd.place(3, 1)
        raise RefusedMessageError("unknown-identifier", at, concerning=(person,))
    merged = merged_identifiers(asking.parts.database, person)
    if identifier in merged:
        raise RefusedMessageError("merged-identifier", qpd.place(3, 1))
    everything = tuple(
        one
        for one in dict.fromkeys((*known, *merged))
        if targets is None or one.issuer.oid in targets
    )
    add_query_answer(writer, qpd, "OK" if everything else "NF")
    if everything:
        pix_person(writer, everything)
    return Done((person,), f"{len(everything)} identifiers")


def domains_wanted(qpd: Segment, number: int, asking: Asking) -> tuple[str, ...] | None:
    """Return the OIDs of "what domains returned" (QPD-4 or QPD-8); None for all.

    Raises:
        RefusedMessageError: a domain is not known.
    """
    authorities = query_authorities(asking)
    oids = [
        authorities.domain(cx, qpd.place(number, 4, place)).oid
        for place, cx in enumerate(qpd.repetitions(number), start=1)
        if not cx.empty
    ]
    return tuple(dict.fromkeys(oids)) or None


def query_authorities(asking: Asking) -> Authorities:
    """Return who may be named in a query: nobody unknown, as an error of the application."""
    return Authorities(
        asking.parts.domains, asking.sender, unknown="unknown-domain", missing="domain-missing"
    )


def _asked_for(qpd: Segment, asking: Asking) -> PatientIdentifier:
    found = qpd.repetitions(3)
    if not found or found[0].empty:
        raise RefusedMessageError("field-missing", qpd.place(3, 1))
    return query_authorities(asking).identifier(found[0], qpd.place(3))
