"""The rules for the value of every attribute, one row each (ITI TF-3 4.2.3.2 to 4.2.3.4, 4.3.1).

A row says which attribute, which values of it break the rule, and what would be accepted. Rows of
required attributes are not asked of limited metadata, where the profile lets them be missing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from xds_registry import validation_syntax as syntax
from xds_registry.codes import CodeLists, CodeType
from xds_registry.errors import ErrorText
from xds_registry.model import (
    NO_CODE,
    UNTOLD_SIZE,
    Author,
    Code,
    DocumentEntry,
    DocumentType,
    Folder,
    SubmissionSet,
    XdsAssociation,
)

T = TypeVar("T", DocumentEntry, SubmissionSet, Folder, XdsAssociation)

REQUIRED = ErrorText("this attribute is required", "该属性为必填项")
NOT_HERE = ErrorText(
    "an on-demand entry describes no bytes yet", "按需文档条目尚无内容，不得给出该属性"
)
CODE = ErrorText(
    "this code is not in the affinity domain's list for the attribute",
    "该编码不在本区域约定的该属性编码表内",
)
MIME_TYPE = ErrorText(
    "this media type is not in the affinity domain's list", "该媒体类型不在本区域约定的列表内"
)
SHAPE = ErrorText("the value has another shape than its data type", "值不符合该属性的数据类型格式")
ID_SHAPE = ErrorText(
    "an id is symbolic, or urn:uuid: with a UUID in lower case",
    "id 必须为符号标识，或 urn:uuid: 加小写 UUID",
)
AUTHOR = ErrorText(
    "an author is a person, an institution or an address; XCN, XON, XTN",
    "作者至少给出人员、机构或通信地址之一，格式为 XCN、XON、XTN",
)
ORDER = ErrorText("the service stops before it starts", "服务结束时间早于开始时间")
SIZE = ErrorText(
    "hash and size come together and agree; only the hash of nothing has the size 0",
    "哈希与大小必须同时给出且一致；只有空内容的大小为 0",
)
EXTRA = ErrorText("a slot that is not of the profile is named by a URN", "非规范槽的名称必须为 URN")
STATUS = ErrorText("SubmissionSetStatus is Original or Reference", "SubmissionSetStatus 取值有误")

_SHA1_OF_NOTHING = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
_PATIENT_ID = "value^^^&OID&ISO"
_OID = "OID, e.g. 2.16.156.10011.1"


@dataclass(frozen=True)
class Found(Generic[T]):
    """What is checked, and the region's codes to check it against."""

    item: T
    lists: CodeLists


@dataclass(frozen=True)
class Rule(Generic[T]):
    """One rule: `breaks` yields what came wrong, an empty text where that must not be repeated."""

    attribute: str
    text: ErrorText
    breaks: Callable[[Found[T]], Iterable[str]]
    allowed: str | Callable[[CodeLists], str] = ""

    def allowed_by(self, lists: CodeLists) -> str:
        """Return what would be accepted."""
        return self.allowed if isinstance(self.allowed, str) else self.allowed(lists)


def required(attribute: str, *, even_if_limited: bool = False) -> Rule[T]:
    """The attribute must be there."""

    def breaks(found: Found[T]) -> Iterator[str]:
        limited = getattr(found.item, "limited_metadata", False)
        if getattr(found.item, attribute) in ("", (), NO_CODE) and (even_if_limited or not limited):
            yield ""

    return Rule(attribute, REQUIRED, breaks)


def shaped(
    attribute: str, has_shape: Callable[[str], bool], allowed: str, *, private: bool = False
) -> Rule[T]:
    """Every value that is there must have the shape."""

    def breaks(found: Found[T]) -> Iterator[str]:
        value = getattr(found.item, attribute)
        values: Sequence[str] = (value,) if isinstance(value, str) else value
        for one in values:
            if one and not has_shape(one):
                yield "" if private else one

    return Rule(attribute, SHAPE, breaks, allowed)


