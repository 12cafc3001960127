"""The requestor's half of association establishment: A-ASSOCIATE-RQ out, -AC or -RJ in (PS3.8 9.3).

Role selection is PS3.7 annex D.3.3.4: a role is proposed only where it is not the default one.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dicom_router.association_request import APPLICATION_CONTEXT_NAME, MAX_CONTEXTS
from dicom_router.items import (
    ROLE_SELECTION,
    item,
    malformed,
    parse_role,
    role_item,
    split_items,
    uid_item,
    uid_text,
)
from dicom_router.pdus import HEADER, PduType
from dicom_router.presentation import ContextOutcome, NegotiatedContext
from dicom_router.sending.model import Destination, Proposal
from image_archive.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_FIXED_LENGTH = 68
_CONTEXT_RESULT = 0x21
_TRANSFER_SYNTAX = 0x40
_USER_INFORMATION = 0x50
_MAXIMUM_LENGTH = 0x51


@dataclass(frozen=True)
class Acceptance:
    """What an A-ASSOCIATE-AC says: the contexts, the longest P-DATA-TF, roles by SOP class.

    `max_length` 0 is "no limit". `scp_of` are the SOP classes in which the requestor may be SCP.
    """

    contexts: tuple[NegotiatedContext, ...]
    max_length: int
    scp_of: frozenset[str]


def associate_rq(destination: Destination, proposals: Sequence[Proposal], max_length: int) -> bytes:
    """Return the A-ASSOCIATE-RQ; context identifiers are 1, 3, 5 … in the order of `proposals`.

    Raises:
        ValueError: no proposal, or more than 128.
    """
    if not 0 < len(proposals) <= MAX_CONTEXTS:
        raise ValueError("an association proposes 1 to 128 presentation contexts")
    contexts = b"".join(
        item(
            0x20,
            bytes((2 * number + 1, 0, 0, 0))
            + uid_item(0x30, proposal.sop_class_uid)
            + b"".join(uid_item(_TRANSFER_SYNTAX, uid) for uid in proposal.transfer_syntaxes),
        )
        for number, proposal in enumerate(proposals)
    )
    as_scp = dict.fromkeys(p.sop_class_uid for p in proposals if p.as_scp)
    user_information = item(
        _USER_INFORMATION,
        item(_MAXIMUM_LENGTH, struct.pack(">I", max_length))
        + uid_item(0x52, IMPLEMENTATION_CLASS_UID)
        + b"".join(role_item(uid, scu=False, scp=True) for uid in as_scp)
        + item(0x55, IMPLEMENTATION_VERSION_NAME.encode()),
    )
    body = (
        struct.pack(">HH", 1, 0)
        + destination.ae_title.encode("ascii", "replace").ljust(16)[:16]
        + destination.calling_ae_title.encode("ascii", "replace").ljust(16)[:16]
        + bytes(32)
        + uid_item(0x10, APPLICATION_CONTEXT_NAME)
        + contexts
        + user_information
    )
    return HEADER.pack(PduType.ASSOCIATE_RQ, len(body)) + body


def parse_acceptance(body: bytes, proposals: Sequence[Proposal]) -> Acceptance:
    """Return what the A-ASSOCIATE-AC with `body` (its header left out) says of `proposals`.

    What the peer accepts without having been asked for it is not accepted: a context that was not
    proposed, or a transfer syntax that was not in it.

    Raises:
        ProtocolViolationError: it cannot be taken apart.
    """
    if len(body) < _FIXED_LENGTH:
        raise malformed("A-ASSOCIATE-AC is shorter than its fixed part")
    results: dict[int, tuple[int, str]] = {}
    max_length = 0
    scp_of: set[str] = set()
    for kind, value in split_items(body[_FIXED_LENGTH:]):
        if kind == _CONTEXT_RESULT:
            results |= _context_result(value)
        elif kind == _USER_INFORMATION:
            for sub_kind, sub_value in split_items(value):
                if sub_kind == _MAXIMUM_LENGTH and len(sub_value) == 4:
                    max_length = int.from_bytes(sub_value, "big")
                elif sub_kind == ROLE_SELECTION:
                    sop_class_uid, (_, scp) = parse_role(sub_value)
                    scp_of.update({sop_class_uid} if scp else ())
    return Acceptance(
        contexts=tuple(
            _decided(2 * number + 1, proposal, results) for number, proposal in enumerate(proposals)
        ),
        max_length=max_length,
        scp_of=frozenset(scp_of),
    )


def _context_result(value: bytes) -> dict[int, tuple[int, str]]:
    if len(value) < 4:
        raise malformed("a presentation context item is cut")
    syntaxes = [uid_text(v) for kind, v in split_items(value[4:]) if kind == _TRANSFER_SYNTAX]
    return {value[0]: (value[2], syntaxes[0] if syntaxes else "")}


def _decided(
    context_id: int, proposal: Proposal, results: dict[int, tuple[int, str]]
) -> NegotiatedContext:
    result, syntax = results.get(context_id, (ContextOutcome.ABSTRACT_SYNTAX_NOT_SUPPORTED, ""))
    accepted = result == ContextOutcome.ACCEPTED and syntax in proposal.transfer_syntaxes
    return NegotiatedContext(
        context_id,
        proposal.sop_class_uid,
        syntax if accepted else proposal.transfer_syntaxes[0],
        ContextOutcome.ACCEPTED if accepted else ContextOutcome.ABSTRACT_SYNTAX_NOT_SUPPORTED,
    )
