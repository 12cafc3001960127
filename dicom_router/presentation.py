"""Which presentation contexts the node accepts, and in which transfer syntax (PS3.8 7.1.1.13-14).

Storage takes every transfer syntax of the standard as it is proposed: instances are stored as they
were sent and never transcoded on receipt.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum

from pydicom._uid_dict import UID_dictionary
from pynetdicom import sop_class

from access_control.model import Site
from dicom_router.association_request import AssociationRequest, ProposedContext

IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN = "1.2.840.10008.1.2.2"

VERIFICATION = "1.2.840.10008.1.1"
PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
STUDY_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.3"
STORAGE_COMMITMENT_PUSH_MODEL = "1.2.840.10008.1.20.1"
QUERY_SOP_CLASSES = frozenset({PATIENT_ROOT_FIND, STUDY_ROOT_FIND})
MOVE_SOP_CLASSES = frozenset({PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE})
GET_SOP_CLASSES = frozenset({PATIENT_ROOT_GET, STUDY_ROOT_GET})
PATIENT_ROOT = frozenset({PATIENT_ROOT_FIND, PATIENT_ROOT_MOVE, PATIENT_ROOT_GET})
_SERVICE_SOP_CLASSES = frozenset(
    {
        VERIFICATION,
        STORAGE_COMMITMENT_PUSH_MODEL,
        *QUERY_SOP_CLASSES,
        *MOVE_SOP_CLASSES,
        *GET_SOP_CLASSES,
    }
)
# How many fields of the service class application information are known here (PS3.4 tables C.5-2,
# C.5-3); what a peer says beyond them is left unanswered.
_EXTENDED_FIELDS = {
    **dict.fromkeys(QUERY_SOP_CLASSES, 4),
    **dict.fromkeys(MOVE_SOP_CLASSES | GET_SOP_CLASSES, 1),
}

_COMMAND_TRANSFER_SYNTAXES = frozenset(
    {IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN}
)
# Everything under DICOM's own root, so that codings younger than this program are stored too,
# except what is no encoding of a stored dataset: MIME, XML, and SMPTE real-time streams.
_STANDARD_TRANSFER_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.2(?!\.[67]\.)(\.[0-9]{1,6}){0,4}")
# Storage classes that name no patient and no study (PS3.3 A.1.4): nothing to file them under in the
# archive. Performed protocols, 200.2 and 200.8, name both.
_NOT_IN_A_STUDY = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(200\.[13-7]|201\.[1-6])")
_SCU = (True, False)
_STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."


class ContextOutcome(IntEnum):
    """Result of one presentation context (PS3.8 table 9-18)."""

    ACCEPTED = 0
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True)
class NegotiatedContext:
    """One presentation context as it was decided; `transfer_syntax` counts only when accepted."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    outcome: ContextOutcome

    @property
    def accepted(self) -> bool:
        """Tell whether messages may be sent in this context."""
        return self.outcome is ContextOutcome.ACCEPTED


@dataclass(frozen=True)
class Agreed:
    """What an association is: its contexts, and what was agreed beside the defaults.

    `roles` are the peer's (SCU, SCP) by SOP class, where it proposed any; `extended` the service
    class application information by SOP class (PS3.7 D.3.3.4, D.3.3.5).
    """

    contexts: tuple[NegotiatedContext, ...]
    roles: Mapping[str, tuple[bool, bool]]
    extended: Mapping[str, bytes]

    def sendable(self, sop_class_uid: str) -> tuple[NegotiatedContext, ...]:
        """Return the contexts in which the peer lets us be SCU of a SOP class."""
        if not self.roles.get(sop_class_uid, (False, False))[1]:
            return ()
        return tuple(c for c in self.contexts if c.accepted and c.abstract_syntax == sop_class_uid)

    @property
    def is_store_only(self) -> bool:
        """Tell whether nothing but storage and verification was accepted."""
        services = _SERVICE_SOP_CLASSES - {VERIFICATION}
        return not any(c.accepted and c.abstract_syntax in services for c in self.contexts)


