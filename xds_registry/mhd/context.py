"""What the transactions over FHIR stand on, and what one request of theirs may see."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from access_control.audit_message import AuditObject, Outcome
from access_control.model import Action, Subject
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from image_archive.backend import ArchiveBackend
from image_archive.index import ArchiveIndex
from xds_registry.affinity_domain import AffinityDomain
from xds_registry.gate import Gate
from xds_registry.linked_people import LinkedPeople, PersonLinks
from xds_registry.mhd.document_references import ModalityScheme
from xds_registry.mhd.submissions import Submissions
from xds_registry.repository import DocumentRepository

GateOf = Callable[[Subject, Action, LinkedPeople], Gate]


@dataclass(frozen=True)
class Context:
    """What every transaction needs; safe to share between threads.

    `people` and `gate` are made anew for every request: both remember what they looked up.
    `own_oid` is the hub's: the source of what comes without one. `dicomweb_url` is as in
    `RegistryNames`.
    """

    database: Database
    clock: Clock
    links: PersonLinks
    people: Callable[[], LinkedPeople]
    gate: GateOf
    repository: DocumentRepository
    backend: ArchiveBackend
    submissions: Submissions
    index: ArchiveIndex
    domain: AffinityDomain
    own_oid: str
    dicomweb_url: Callable[[], str]

    def view(self, subject: Subject, action: Action) -> "View":
        """Return what one request of `subject` sees, for `action`."""
        people = self.people()
        return View(people, self.gate(subject, action, people))

    @property
    def modality_scheme(self) -> ModalityScheme:
        """How the region codes modalities."""
        return ModalityScheme(self.domain.modality_scheme)


@dataclass(frozen=True)
class View:
    """The people as they are linked now, and which of them may be seen."""

    people: LinkedPeople
    gate: Gate


@dataclass(frozen=True)
class Fact:
    """What one audit record says; `transaction` is what IHE calls it, `query` what was asked."""

    action: str
    outcome: Outcome
    resource_kind: str
    resource_id: str
    transaction: str
    detail: str = ""
    query: str = ""
    objects: tuple[AuditObject, ...] = ()


def person_facts(gate: Gate, transaction: str, query: str) -> Iterator[Fact]:
    """Yield a fact for each person a query concerned, one where it concerned nobody."""
    action = Action.QUERY_REGISTRY
    for person in gate.allowed:
        yield Fact(action, "success", "patient", person, transaction, query=query)
    for person in gate.refused:
        yield Fact(action, "refused", "patient", person, transaction, query=query)
    if not gate.allowed and not gate.refused:
        yield Fact(action, "success", "patient", "", transaction, "nobody concerned", query)
