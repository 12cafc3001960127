"""Changes of links that a registrar makes from a person's history.

Each commits together with its audit record: what cannot be put on record does not happen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub_kernel.errors import InvalidValueError
from patient_index.errors import UnknownDecisionError
from patient_index.merging import Merger, relink, unlink
from viewer_api.identity_desk import changed, decided_now
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub_kernel.identifiers import PatientIdentifier
    from patient_index.model import Decision, LinkEntry, MergeOutcome, Person


def merge(survivor: Person, subsumed: Person, reason: str) -> MergeOutcome:
    """Make everything of `subsumed` resolve to `survivor`.

    Raises:
        InvalidValueError: no reason is given, or the two are one already.
        UnknownPersonError: nothing resolves to one of the two any more.
    """
    if survivor.global_id == subsumed.global_id:
        raise InvalidValueError("the two are one person already")
    decided = decided_now(reason)
    return changed(
        (survivor, subsumed),
        f"{subsumed.global_id} merged into {survivor.global_id}",
        lambda work: Merger(work).merge_persons(survivor.global_id, subsumed.global_id, decided),
    )


def separate(person: Person, number: PatientIdentifier, reason: str) -> str:
    """Make one number a person of its own again; return that person's global ID.

    Raises:
        InvalidValueError: no reason is given.
        UnknownIdentifierError: the number was never observed.
    """
    decided = decided_now(reason)
    return changed(
        (person,),
        lambda own: f"a number taken apart, now {own}",
        lambda work: unlink(work, number, decided),
    )


def move(person: Person, number: PatientIdentifier, to: Person, reason: str) -> None:
    """Make one number of `person` resolve to another person.

    Raises:
        InvalidValueError: no reason is given.
        UnknownIdentifierError, UnknownPersonError: one of the two is not known any more.
    """
    decided = decided_now(reason)
    changed(
        (person, to),
        f"a number moved to {to.global_id}",
        lambda work: relink(work, number, to.global_id, decided),
    )


def take_back(person: Person, decision_id: int, reason: str) -> int:
    """Take back one decision that concerned the person; return the decision that undid it.

    Raises:
        InvalidValueError: no reason is given.
        UnknownDecisionError: no such decision concerned the person.
    """
    decided = decided_now(reason)
    concerned = {one.decision_id for one in decisions_of(person, entries_of(person))}
    if decision_id not in concerned:
        raise UnknownDecisionError("no such decision about this person")
    return changed(
        (person,),
        f"decision {decision_id} taken back",
        lambda work: Merger(work).take_back(decision_id, decided),
    )


def entries_of(person: Person) -> list[LinkEntry]:
    """Return every line of the link log about the person's numbers, oldest first."""
    lines = [line for number in person.identifiers for line in services().patients.history(number)]
    return sorted(lines, key=lambda line: line.logged_at)


def decisions_of(person: Person, entries: Sequence[LinkEntry]) -> list[Decision]:
    """Return every decision about any global ID that the person's numbers ever had."""
    people = dict.fromkeys([person.global_id, *[entry.global_id for entry in entries]])
    found = {
        decision.decision_id: decision
        for global_id in people
        for decision in services().patients.decisions(global_id)
    }
    return [found[decision_id] for decision_id in sorted(found)]
