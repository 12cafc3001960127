"""Who is one person: what is said of people, what is known of them, how links explain themselves.

Plain values only. The rules that link are in `link_rules`, the comparison of whole records in
`matching`.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, time
from enum import StrEnum

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.person_names import NameKeys, PersonName


class IdentifierKind(StrEnum):
    """What sort of number an identifier is (HL7 table 0203 in the words of the region)."""

    RESIDENT_ID = "resident-id"
    """居民身份证: 18 characters with a check digit, or the old 15."""
    HEALTH_CARD = "health-card"
    """电子健康卡, residents' health card."""
    INSURANCE = "insurance"
    """医保卡, number of the insured."""
    HEALTH_RECORD = "health-record"
    """居民健康档案, 17 or 18 characters."""
    PASSPORT = "passport"
    LOCAL = "local"
    """A site's own patient number."""
    MOTHER = "mother"
    """The mother's number, on the record of her child: never the child's own."""
    TEMPORARY = "temporary"
    """Given at the door to somebody unknown, to be resolved later."""
    OTHER = "other"


@dataclass(frozen=True)
class TypedIdentifier:
    """An identifier and what sort of number it is."""

    identifier: PatientIdentifier
    kind: IdentifierKind = IdentifierKind.LOCAL


@dataclass(frozen=True)
class Address:
    """Where somebody lives; `text` is the whole in one line, when that is how it was sent."""

    street: str = ""
    city: str = ""
    province: str = ""
    postal_code: str = ""
    text: str = ""


@dataclass(frozen=True)
class Demographics:
    """What a source says about one person; everything may be unknown.

    `sex` is "M", "F", "O", "U" or "". `birth_date_text` is the date as sent when that is less
    precise than a day ("1983", "198305"); `birth_date` is then None. `mothers_identifiers` name
    another person and never link this one to her.
    """

    name: PersonName = PersonName()
    other_names: tuple[PersonName, ...] = ()
    birth_date: date | None = None
    birth_time: time | None = None
    birth_date_text: str = ""
    sex: str = ""
    address: Address = Address()
    phones: tuple[str, ...] = ()
    mother_name: PersonName | None = None
    mothers_identifiers: tuple[PatientIdentifier, ...] = ()
    multiple_birth: bool | None = None
    birth_order: int | None = None
    deceased: bool | None = None
    deceased_at: datetime | None = None
    language: str = ""
    marital_status: str = ""


@dataclass(frozen=True)
class PatientStatement:
    """One message about one patient; the first identifier is the source's own.

    `source` is a site or a sending application ("APP|FACILITY"). `provisional` marks somebody
    unknown, a newborn without papers, an emergency: linked by identifiers alone, until a later
    statement that is not provisional resolves who it is.
    """

    identifiers: tuple[TypedIdentifier, ...]
    demographics: Demographics = Demographics()
    source: str = ""
    provisional: bool = False


@dataclass(frozen=True)
class Person:
    """A person as the region knows them now: a global ID and all identifiers that resolve to it.

    Name, birth date and sex are the most recent trustworthy ones that any site sent; so is each
    field of `demographics`. `cards` are further identifiers that sources stated without being their
    issuers (resident ID, insurance, another site's number). `merged` are those of `identifiers`
    that a site has merged into another of its own: they still lead here, and are no longer used.
    `mothers` are the global IDs of the mothers that were named; `mother_named_by` is the one whose
    own record says what she is called, empty when this person's says it.
    """

    global_id: str
    name: PersonName
    birth_date: date | None
    sex: str
    identifiers: tuple[PatientIdentifier, ...]
    demographics: Demographics = Demographics()
    cards: tuple[TypedIdentifier, ...] = ()
    merged: tuple[PatientIdentifier, ...] = ()
    provisional: bool = False
    mothers: tuple[str, ...] = ()
    updated_at: datetime | None = None
    mother_named_by: str = ""

    def without_mothers_record(self) -> "Person":
        """Return the person as known without what the mother's own record says of her."""
        if not self.mother_named_by:
            return self
        unnamed = replace(self.demographics, mother_name=None)
        return replace(self, demographics=unnamed, mother_named_by="")


