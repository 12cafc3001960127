"""What the patient index refuses to do.

HubError
├── UnidentifiedPatientError    an observation without a patient identifier
├── UnknownIdentifierError      an identifier that was never observed
├── UnknownPersonError          a global ID that was never issued, or that nothing resolves to
└── UnknownReviewError          a review that does not exist
"""

from hub_kernel.errors import InvalidValueError, NotFoundError


class UnidentifiedPatientError(InvalidValueError):
    """The patient identifier is empty: who is meant cannot be known.

    Strangers sent without a patient ID must not become one person, so nothing is stored.
    """


class UnknownIdentifierError(NotFoundError):
    """No observation of this patient identifier has ever arrived."""


class UnknownPersonError(NotFoundError):
    """No identifier resolves to this global ID."""


class UnknownReviewError(NotFoundError):
    """No such question was ever asked."""
