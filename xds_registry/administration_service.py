"""The transactions of document administrators and on-demand sources, as rows of the registry."""

from collections.abc import Callable
from dataclasses import dataclass

from access_control.model import Action
from hub_kernel.clock import Clock
from xds_registry.affinity_domain import AffinityDomain
from xds_registry.gate import Gate, ItemHeld
from xds_registry.linked_people import LinkedPeople
from xds_registry.removing import Remover
from xds_registry.submitting import Submitter
from xds_registry.subscriptions_events import updated_documents
from xds_registry.transacting import Answer, Call, Transaction
from xds_registry.transactions import iti57_update_document_set as iti57
from xds_registry.transactions import iti61_register_on_demand_document_entry as iti61
from xds_registry.transactions import iti62_remove_metadata as iti62
from xds_registry.transactions import iti92_restricted_update_document_set as iti92
from xds_registry.transactions.iti86_remove_documents import is_own_document
from xds_registry.updating import Updated, Updater


@dataclass(frozen=True)
class AdministrationParts:
    """What administration stands on; `people` and `gate` are made anew for every request."""

    domain: AffinityDomain
    clock: Clock
    people: Callable[[], LinkedPeople]
    gate: Callable[[Call, Action, LinkedPeople], Gate]
    submitter: Callable[[Call], Submitter]
    is_held: ItemHeld


class AdministrationService:
    """Registers on-demand entries, updates and removes metadata."""

    def __init__(self, parts: AdministrationParts) -> None:
        self._parts = parts

    def transactions(self) -> list[Transaction]:
        """Return ITI-57, 61, 62 and 92."""
        action = Action.ADMINISTER_DOCUMENTS
        return [
            _writing(iti61.ACTION, iti61.ANSWER_ACTION, self._register, Action.SUBMIT_DOCUMENTS),
            _writing(iti57.ACTION, iti57.ANSWER_ACTION, self._update, action),
            _writing(iti92.ACTION, iti92.ANSWER_ACTION, self._restricted_update, action),
            _writing(iti62.ACTION, iti62.ANSWER_ACTION, self._remove, action, iti62.REQUEST_TAG),
        ]

    def _register(self, call: Call) -> Answer:
        return iti61.register_on_demand(call.body, call.session, self._parts.submitter(call))

    def _update(self, call: Call) -> Answer:
        return iti57.update_document_set(
            call.body, call.session, self._updater(call), _telling(call)
        )

    def _restricted_update(self, call: Call) -> Answer:
        return iti92.restricted_update_document_set(
            call.body, call.session, self._updater(call), _telling(call)
        )

    def _remove(self, call: Call) -> Answer:
        _, gate = self._asked(call)
        remover = Remover(gate, self._parts.clock, is_own_document, self._parts.is_held)
        return iti62.remove_metadata(call.body, call.session, call.subject, remover)

    def _updater(self, call: Call) -> Updater:
        people, gate = self._asked(call)
        parts = self._parts
        return Updater(parts.domain, people, gate, parts.clock, is_own_document)

    def _asked(self, call: Call) -> tuple[LinkedPeople, Gate]:
        people = self._parts.people()
        return people, self._parts.gate(call, Action.ADMINISTER_DOCUMENTS, people)


def _telling(call: Call) -> iti57.Tell:
    """Return what tells subscribers of new versions, once the transaction of `call` commits."""

    def tell(done: Updated) -> None:
        if call.work is not None and done.entry_uuids:
            uuid = done.submission_set.entry_uuid
            call.work.publish(updated_documents(uuid, done.entry_uuids, call.work.clock))

    return tell


def _writing(
    action: str,
    answer_action: str,
    run: Callable[[Call], Answer],
    audit_action: Action,
    request_tag: str = iti57.REQUEST_TAG,
) -> Transaction:
    return Transaction(
        request_tag, action, answer_action, run, writes=True, audit_action=audit_action
    )