def coded(attribute: str, code_type: CodeType) -> Rule[T]:
    """Every code that is there must be in the region's list."""

    def breaks(found: Found[T]) -> Iterator[str]:
        value = getattr(found.item, attribute)
        codes: Sequence[Code] = (value,) if isinstance(value, Code) else (value or ())
        for code in codes:
            if code != NO_CODE and not found.lists.allows(code_type, code):
                yield code.key

    return Rule(attribute, CODE, breaks, lambda lists: lists.shown(code_type))


def _of_stable(rule: Rule[DocumentEntry]) -> Rule[DocumentEntry]:
    """Ask `rule` of stable documents alone."""

    def breaks(found: Found[DocumentEntry]) -> Iterable[str]:
        stable = found.item.document_type is DocumentType.STABLE
        return rule.breaks(found) if stable else ()

    return Rule(rule.attribute, rule.text, breaks, rule.allowed)


def _absent_on_demand(attribute: str) -> Rule[DocumentEntry]:
    def breaks(found: Found[DocumentEntry]) -> Iterator[str]:
        on_demand = found.item.document_type is DocumentType.ON_DEMAND
        came = getattr(found.item, attribute)
        if on_demand and came and came != UNTOLD_SIZE:
            yield str(came)

    return Rule(attribute, NOT_HERE, breaks)


def _unlisted_mime_type(found: Found[DocumentEntry]) -> Iterator[str]:
    if found.item.mime_type and found.item.mime_type not in found.lists.mime_types:
        yield found.item.mime_type


def _wrong_authors(found: Found[T]) -> Iterator[str]:
    authors: Iterable[Author] = getattr(found.item, "authors", ())
    for author in authors:
        somebody = author.person or author.institutions or author.telecommunications
        if not somebody or not (
            (not author.person or syntax.is_person(author.person))
            and all(map(syntax.is_organization, author.institutions))
            and all(map(syntax.is_telecommunication, author.telecommunications))
        ):
            yield ""


def _stopped_before_start(found: Found[DocumentEntry]) -> Iterator[str]:
    start, stop = found.item.service_start_time, found.item.service_stop_time
    common = min(len(start), len(stop))
    if start and stop and stop[:common] < start[:common]:
        yield f"{start} > {stop}"


def _contradicting_size(found: Found[DocumentEntry]) -> Iterator[str]:
    sha1 = found.item.sha1.lower()
    if sha1 and found.item.size == UNTOLD_SIZE:
        yield ""
    elif sha1 and (found.item.size == 0) != (sha1 == _SHA1_OF_NOTHING):
        yield str(found.item.size)


def _wrong_extra_slots(found: Found[T]) -> Iterator[str]:
    for name, _ in found.item.extra_slots:
        if not name.lower().startswith("urn:"):
            yield name


def _wrong_references(found: Found[DocumentEntry]) -> Iterator[str]:
    for reference in found.item.reference_ids:
        if not syntax.is_reference_id(reference.cxi):
            yield reference.cxi


def _wrong_set_status(found: Found[XdsAssociation]) -> Iterator[str]:
    if found.item.submission_set_status not in {"", "Original", "Reference"}:
        yield found.item.submission_set_status