@dataclass(frozen=True)
class FieldNote:
    """One field of an explanation: how well it agreed and what that was worth, in bits."""

    field: str
    level: str
    weight: float = 0.0
    mine: str = ""
    theirs: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why two records are held to be one person: the score in bits, and what it is made of."""

    score: float | None = None
    fields: tuple[FieldNote, ...] = ()
    weights: str = ""
    """Name and version of the weights that were used; empty when no weights were."""


@dataclass(frozen=True)
class Decided:
    """Who or what decided a change of links, and why; `reason` never holds patient data."""

    by: str
    reason: str
    rule: str = "person"


@dataclass(frozen=True)
class KnownAs:
    """What a person is known as now: every identifier, and every global ID that leads here."""

    identifiers: tuple[PatientIdentifier, ...]
    predecessors: tuple[str, ...]


@dataclass(frozen=True)
class LinkEntry:
    """One line of the link log: from here on the identifier resolves to this global ID.

    `decision_id` names the decision it belongs to, so that the whole of it can be taken back.
    """

    identifier: PatientIdentifier
    global_id: str
    action: str
    decided: Decided
    logged_at: datetime
    decision_id: int | None = None
    explanation: Explanation = Explanation()


@dataclass(frozen=True)
class Decision:
    """One change of links as a whole: a rule's link, a person's, a merge, or its undoing.

    `undoes` is the decision that this one took back, `undone_by` the one that took this back.
    """

    decision_id: int
    action: str
    survivor: str
    subsumed: str
    decided: Decided
    decided_at: datetime
    moved: tuple[PatientIdentifier, ...] = ()
    explanation: Explanation = Explanation()
    undoes: int | None = None
    undone_by: int | None = None


@dataclass(frozen=True)
class Review:
    """A question for a person: are the holders of these two identifiers one person?"""

    review_id: int
    identifier: PatientIdentifier
    candidate: PatientIdentifier
    rule: str
    reason: str
    explanation: Explanation = Explanation()
    raised_at: datetime | None = None


@dataclass(frozen=True)
class FeedOutcome:
    """What became of a statement. `linked_by` is the rule that joined it to a known person."""

    global_id: str
    created: bool
    linked_by: str | None = None
    review_id: int | None = None


@dataclass(frozen=True)
class MergeOutcome:
    """What became of a merge; `ignored` says why nothing was done, in one word of `Ignored`."""

    global_id: str
    ignored: str | None = None
    subsumed_global_id: str = ""
    decision_id: int | None = None


@dataclass(frozen=True)
class MoveOutcome:
    """What became of moved identifiers: the persons concerned, and how many moves changed links."""

    global_ids: tuple[str, ...]
    changed: int


class Ignored(StrEnum):
    """Why a merge was not carried out; the log keeps the reason."""

    ITSELF = "itself"
    WRONG_AUTHORITY = "wrong-authority"
    ALREADY_MERGED = "already-merged"
    LOOP = "loop"
    SURVIVOR_MERGED = "survivor-merged"


class Grade(StrEnum):
    """How sure a match is (FHIR match-grade)."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    POSSIBLE = "possible"
    CERTAINLY_NOT = "certainly-not"


@dataclass(frozen=True)
class ScoredPerson:
    """Somebody who may be meant; `score` is between 0 and 1, `evidence` says why."""

    person: Person
    score: float
    grade: Grade
    evidence: Explanation = Explanation()


@dataclass(frozen=True)
class PersonCriteria:
    """Who is looked for; what is empty does not narrow, what is given all has to agree.

    `name` is free text (Hanzi, pinyin, initials); `family` and `given` are components. Names and
    address parts match from their beginning, without regard to case. `identifiers`, and `numbers`
    whose issuer was not said, are any of a person's numbers; several mean any of them. `born_from`
    and `born_until` are both included.
    """

    identifiers: tuple[PatientIdentifier, ...] = ()
    numbers: tuple[str, ...] = ()
    name: str = ""
    family: str = ""
    given: str = ""
    birth_date: date | None = None
    born_from: date | None = None
    born_until: date | None = None
    sex: str = ""
    address: Address = Address()
    phone: str = ""
    mother_name: str = ""
    global_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A part of an answer; `next_cursor` continues it, and is None at its end."""

    persons: tuple[Person, ...]
    next_cursor: str | None = None


def names_agree(first: NameKeys, second: NameKeys) -> bool:
    """Say whether two names can be one person's.

    Homophones agree (a registrar hears the name before seeing it), and so do family and given name
    in the other order; a name of which nothing is known does not disagree.
    """
    if first.hanzi and first.hanzi == second.hanzi:
        return True
    mine, theirs = _sounds(first), _sounds(second)
    if not mine or not theirs:
        return True
    return any(_same_in_any_order(one, other) for one in mine for other in theirs)


def known_sex(text: str) -> str:
    """Return "M" or "F" when `text` says so, else "" (PS3.3 C.7.1.1; "O" tells nothing)."""
    letter = text.strip().upper()[:1]
    return letter if letter in {"M", "F"} else ""


def _sounds(keys: NameKeys) -> set[str]:
    return {sound for sound in (keys.pinyin, keys.alphabetic) if sound}


def _same_in_any_order(one: str, other: str) -> bool:
    return len(one) == len(other) and one in other + other
