"""Read an A-ASSOCIATE-RQ as strictly as a hostile peer deserves (PS3.8 9.3.2, PS3.7 annex D.3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dicom_router.errors import AssociationRefusedError
from dicom_router.items import (
    EXTENDED,
    ROLE_SELECTION,
    malformed,
    parse_extended,
    parse_role,
    split_items,
    uid_text,
)

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

    `raw` is the whole PDU, `max_length` the longest P-DATA-TF the peer takes (0: no limit). `roles`
    are those it would play beside the default, (SCU, SCP) by SOP class; `extended` is its service
    class application information by SOP class (PS3.7 D.3.3.4, D.3.3.5).
    """

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    max_length: int
    implementation_class_uid: str
    raw: bytes
    roles: Mapping[str, tuple[bool, bool]] = field(default_factory=dict)
    extended: Mapping[str, bytes] = field(default_factory=dict)


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
    user_information = _user_information(items)
    max_length = user_information.first(_MAXIMUM_LENGTH)
    called, calling = (body[part].decode("latin-1").strip(" \0") for part in _TITLE)
    return AssociationRequest(
        called_ae_title=called,
        calling_ae_title=calling,
        contexts=_contexts(items),
        max_length=int.from_bytes(max_length, "big") if len(max_length) == 4 else 0,
        implementation_class_uid=uid_text(user_information.first(_IMPLEMENTATION_CLASS_UID)),
        raw=raw,
        roles=dict(parse_role(value) for value in user_information.all(ROLE_SELECTION)),
        extended=dict(parse_extended(value) for value in user_information.all(EXTENDED)),
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


@dataclass(frozen=True)
class _UserInformation:
    """The sub-items of the user information; any of them may be missing in the field."""

    sub_items: list[tuple[int, bytes]]

    def first(self, wanted: int) -> bytes:
        return next(iter(self.all(wanted)), b"")

    def all(self, wanted: int) -> list[bytes]:
        return [value for kind, value in self.sub_items if kind == wanted]


def _user_information(items: list[tuple[int, bytes]]) -> _UserInformation:
    return _UserInformation(
        [
            sub_item
            for outer, user_information in items
            if outer == _USER_INFORMATION
            for sub_item in split_items(user_information)
        ]
    )