ENTRY_RULES: tuple[Rule[DocumentEntry], ...] = (
    Rule("entry_uuid", ID_SHAPE, lambda f: _unless(syntax.is_object_id, f.item.entry_uuid)),
    required("mime_type", even_if_limited=True),
    Rule("mime_type", MIME_TYPE, _unlisted_mime_type, CodeLists.shown_mime_types),
    required("unique_id", even_if_limited=True),
    shaped("unique_id", syntax.is_document_unique_id, "OID | OID^extension | urn:uuid:…"),
    required("patient_id", even_if_limited=True),
    shaped("patient_id", syntax.is_patient_id, _PATIENT_ID),
    required("source_patient_id"),
    shaped("source_patient_id", syntax.is_source_patient_id, _PATIENT_ID, private=True),
    shaped(
        "source_patient_info",
        syntax.is_patient_info,
        "PID-n|…, n: 3, 5, 7, 8, 11, …; not 2, 4, 12, 19",
        private=True,
    ),
    required("class_code"),
    coded("class_code", CodeType.CLASS),
    required("type_code"),
    coded("type_code", CodeType.TYPE),
    required("format_code"),
    coded("format_code", CodeType.FORMAT),
    required("practice_setting_code"),
    coded("practice_setting_code", CodeType.PRACTICE_SETTING),
    required("healthcare_facility_type_code"),
    coded("healthcare_facility_type_code", CodeType.FACILITY_TYPE),
    required("confidentiality_codes"),
    coded("confidentiality_codes", CodeType.CONFIDENTIALITY),
    coded("event_codes", CodeType.EVENT),
    required("language_code"),
    shaped("language_code", syntax.is_language, "RFC 3066, e.g. zh-CN"),
    _of_stable(required("creation_time")),
    _of_stable(required("sha1")),
    shaped("sha1", syntax.is_sha1, "SHA-1, 40 hexadecimal digits"),
    _of_stable(required("repository_unique_id", even_if_limited=True)),
    Rule("size", SIZE, _contradicting_size),
    shaped("repository_unique_id", syntax.is_oid, _OID),
    _absent_on_demand("sha1"),
    _absent_on_demand("size"),
    _absent_on_demand("creation_time"),
    Rule("service_stop_time", ORDER, _stopped_before_start),
    Rule("authors", AUTHOR, _wrong_authors, "XCN, XON, XTN"),
    shaped("legal_authenticator", syntax.is_person, "XCN", private=True),
    Rule("reference_ids", SHAPE, _wrong_references, "id^^^[&OID&ISO]^type[^home]"),
    shaped("home_community_id", syntax.is_home_community, "urn:oid:…"),
    Rule("extra_slots", EXTRA, _wrong_extra_slots, "urn:…"),
)
SET_RULES: tuple[Rule[SubmissionSet], ...] = (
    Rule("entry_uuid", ID_SHAPE, lambda f: _unless(syntax.is_object_id, f.item.entry_uuid)),
    required("unique_id", even_if_limited=True),
    shaped("unique_id", syntax.is_oid, _OID),
    required("source_id", even_if_limited=True),
    shaped("source_id", syntax.is_oid, _OID),
    required("patient_id", even_if_limited=True),
    shaped("patient_id", syntax.is_patient_id, _PATIENT_ID),
    required("submission_time", even_if_limited=True),
    required("content_type_code"),
    coded("content_type_code", CodeType.CONTENT_TYPE),
    Rule("authors", AUTHOR, _wrong_authors, "XCN, XON, XTN"),
    shaped("intended_recipients", syntax.is_recipient, "XON|XCN|XTN", private=True),
    shaped("home_community_id", syntax.is_home_community, "urn:oid:…"),
    Rule("extra_slots", EXTRA, _wrong_extra_slots, "urn:…"),
)
FOLDER_RULES: tuple[Rule[Folder], ...] = (
    Rule("entry_uuid", ID_SHAPE, lambda f: _unless(syntax.is_object_id, f.item.entry_uuid)),
    required("unique_id", even_if_limited=True),
    shaped("unique_id", syntax.is_oid, _OID),
    required("patient_id", even_if_limited=True),
    shaped("patient_id", syntax.is_patient_id, _PATIENT_ID),
    required("title"),
    required("codes"),
    coded("codes", CodeType.FOLDER),
    shaped("home_community_id", syntax.is_home_community, "urn:oid:…"),
    Rule("extra_slots", EXTRA, _wrong_extra_slots, "urn:…"),
)
ASSOCIATION_RULES: tuple[Rule[XdsAssociation], ...] = (
    Rule("entry_uuid", ID_SHAPE, lambda f: _unless(syntax.is_object_id, f.item.entry_uuid)),
    required("source"),
    required("target"),
    Rule("submission_set_status", STATUS, _wrong_set_status, "Original | Reference"),
    coded("documentation", CodeType.ASSOCIATION_DOCUMENTATION),
    shaped("home_community_id", syntax.is_home_community, "urn:oid:…"),
    Rule("extra_slots", EXTRA, _wrong_extra_slots, "urn:…"),
)


def _unless(has_shape: Callable[[str], bool], text: str) -> Iterator[str]:
    if not has_shape(text):
        yield text
