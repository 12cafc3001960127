"""Which presentation contexts the node accepts, and in which transfer syntax (PS3.8 7.1.1.13-14).

Storage takes every transfer syntax of the standard as it is proposed: instances are stored as they
were sent and never transcoded on receipt.
"""

import re
from collections.abc import Iterable
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
QUERY_SOP_CLASSES = frozenset({PATIENT_ROOT_FIND, STUDY_ROOT_FIND})

_COMMAND_TRANSFER_SYNTAXES = frozenset(
    {IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN}
)
# Everything under DICOM's own root, so that codings younger than this program are stored too,
# except what is no encoding of a stored dataset: MIME, XML, and SMPTE real-time streams.
_STANDARD_TRANSFER_SYNTAX = re.compile(r"1\.2\.840\.10008\.1\.2(?!\.[67]\.)(\.[0-9]{1,6}){0,4}")
# Storage classes that name no patient and no study; there is nothing in the archive to file under.
_NOT_IN_A_STUDY = re.compile(r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.20[01]\.")
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
class Offer:
    """What the node provides beside verification and queries: SOP classes it stores."""

    storage_sop_classes: frozenset[str]

    def negotiate(self, request: AssociationRequest) -> tuple[NegotiatedContext, ...]:
        """Decide every proposed context, in the order proposed."""
        return tuple(self._decide(context) for context in request.contexts)

    def for_site(self, site: Site) -> "Offer":
        """Return what is provided to a site that may send only some SOP classes."""
        allowed = frozenset(filter(site.may_send, self.storage_sop_classes))
        return replace(self, storage_sop_classes=allowed)

    def is_store_only(self, contexts: Iterable[NegotiatedContext]) -> bool:
        """Tell whether nothing but storage and verification was accepted."""
        return not any(c.accepted and c.abstract_syntax in QUERY_SOP_CLASSES for c in contexts)

    def _decide(self, context: ProposedContext) -> NegotiatedContext:
        storage = context.abstract_syntax in self.storage_sop_classes
        if not storage and context.abstract_syntax not in {VERIFICATION, *QUERY_SOP_CLASSES}:
            return _decided(context, ContextOutcome.ABSTRACT_SYNTAX_NOT_SUPPORTED)
        takes = _is_standard_transfer_syntax if storage else _COMMAND_TRANSFER_SYNTAXES.__contains__
        usable = [syntax for syntax in context.transfer_syntaxes if takes(syntax)]
        if not usable:
            return _decided(context, ContextOutcome.TRANSFER_SYNTAXES_NOT_SUPPORTED)
        return _decided(context, ContextOutcome.ACCEPTED, min(usable, key=_reluctance))


def standard_storage_sop_classes() -> frozenset[str]:
    """Return every storage SOP class of composite instances, the retired ones included."""
    current = {str(uid) for uid in sop_class._STORAGE_CLASSES.values()}  # noqa: SLF001 (its only list)
    retired = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and uid.startswith(_STORAGE_ROOT)
    }
    return frozenset(uid for uid in current | retired if not _NOT_IN_A_STUDY.match(uid))


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
