import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from access_control.audit_message import AuditEvent, AuditObject, canonical_message, record_of
from access_control.errors import InvalidAuditEventError
from access_control.model import Purpose, Role, Subject, SubjectKind

AT = datetime(2026, 11, 21, 8, 0, 0, 250_000, tzinfo=UTC)
READER = Subject(
    SubjectKind.USER, "user-1", "李医生", frozenset({Role.CLINICIAN, Role.RADIOLOGIST}), None
)
VIEW = AuditEvent(
    action="view_clinical",
    outcome="success",
    subject=READER,
    resource_kind="study",
    resource_id="1.2.3",
    address="10.21.0.9",
    detail="frame 1",
    purpose=Purpose.TREATMENT,
)
HOSTILE = "a\\u000a\r\n2026 ok\x00\x1b[2J\u2028\u202eb\ud800"


def _message(**changes: Any) -> str:
    return canonical_message(replace(VIEW, **changes), 7, AT, "eirhub")


def test_a_record_comes_back_from_its_canonical_text() -> None:
    record = record_of(_message())
    assert (record.sequence, record.recorded_at) == (7, AT)
    assert (record.action, record.outcome) == ("view_clinical", "success")
    assert (record.subject_kind, record.subject_id) == ("user", "user-1")
    assert (record.display, record.roles) == ("李医生", ("clinician", "radiologist"))
    assert (record.resource_kind, record.resource_id) == ("study", "1.2.3")
    assert (record.address, record.detail) == ("10.21.0.9", "frame 1")
    assert record.purpose == "treatment"


def test_the_canonical_text_is_one_ascii_line_with_sorted_keys() -> None:
    message = _message()
    assert message.isascii()
    assert message.isprintable()
    assert message == json.dumps(json.loads(message), sort_keys=True, separators=(",", ":"))


def test_equal_events_are_equal_bytes_whatever_the_order_of_roles() -> None:
    turned = replace(READER, roles=frozenset([Role.RADIOLOGIST, Role.CLINICIAN]))
    assert _message() == _message(subject=turned)


@pytest.mark.parametrize("field", ["resource_id", "address", "detail"])
def test_no_field_can_begin_a_line_hide_text_or_fake_an_escape(field: str) -> None:
    record = record_of(_message(**{field: HOSTILE}))
    line = record.line()
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    assert "\\u000d\\u000a2026" in getattr(record, field) or field == "detail"
    assert "\\\\u000a" in getattr(record, field)


def test_hostile_names_of_the_subject_are_spelled_out_as_well() -> None:
    subject = replace(READER, subject_id=HOSTILE, display=HOSTILE)
    record = record_of(_message(subject=subject))
    assert record.subject_id.isprintable()
    assert record.display.isprintable()


@pytest.mark.parametrize(
    ("detail", "stored"),
    [
        ("searched 王小东 male", "searched […] male"),
        ("Wang^XiaoDong=王^小东", "[…]"),
        ("for WANG^XIAODONG^^ only", "for […] only"),
        ("王", "[…]"),
        (
            "rule clinician-treatment-relation, 3 found",
            "rule clinician-treatment-relation, 3 found",
        ),
    ],
)
def test_what_looks_like_a_patients_name_is_struck_out_of_the_detail(
    detail: str, stored: str
) -> None:
    message = _message(detail=detail)
    assert record_of(message).detail == stored
    assert "\\u738b" not in message


def test_oversized_fields_are_cut() -> None:
    record = record_of(_message(resource_id="1" * 10_000, detail="x" * 10_000, address="a" * 999))
    assert len(record.resource_id) == 256
    assert len(record.detail) == 1000
    assert len(record.address) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"action": ""},
        {"action": "View\n"},
        {"action": "x" * 40},
        {"outcome": "maybe"},
        {"resource_kind": ""},
        {"resource_kind": "a b"},
        {"subject": replace(READER, kind=cast("SubjectKind", "ghost"))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_event_that_is_no_event_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidAuditEventError):
        _message(**changes)


def test_a_record_written_before_transactions_were_named_is_still_read() -> None:
    parsed = json.loads(_message())
    del parsed["event"]["transaction"], parsed["objects"], parsed["object"]["query"]
    record = record_of(json.dumps(parsed))
    assert (record.transaction, record.query, record.objects) == ("", "", ())


def test_transaction_query_and_further_objects_come_back() -> None:
    document = AuditObject("document", "1.2.3", (("Repository Unique Id", "1.9"),))
    record = record_of(_message(transaction="ITI-43", query="a\n  b", objects=(document,)))
    assert (record.transaction, record.query, record.objects) == ("ITI-43", "a b", (document,))


@pytest.mark.parametrize(
    ("detail", "transaction"),
    [
        ("ITI-78 retrieve", "ITI-78"),
        ("ITI-8 ADT-A01 17: registered", "ITI-8"),
        ("RAD-107 frames", "RAD-107"),
        ("ITI-999", ""),
        ("query", ""),
    ],
)
def test_the_transaction_is_taken_from_the_detail_when_it_is_not_said(
    detail: str, transaction: str
) -> None:
    assert record_of(_message(detail=detail)).transaction == transaction


def test_a_purpose_that_the_credential_names_is_on_record() -> None:
    subject = replace(READER, purpose=Purpose.QUALITY)
    assert record_of(_message(subject=subject, purpose=None)).purpose == "quality"


@pytest.mark.parametrize(
    ("query", "stored"),
    [
        ("'P-1^^^&1.2.3&ISO' ('18748-4^^LOINC')", "'P-1^^^&1.2.3&ISO' ('18748-4^^LOINC')"),
        ("<Value>Wang^XiaoDong</Value>", "<Value>[…]</Value>"),
        ("name=王小东&x=1", "name=[…]&x=1"),
    ],
)
def test_a_name_that_slips_into_a_query_is_struck_out_and_identifiers_stay(
    query: str, stored: str
) -> None:
    assert record_of(_message(query=query)).query == stored


def test_an_object_of_no_kind_is_refused() -> None:
    with pytest.raises(InvalidAuditEventError):
        _message(objects=(AuditObject("a b", "1"),))
