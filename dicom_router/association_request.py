"""Read an A-ASSOCIATE-RQ as strictly as a hostile peer deserves (PS3.8 9.3.2, PS3.7 annex D.3)."""

from dataclasses import dataclass

from dicom_router.errors import AssociationRefusedError
from dicom_router.items import malformed, split_items, uid_text

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
MAX_CONTEXTS = 128
_FIXED_LENGTH = 68
_TITLE = slice(4, 20), slice(20, 36)  # called, calling

_APPLICATION_CONTEXT = 0x10
_PRESENTATION_CONTEXT = 0x20
_ABSTRACT_SYNTAX = 0x30
_TRANSFER_SYNTAX = 0x40
_USER_INFORMATION = 0x50
_MAXIMUM_LENGTH = 0x51
_IMPLEMENTATION_CLASS_UID = 0x52


@dataclass(frozen=True)
class ProposedContext:
    """One presentation context as proposed: odd identifier 1 to 255, one SOP class, its codings."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True)
class AssociationRequest:
    """What a peer asks for. Titles are stripped text in which any character may still appear.

    `raw` is the whole PDU, `max_length` the longest P-DATA-TF the peer takes (0: no limit).
    """

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    max_length: int
    implementation_class_uid: str
    raw: bytes


def parse_association_request(raw: bytes) -> AssociationRequest:
    """Return the request held by the PDU `raw` (its six header bytes included).

    Raises:
        ProtocolViolationError: an item is longer than what holds it, or the PDU is cut.
        AssociationRefusedError: well-formed but unacceptable: protocol version, application
            context, no context, more than 128, an even or a repeated context identifier.
    """
    body = raw[6:]
    if len(body) < _FIXED_LENGTH:
        raise malformed("A-ASSOCIATE-RQ is shorter than its fixed part")
    if not body[1] & 1:
        raise AssociationRefusedError(
            "protocol version 1 is not offered", result=1, source=2, reason=2
        )
    items = list(split_items(body[_FIXED_LENGTH:]))
    _require_application_context(items)
    max_length, implementation = _user_information(items)
    called, calling = (body[part].decode("latin-1").strip(" \0") for part in _TITLE)
    return AssociationRequest(
        called_ae_title=called,
        calling_ae_title=calling,
        contexts=_contexts(items),
        max_length=max_length,
        implementation_class_uid=implementation,
        raw=raw,
    )


def _require_application_context(items: list[tuple[int, bytes]]) -> None:
    names = [uid_text(value) for kind, value in items if kind == _APPLICATION_CONTEXT]
    if names != [APPLICATION_CONTEXT_NAME]:
        raise AssociationRefusedError(
            "the application context is not DICOM's", result=1, source=1, reason=2
        )


def _contexts(items: list[tuple[int, bytes]]) -> tuple[ProposedContext, ...]:
    contexts = [_context(value) for kind, value in items if kind == _PRESENTATION_CONTEXT]
    identifiers = [context.context_id for context in contexts]
    complaints = {
        "no presentation context is proposed": not contexts,
        "more than 128 presentation contexts are proposed": len(contexts) > MAX_CONTEXTS,
        "a presentation context identifier is even": any(not i % 2 for i in identifiers),
        "a presentation context identifier is used twice": len(set(identifiers)) < len(contexts),
    }
    for complaint, applies in complaints.items():
        if applies:
            raise AssociationRefusedError(complaint, result=1, source=2, reason=1)
    return tuple(contexts)


def _context(value: bytes) -> ProposedContext:
    if len(value) < 4:
        raise malformed("a presentation context item is cut")
    syntaxes = list(split_items(value[4:]))
    abstract = [uid_text(v) for kind, v in syntaxes if kind == _ABSTRACT_SYNTAX]
    transfer = tuple(uid_text(v) for kind, v in syntaxes if kind == _TRANSFER_SYNTAX)
    if len(abstract) != 1 or not transfer:
        raise malformed("a presentation context names no SOP class or no transfer syntax")
    return ProposedContext(value[0], abstract[0], transfer)


def _user_information(items: list[tuple[int, bytes]]) -> tuple[int, str]:
    """Return (maximum length, implementation class UID); both may be missing in the field."""
    sub_items = {
        kind: value
        for outer, user_information in items
        if outer == _USER_INFORMATION
        for kind, value in split_items(user_information)
    }
    length = sub_items.get(_MAXIMUM_LENGTH, b"")
    return (
        int.from_bytes(length, "big") if len(length) == 4 else 0,
        uid_text(sub_items.get(_IMPLEMENTATION_CLASS_UID, b"")),
    )
