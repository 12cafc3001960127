"""A refused submission as it is kept and as it is shown: reasons, sender, documents, XML."""

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from lxml import etree

from access_control.model import Role, Subject, SubjectKind
from xds_registry import vocabulary as v
from xds_registry.errors import ERROR_TEXTS, XdsRefusalError
from xds_registry.mtom_reading import included_content_id
from xds_registry.safe_xml import parse_xml
from xds_registry.tables_refused import RefusedSubmissionRow
from xds_registry.transacting import Asked

_MOST_REASONS = 100


@dataclass(frozen=True)
class Reason:
    """One reason of a refusal: the code, the rule in two languages, where, what came, what may."""

    en: str
    zh: str
    code: str = ""
    place: str = ""
    came: str = ""
    allowed: str = ""

    @classmethod
    def of_xml(cls, why: str) -> "Reason":
        """Say that corrected XML could not be read."""
        return cls(f"the XML cannot be sent: {why}", f"XML 无法发送：{why}")


@dataclass(frozen=True)
class RefusedDocument:
    """One document of a refused submission, under the content id its XML names it by."""

    content_id: str
    media_type: str
    size: int
    sha1: str
    sha256: str
    storage_key: str


@dataclass(frozen=True)
class RefusedSubmission:
    """One refused submission; `xml` and `documents` are empty in lists."""

    refusal_id: int
    transaction: str
    received_at: datetime
    last_received_at: datetime
    times: int
    address: str
    sender: str
    codes: tuple[str, ...]
    reasons: tuple[Reason, ...]
    size: int
    status: str
    decided_by: str
    decided_at: datetime | None
    decision: str
    xml: str = ""
    documents: tuple[RefusedDocument, ...] = ()


def shown(
    row: RefusedSubmissionRow, payload: str = "", documents: Sequence[RefusedDocument] = ()
) -> RefusedSubmission:
    """Return what a page shows of `row`."""
    return RefusedSubmission(
        refusal_id=row.id,
        transaction=row.action.rpartition(":")[2],
        received_at=row.received_at,
        last_received_at=row.last_received_at,
        times=row.times,
        address=row.address,
        sender=row.sender_name,
        codes=tuple(row.codes.split()),
        reasons=tuple(Reason(**one) for one in json.loads(row.errors)),
        size=row.size,
        status=row.status,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        decision=row.decision,
        xml=_pretty(payload) if payload else "",
        documents=tuple(documents),
    )


def reasons_of(refusals: Sequence[XdsRefusalError]) -> tuple[Reason, ...]:
    """Return the reasons in words."""
    reasons = []
    for one in refusals:
        text = one.rule or ERROR_TEXTS[one.code]
        reasons.append(Reason(text.en, text.zh, str(one.code), one.place, one.came, one.allowed))
    return tuple(reasons)


def reasons_json(refusals: Sequence[XdsRefusalError]) -> str:
    """Return the reasons as they are kept; of very many only the first."""
    kept = [asdict(one) for one in reasons_of(refusals)[:_MOST_REASONS]]
    return json.dumps(kept, ensure_ascii=False)


def sender_json(subject: Subject) -> str:
    """Return who sent a submission, with the rights they had."""
    return json.dumps(
        {
            "kind": subject.kind,
            "subject_id": subject.subject_id,
            "display": subject.display,
            "roles": sorted(subject.roles),
            "sites": None if subject.sites is None else sorted(subject.sites),
        },
        ensure_ascii=False,
    )


def sender_of(text: str) -> Subject:
    """Return the sender that `sender_json` wrote."""
    kept = json.loads(text)
    return Subject(
        SubjectKind(kept["kind"]),
        kept["subject_id"],
        kept["display"],
        frozenset(map(Role, kept["roles"])),
        None if kept["sites"] is None else frozenset(kept["sites"]),
    )


def digest_of(asked: Asked) -> str:
    """Return what the same submission has in common however its parts are called."""
    body = copy.deepcopy(asked.body)
    for include in body.iter(f"{{{v.XOP}}}Include"):
        part = asked.attachments.get(included_content_id(include))
        include.set("href", part.sha256 if part else "")
    whole = etree.tostring(body, method="c14n") + asked.subject.subject_id.encode()
    return hashlib.sha256(whole).hexdigest()


def _pretty(payload: str) -> str:
    """Return XML that a person can read; the text of values stays as it came."""
    root = parse_xml(payload.encode())
    for element in root.iter():
        if len(element) and not (element.text or "").strip():
            element.text = None
        if not (element.tail or "").strip():
            element.tail = None
    return etree.tostring(root, encoding="unicode", pretty_print=True)
