"""The transactions of the document repository, as rows of its endpoint's route table."""

from collections.abc import Callable
from dataclasses import dataclass

from access_control.model import Action
from xds_registry.gate import Gate, ItemHeld
from xds_registry.providing import Provider
from xds_registry.repository import DocumentRepository
from xds_registry.repository_intake import DocumentIntake
from xds_registry.submitting import Submitter
from xds_registry.transacting import Answer, AuditFact, Call, Transaction
from xds_registry.transactions import iti41_provide_and_register_document_set as iti41
from xds_registry.transactions import iti43_retrieve_document_set as iti43
from xds_registry.transactions import iti86_remove_documents as iti86

_LONGEST_ID = 128


@dataclass(frozen=True)
class RepositoryServiceParts:
    """What the repository's transactions stand on; `home_community_id` is ours, or empty.

    `gate` and `submitter` are made anew for every call: both remember what they looked up.
    """

    repository: DocumentRepository
    intake: DocumentIntake
    home_community_id: str
    gate: Callable[[Call, Action], Gate]
    submitter: Callable[[Call], Submitter]
    is_held: ItemHeld


class RepositoryService:
    """Answers ITI-41, ITI-43 and ITI-86."""

    def __init__(self, parts: RepositoryServiceParts) -> None:
        self._parts = parts
        self._provider = Provider(parts.repository, parts.intake)

    def transactions(self) -> list[Transaction]:
        """Return the rows of the repository's endpoint."""
        return [
            Transaction(
                iti41.REQUEST_TAG,
                iti41.ACTION,
                iti41.ANSWER_ACTION,
                self._provide,
                writes=True,
                takes_documents=True,
                correctable=True,
                audit_action=Action.SUBMIT_DOCUMENTS,
                code="ITI-41",
            ),
            Transaction(
                iti43.REQUEST_TAG,
                iti43.ACTION,
                iti43.ANSWER_ACTION,
                self._retrieve,
                response_tag=iti43.RESPONSE_TAG,
                code="ITI-43",
            ),
            Transaction(
                iti86.REQUEST_TAG,
                iti86.ACTION,
                iti86.ANSWER_ACTION,
                self._remove,
                writes=True,
                audit_action=Action.ADMINISTER_DOCUMENTS,
                code="ITI-86",
            ),
        ]

    def _provide(self, call: Call) -> Answer:
        return iti41.provide_and_register(call, self._provider, self._parts.submitter(call))

    def _retrieve(self, call: Call) -> Answer:
        parts = self._parts
        gate = parts.gate(call, Action.RETRIEVE_DOCUMENT)
        retrieval = iti43.Retrieval(call.session, parts.repository, gate, parts.home_community_id)
        answer = iti43.retrieve_document_set(call.body, retrieval)
        facts = tuple(_retrieve_fact(outcome) for outcome in answer.outcomes)
        return Answer(answer.payload, facts, answer.attachments)

    def _remove(self, call: Call) -> Answer:
        parts = self._parts
        gate = parts.gate(call, Action.ADMINISTER_DOCUMENTS)
        removal = iti86.Removal(
            parts.repository,
            parts.intake,
            gate,
            parts.home_community_id,
            iti86.is_own_document,
            parts.is_held,
        )
        return iti86.remove_documents(call, removal)


def _retrieve_fact(outcome: iti43.DocumentOutcome) -> AuditFact:
    unique_id = outcome.request.document_unique_id[:_LONGEST_ID]
    if outcome.refusal is None:
        return AuditFact("success", unique_id)
    return AuditFact("refused", unique_id, str(outcome.refusal))
