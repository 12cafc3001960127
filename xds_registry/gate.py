"""What one caller may see of the registry: decided per person, asked once each per request."""

from collections.abc import Callable, Collection, Sequence

from sqlalchemy.orm import Session

from access_control.model import NO_REFUSALS, Action, Purpose, Refusals, Resource, Subject
from access_control.policy import BEYOND_CONSENT, decide
from hub_kernel.identifiers import PatientIdentifier
from xds_registry.errors import ErrorText
from xds_registry.linked_people import LinkedPeople
from xds_registry.model import DocumentEntry, Folder, SubmissionSet

SitesOfPatient = Callable[[Collection[PatientIdentifier]], frozenset[str]]
"""The sites where the person with these identifiers is known: there a treatment relation stands."""

RefusalsOfPatient = Callable[[Collection[PatientIdentifier]], Refusals]
"""What the person with these identifiers refuses."""

PersonHeld = Callable[[Session, Collection[PatientIdentifier]], bool]
"""Whether anything of the person with these identifiers is under a legal hold."""

ItemHeld = Callable[[Session, DocumentEntry | SubmissionSet | Folder], bool]
"""Whether the person an object is about is."""

HELD = ErrorText(
    "the record of this person is under a legal hold; nothing of it is removed until it is lifted",
    "该患者的档案处于依法保全状态，解除前不得删除任何内容",
)


def nobody_held(_session: Session, _identifiers: Collection[PatientIdentifier]) -> bool:
    """Say that nobody is held."""
    return False


_PURPOSES = {Action.ADMINISTER_DOCUMENTS: Purpose.OPERATIONS}


class Gate:
    """Decides for one subject and one action, and remembers whom it decided about."""

    def __init__(
        self,
        subject: Subject,
        action: Action,
        people: LinkedPeople,
        sites_of_patient: SitesOfPatient,
        refusals_of_patient: RefusalsOfPatient,
    ) -> None:
        self._subject = subject
        self._action = action
        self._people = people
        self._sites_of_patient = sites_of_patient
        self._refusals_of_patient = refusals_of_patient
        self._decided: dict[str, bool] = {}

    def sees_person(self, global_id: str) -> bool:
        """Tell whether the subject may see the documents of this person."""
        return self._sees(global_id, self._people.identifiers_of(global_id))

    def sees(self, item: DocumentEntry | SubmissionSet | Folder) -> bool:
        """Tell whether the subject may see `item`; unlinked ones are the whole region's alone."""
        person = self._people.person_of(item.linked_identifier)
        if person is None:
            return self._sees(item.linked_identifier, ())
        return self._decided[person] if person in self._decided else self.sees_person(person)

    @property
    def allowed(self) -> Sequence[str]:
        """The people whose documents may be seen, of those that were asked about."""
        return sorted(person for person, allowed in self._decided.items() if allowed)

    @property
    def refused(self) -> Sequence[str]:
        """The people whose documents were held back."""
        return sorted(person for person, allowed in self._decided.items() if not allowed)

    def _sees(self, person: str, identifiers: Collection[PatientIdentifier]) -> bool:
        if person not in self._decided:
            beyond = self._action in BEYOND_CONSENT
            refusals = NO_REFUSALS if beyond else self._refusals_of_patient(identifiers)
            sites = self._sites_of_patient(identifiers)
            resource = Resource("patient", person, sites, refusals=refusals)
            purpose = _PURPOSES.get(self._action, Purpose.TREATMENT)
            decision = decide(self._subject, self._action, resource, purpose)
            self._decided[person] = decision.allowed
        return self._decided[person]
