"""CX values: a number and who issued it, completed and checked (ITI TF-2 3.8.4.1.2.3, 3.9.4)."""

from dataclasses import dataclass

from hub_kernel.errors import InvalidValueError
from hub_kernel.identifiers import PatientIdentifier
from patient_index.candidates import RESIDENTS
from patient_index.domains import Domain, DomainDirectory
from patient_index.errors import UnknownDomainError
from patient_index.hl7v2.problems import Location, RefusedMessageError
from patient_index.hl7v2.reading import Repetition, Segment
from patient_index.hl7v2.values import KINDS
from patient_index.model import IdentifierKind, TypedIdentifier
from patient_index.resident_id import is_resident_shaped

_ISO = frozenset({"", "ISO"})
_LONGEST = 64


@dataclass(frozen=True)
class Authorities:
    """Who may be named as an issuer; `unknown` and `missing` are the rules for one that is not."""

    directory: DomainDirectory
    sender: str
    unknown: str = "unknown-authority"
    missing: str = "authority-missing"

    @property
    def allowed(self) -> str:
        """The domains that this sender issues in, for the words of a refusal."""
        own = self.directory.of_sender(self.sender)
        return ", ".join(f"{domain.namespace} ({domain.oid})" for domain in own)

    def domain(self, cx: Repetition, at: Location, component: int = 4) -> Domain:
        """Return the domain that a CX names by namespace, OID or both.

        Raises:
            RefusedMessageError: it names none, one that nobody knows, or two at once.
        """
        namespace, oid = cx.text(component, 1), cx.text(component, 2)
        if oid and cx.text(component, 3).upper() not in _ISO:
            oid = ""
        if not namespace and not oid:
            raise RefusedMessageError(self.missing, at, allowed=self.allowed)
        try:
            return self.directory.complete(namespace, oid)
        except UnknownDomainError as error:
            rule = "contradictory-authority" if self._both_known(namespace, oid) else self.unknown
            came = "&".join(filter(None, (namespace, oid)))
            raise RefusedMessageError(rule, at, came=came, allowed=self.allowed) from error

    def identifier(
        self, cx: Repetition, at: Location, default: Domain | None = None
    ) -> PatientIdentifier:
        """Return the identifier of a CX; `default` is the domain of one that names none.

        Raises:
            RefusedMessageError: as `domain`, or the number is empty or over-long.
        """
        value = cx.text(1)
        if not value or len(value) > _LONGEST or not value.isprintable():
            raise RefusedMessageError("invalid-identifier", at.part(1), allowed="1…64")
        unnamed = not cx.text(4, 1) and not cx.text(4, 2)
        domain = default if default and unnamed else self.domain(cx, at.part(4))
        try:
            return PatientIdentifier(value, domain.authority)
        except InvalidValueError as error:
            raise RefusedMessageError("unknown-authority", at.part(4)) from error

    @property
    def knows_residents(self) -> bool:
        """Whether the region takes resident ID numbers (a domain of their OID is configured)."""
        return any(domain.oid == RESIDENTS.oid for domain in self.directory.all())

    def _both_known(self, namespace: str, oid: str) -> bool:
        known = self.directory.all()
        return any(d.namespace == namespace for d in known) and any(d.oid == oid for d in known)


def patient_identifiers(
    segment: Segment, number: int, authorities: Authorities
) -> tuple[TypedIdentifier, ...]:
    """Return the identifiers of a CX field; the first is one that the sender itself issues.

    Raises:
        RefusedMessageError: the field is empty, a domain is unknown, or none is the sender's own.
    """
    found: list[TypedIdentifier] = []
    own: list[bool] = []
    for place, cx in enumerate(segment.repetitions(number), start=1):
        if cx.empty:
            continue
        typed = _typed(cx, segment.place(number, repetition=place), authorities)
        found.append(typed)
        own.append(_may_assign(typed, authorities))
    if not found:
        raise RefusedMessageError("field-missing", segment.place(number, 1))
    if not any(own):
        issuer = found[0].identifier.issuer
        came = f"{issuer.namespace}&{issuer.oid}"
        raise RefusedMessageError(
            "foreign-authority", segment.place(number, 4), came=came, allowed=authorities.allowed
        )
    first = own.index(True)
    return (found[first], *found[:first], *found[first + 1 :])


def stated_number(cx: Repetition, at: Location, authorities: Authorities) -> TypedIdentifier | None:
    """Return the number of PID-19, which may name its issuer; None when nothing says whose it is.

    Raises:
        RefusedMessageError: it names an issuer nobody knows.
    """
    value = cx.text(1)
    if cx.text(4, 1) or cx.text(4, 2):
        return TypedIdentifier(authorities.identifier(cx, at), IdentifierKind.OTHER)
    if not is_resident_shaped(value) or not authorities.knows_residents:
        return None
    return TypedIdentifier(PatientIdentifier(value, RESIDENTS), IdentifierKind.RESIDENT_ID)


def _typed(cx: Repetition, at: Location, authorities: Authorities) -> TypedIdentifier:
    kind = KINDS.get(cx.text(5).upper(), IdentifierKind.OTHER)
    unnamed = not cx.text(4, 1) and not cx.text(4, 2)
    if unnamed and kind is IdentifierKind.RESIDENT_ID and authorities.knows_residents:
        return TypedIdentifier(PatientIdentifier(cx.text(1), RESIDENTS), kind)
    return TypedIdentifier(authorities.identifier(cx, at), kind)


def _may_assign(typed: TypedIdentifier, authorities: Authorities) -> bool:
    domain = authorities.directory.complete("", typed.identifier.issuer.oid)
    return authorities.directory.may_assign(authorities.sender, domain)
