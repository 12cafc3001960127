"""The shapes of metadata values: OID, UUID, CX, XCN, XON, XTN and their like (ITI TF-3 4.2.3.1.7).

Each function tells whether a text has the shape; none raises, none takes longer than the text is.
"""

import re

_OID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_UUID = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")
_SHA1 = re.compile(r"[0-9a-fA-F]{40}")
_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_PATIENT_INFO = re.compile(r"PID-(\d{1,2})\|.*", re.DOTALL)
_NOT_SENT = frozenset({"2", "4", "12", "19"})
_EQUIPMENT = frozenset({"", "PH", "FX", "MD", "CP", "SAT", "BP", "TDD", "TTY", "Internet", "X.400"})
_OID_LENGTH = 64
_EXTENSION_LENGTH = 63


def is_oid(text: str) -> bool:
    """An OID in dotted numbers, at most 64 characters."""
    return len(text) <= _OID_LENGTH and _OID.fullmatch(text) is not None


def is_uuid(text: str) -> bool:
    """`urn:uuid:` and a UUID in lower case."""
    return _UUID.fullmatch(text) is not None


def is_object_id(text: str) -> bool:
    """A UUID, or a symbolic id, which must not look like one."""
    return is_uuid(text) or (bool(text) and not text.lower().startswith("urn:"))


def is_document_unique_id(text: str) -> bool:
    """An OID, an OID with an extension (`oid^extension`), or a UUID (4.2.3.2.26)."""
    root, caret, extension = text.partition("^")
    if not caret:
        return is_oid(text) or is_uuid(text)
    return is_oid(root) and 0 < len(extension) <= _EXTENSION_LENGTH and "^" not in extension


def is_home_community(text: str) -> bool:
    """`urn:oid:` and an OID (4.2.3.2.12)."""
    return text.startswith("urn:oid:") and is_oid(text.removeprefix("urn:oid:"))


def is_patient_id(text: str) -> bool:
    """A CX of value and universal id alone: `value^^^&oid&ISO`."""
    parts = text.split("^")
    return len(parts) == 4 and _is_value(parts[0]) and parts[1:3] == ["", ""] and _is_hd(parts[3])


def is_source_patient_id(text: str) -> bool:
    """A CX whose authority has an OID; a namespace and further components may stand beside it."""
    parts = text.split("^")
    return len(parts) >= 4 and _is_value(parts[0]) and _is_hd(parts[3], namespace=True)


def is_reference_id(text: str) -> bool:
    """A CXi: `id^^^[authority]^type[^home]` (4.2.3.2.28)."""
    parts = text.split("^")
    return (
        5 <= len(parts) <= 6
        and _is_value(parts[0])
        and (not parts[3] or _is_hd(parts[3], namespace=True))
        and bool(parts[4])
    )


def is_person(text: str) -> bool:
    """An XCN with an identifier or a name; its authority, where given, has an OID."""
    parts = text.split("^")
    authority = parts[8] if len(parts) > 8 else ""
    return any(parts[:3]) and (not authority or _is_hd(authority, namespace=True))


def is_organization(text: str) -> bool:
    """An XON with a name; an identifier that is no OID needs an authority that is one."""
    parts = text.split("^")
    identifier = parts[9] if len(parts) > 9 else ""
    authority = parts[5] if len(parts) > 5 else ""
    if not _is_value(parts[0]):
        return False
    if authority and not _is_hd(authority, namespace=True):
        return False
    return not identifier or is_oid(identifier) or bool(authority)


def is_telecommunication(text: str) -> bool:
    """An XTN that holds an address or a number."""
    parts = text.split("^")
    equipment = parts[2] if len(parts) > 2 else ""
    return equipment in _EQUIPMENT and (bool(parts[0]) or any(parts[3:]))


def is_recipient(text: str) -> bool:
    """`XON|XCN|XTN`, at least one of them (4.2.3.3.7)."""
    parts = text.split("|")
    checks = (is_organization, is_person, is_telecommunication)
    return (
        len(parts) <= len(checks)
        and any(parts)
        and all(not part or check(part) for part, check in zip(parts, checks, strict=False))
    )


def is_patient_info(text: str) -> bool:
    """`PID-n|value`, n not 2, 4, 12 or 19 (4.2.3.2.23)."""
    found = _PATIENT_INFO.fullmatch(text)
    return found is not None and found.group(1) not in _NOT_SENT


def is_language(text: str) -> bool:
    """A language tag of RFC 3066."""
    return _LANGUAGE.fullmatch(text) is not None


def is_sha1(text: str) -> bool:
    """40 hexadecimal digits."""
    return _SHA1.fullmatch(text) is not None


def is_mime_type(text: str) -> bool:
    """`type/subtype`."""
    return _MIME_TYPE.fullmatch(text) is not None


def _is_value(text: str) -> bool:
    return bool(text) and not set(text) & set("^&|~\r\n")


def _is_hd(text: str, *, namespace: bool = False) -> bool:
    parts = text.split("&")
    return (
        len(parts) == 3 and (namespace or not parts[0]) and is_oid(parts[1]) and parts[2] == "ISO"
    )
