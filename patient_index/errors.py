"""What the patient index refuses to do.

HubError
├── UnidentifiedPatientError    an observation without a patient identifier
├── InvalidStatementError       a statement breaks a rule; says in which field
├── ForeignDomainError          a sender issues identifiers that are another's to issue
├── UnknownDomainError          an assigning authority the region does not know
├── UnknownIdentifierError      an identifier that was never observed
├── NotLinkedError              an identifier is not linked to the person it is moved from
├── UnknownPersonError          a global ID that was never issued, or that nothing resolves to
├── UnknownReviewError          a review that does not exist
└── UnknownDecisionError        a decision that was never made
"""

from hub_kernel.errors import HubError, InvalidValueError, NotFoundError


class UnidentifiedPatientError(InvalidValueError):
    """The patient identifier is empty: who is meant cannot be known.

    Strangers sent without a patient ID must not become one person, so nothing is stored.
    """


class InvalidStatementError(InvalidValueError):
    """A statement breaks a rule; nothing of it was stored.

    `field` is the path inside `PatientStatement`, such as "identifiers[0].value" or
    "demographics.birth_date"; edges translate it to their own segment or element.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class ForeignDomainError(HubError):
    """The sender may not issue identifiers of this assigning authority."""


class UnknownDomainError(NotFoundError):
    """No assigning authority of that namespace or OID is known, or the two contradict."""


class UnknownIdentifierError(NotFoundError):
    """No observation of this patient identifier has ever arrived."""


class NotLinkedError(HubError):
    """The `number`-th move, from 0, names identifiers that are not linked as it says.

    `former` tells that it is about where the identifier is moved from, else about where to.
    """

    def __init__(self, number: int, *, former: bool) -> None:
        super().__init__("an identifier is not linked to the person it is said to belong to")
        self.number = number
        self.former = former


class QuestionTooWideError(HubError):
    """Too many would have to be read to answer a question; it has to say more."""


class UnknownPersonError(NotFoundError):
    """No identifier resolves to this global ID."""


class UnknownReviewError(NotFoundError):
    """No such question was ever asked."""


class UnknownDecisionError(NotFoundError):
    """No such decision was ever made."""
