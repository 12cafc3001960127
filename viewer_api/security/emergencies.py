"""Whose record the current subject has opened in an emergency that has not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from viewer_api.security.remembered import remembered
from viewer_api.security.subjects import current_subject
from viewer_api.services import services

if TYPE_CHECKING:
    from collections.abc import Collection

    from access_control.break_glass import BrokenGlass
    from hub_kernel.identifiers import PatientIdentifier


def glass_broken(identifiers: Collection[PatientIdentifier]) -> BrokenGlass | None:
    """Return the subject's emergency about the one person who has all of `identifiers`, if any.

    A record that was merged meanwhile stays open under its new global ID; what is split off it
    does not.
    """
    if not identifiers:
        return None
    user_id = current_subject().subject_id
    known_as = min(identifiers, key=lambda one: (one.value, one.issuer.oid))
    key = ("broken glass", user_id, known_as.value, known_as.issuer.oid)
    return remembered(key, lambda: _standing(user_id, known_as))


def _standing(user_id: str, known_as: PatientIdentifier) -> BrokenGlass | None:
    standing = services().break_glass.open_of(user_id)
    patients = services().patients
    holder = patients.resolve(known_as) if standing else None
    for glass in standing:
        if holder is not None and patients.successor(glass.global_id) == holder:
            return glass
    return None