@dataclass(frozen=True)
class Offer:
    """What the node provides beside its other services: SOP classes it stores, and hands out.

    `retrievable_sop_classes` may be proposed by whoever wishes to be sent them (C-GET).
    """

    storage_sop_classes: frozenset[str]
    retrievable_sop_classes: frozenset[str] = frozenset()

    def for_site(self, site: Site) -> "Offer":
        """Return what is provided to a site that may send only some SOP classes."""
        allowed = frozenset(filter(site.may_send, self.storage_sop_classes))
        return replace(self, storage_sop_classes=allowed)

    def agree(self, request: AssociationRequest) -> Agreed:
        """Decide everything the peer proposes."""
        contexts = self.negotiate(request)
        accepted = {context.abstract_syntax for context in contexts if context.accepted}
        may_be_scp = {STORAGE_COMMITMENT_PUSH_MODEL}
        if accepted & GET_SOP_CLASSES:
            may_be_scp |= accepted - _SERVICE_SOP_CLASSES
        return Agreed(
            contexts,
            roles={
                uid: (scu, scp and uid in may_be_scp)
                for uid, (scu, scp) in request.roles.items()
                if uid in accepted
            },
            extended={
                uid: bytes(byte & 1 for byte in wanted[: _EXTENDED_FIELDS[uid]])
                for uid, wanted in request.extended.items()
                if uid in accepted & _EXTENDED_FIELDS.keys() and wanted
            },
        )

    def negotiate(self, request: AssociationRequest) -> tuple[NegotiatedContext, ...]:
        """Decide every proposed context, in the order proposed."""
        return tuple(
            self._decide(context, retrieved=request.roles.get(context.abstract_syntax, _SCU)[1])
            for context in request.contexts
        )

    def _decide(self, context: ProposedContext, *, retrieved: bool) -> NegotiatedContext:
        stored = self.storage_sop_classes | (self.retrievable_sop_classes if retrieved else set())
        storage = context.abstract_syntax in stored
        if not storage and context.abstract_syntax not in _SERVICE_SOP_CLASSES:
            return _decided(context, ContextOutcome.ABSTRACT_SYNTAX_NOT_SUPPORTED)
        takes = _is_standard_transfer_syntax if storage else _COMMAND_TRANSFER_SYNTAXES.__contains__
        usable = [syntax for syntax in context.transfer_syntaxes if takes(syntax)]
        if not usable:
            return _decided(context, ContextOutcome.TRANSFER_SYNTAXES_NOT_SUPPORTED)
        rank = _reluctance_to_send if retrieved else _reluctance
        return _decided(context, ContextOutcome.ACCEPTED, min(usable, key=rank))


def standard_storage_sop_classes() -> frozenset[str]:
    """Return every storage SOP class of composite instances, the retired ones included."""
    current = {str(uid) for uid in sop_class._STORAGE_CLASSES.values()}  # noqa: SLF001 (its only list)
    retired = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and uid.startswith(_STORAGE_ROOT)
    }
    return frozenset(uid for uid in current | retired if not _NOT_IN_A_STUDY.fullmatch(uid))


def _decided(
    context: ProposedContext, outcome: ContextOutcome, transfer_syntax: str | None = None
) -> NegotiatedContext:
    return NegotiatedContext(
        context_id=context.context_id,
        abstract_syntax=context.abstract_syntax,
        transfer_syntax=transfer_syntax or context.transfer_syntaxes[0],
        outcome=outcome,
    )


def _is_standard_transfer_syntax(uid: str) -> bool:
    return _STANDARD_TRANSFER_SYNTAX.fullmatch(uid) is not None


def _reluctance(transfer_syntax: str) -> int:
    """Rank codings offered together: as offered, but what loses the VRs or is retired last."""
    return {IMPLICIT_VR_LITTLE_ENDIAN: 1, EXPLICIT_VR_BIG_ENDIAN: 2}.get(transfer_syntax, 0)


def _reluctance_to_send(transfer_syntax: str) -> int:
    """Rank codings of what is to be retrieved: first those that every image can be brought into."""
    return {EXPLICIT_VR_LITTLE_ENDIAN: 0, IMPLICIT_VR_LITTLE_ENDIAN: 1}.get(transfer_syntax, 2)
