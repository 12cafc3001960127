"""Audit messages against the schema of PS3.15 A.5.1, and against messages others have written."""

from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from access_control.atna import AuditSource, audit_message, unreadable_message
from access_control.atna_application import application_started, application_stopped
from access_control.atna_codes import EVENT_CODES, OBJECT_KINDS, TRANSACTIONS
from access_control.audit_message import AuditEvent, AuditObject, canonical_message, record_of
from access_control.model import ANONYMOUS, Action, Purpose, Role, Subject, SubjectKind
from tests.support.tools import require_conformance

AT = datetime(2026, 11, 21, 8, 0, 0, 250_000, tzinfo=UTC)
HUB = AuditSource(
    "eirhub", "region", "https://hub.test:8443/xds/registry", "4711", patient_oid="1.2.3"
)
MACHINE = Subject(SubjectKind.MACHINE, "m-1", "pacs", frozenset({Role.CLINICIAN}), None)
FOUND = AuditEvent(
    action="find_patient",
    outcome="success",
    subject=MACHINE,
    resource_kind="patient",
    resource_id="E1",
    address="127.0.0.1",
    detail="",
)


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(require_conformance("atna", "dicom2017c.xsd")))


def message(event: AuditEvent, source: AuditSource = HUB) -> etree._Element:
    record = record_of(canonical_message(event, 7, AT, "eirhub"))
    return etree.fromstring(audit_message(record, source))


@pytest.mark.parametrize("action", Action)
def test_every_action_has_a_dicom_event_code(action: Action) -> None:
    assert action.value in EVENT_CODES


@pytest.mark.parametrize("action", [*EVENT_CODES, "something_new"])
def test_a_record_of_every_action_and_outcome_is_valid(
    schema: etree.XMLSchema, action: str
) -> None:
    kinds = [*OBJECT_KINDS, "message"]
    subjects = [replace(MACHINE, kind=kind) for kind in SubjectKind] + [ANONYMOUS]
    for outcome, kind, subject in product(("success", "refused", "failure"), kinds, subjects):
        event = replace(
            FOUND,
            action=action,
            outcome=outcome,  # type: ignore[arg-type]
            resource_kind=kind,
            subject=subject,
            detail="why",
            purpose=Purpose.BREAK_GLASS,
        )
        schema.assertValid(message(event))
        schema.assertValid(message(replace(event, resource_id="", address="", detail="")))


@pytest.mark.parametrize("transaction", TRANSACTIONS)
def test_a_record_of_every_transaction_is_valid_and_says_which(
    schema: etree.XMLSchema, transaction: str
) -> None:
    objects = tuple(
        AuditObject(kind, "1.2.3", (("Repository Unique Id", "1.2"),)) for kind in OBJECT_KINDS
    )
    event = replace(FOUND, transaction=transaction, query="<q/>", objects=objects)
    written = message(event)
    schema.assertValid(written)
    (type_code,) = written.iter("EventTypeCode")
    assert type_code.get("csd-code") == transaction
    assert type_code.get("codeSystemName") == "IHE Transactions"


@pytest.mark.parametrize(
    ("event", "code"),
    [(application_started("web worker"), "110120"), (application_stopped(), "110121")],
)
def test_that_the_hub_starts_and_stops_is_a_valid_message(
    schema: etree.XMLSchema, event: AuditEvent, code: str
) -> None:
    written = message(event)
    schema.assertValid(written)
    (type_code,) = written.iter("EventTypeCode")
    assert type_code.get("csd-code") == code
    assert not list(written.iter("ParticipantObjectIdentification"))


def test_the_alert_in_place_of_an_unreadable_record_is_valid(schema: etree.XMLSchema) -> None:
    schema.assertValid(etree.fromstring(unreadable_message(7, HUB, AT.isoformat())))


@given(text=st.text(max_size=60), other=st.text(max_size=60))
def test_whatever_strangers_write_is_text_in_a_valid_message(text: str, other: str) -> None:
    schema = etree.XMLSchema(etree.parse(require_conformance("atna", "dicom2017c.xsd")))
    subject = replace(MACHINE, subject_id=text, display=other)
    event = replace(
        FOUND,
        subject=subject,
        resource_id=text,
        address=other,
        detail=text,
        query=other,
        transaction="ITI-18",
        objects=(AuditObject("document", text, ((other, text),)),),
    )
    schema.assertValid(message(event))


# -- beside the samples of others

SAMPLES: dict[str, dict[str, Any]] = {
    "pdq.xml": {"transaction": "ITI-21", "query": "QPD"},
    "pdqm.xml": {"transaction": "ITI-78", "query": "Patient?x", "resource_id": ""},
    "pdqmread.xml": {"transaction": "ITI-78", "query": "Patient/1"},
    "pdqv3.xml": {"transaction": "ITI-47", "query": "<q/>"},
    "pixfeed.xml": {"transaction": "ITI-8", "detail": "ITI-8 ADT-A01 1: registered"},
    "pixfeedmerge.xml": {"transaction": "ITI-8", "detail": "ITI-8 ADT-A40 1: merged"},
    "pixfeedmergesource.xml": {"transaction": "ITI-8", "detail": "ITI-8 ADT-A31 1: updated"},
    "pixfeedsource.xml": {"transaction": "ITI-8", "detail": "ITI-8 ADT-A08 1: updated"},
    "pixm.xml": {"transaction": "ITI-83", "query": "Patient/$ihe-pix?x"},
    "pixquery.xml": {"transaction": "ITI-9", "query": "QPD"},
    "pixupdatesource.xml": {"transaction": "ITI-10"},
    "pixv3feed.xml": {"transaction": "ITI-44", "detail": "created"},
    "pixv3query.xml": {"transaction": "ITI-45", "query": "<q/>"},
    "pixv3sourcefeed.xml": {"transaction": "ITI-44", "detail": "created"},
    "start.xml": {"action": "start_application", "resource_kind": "operations"},
    "stop.xml": {"action": "stop_application", "resource_kind": "operations"},
    "xcpd.xml": {"transaction": "ITI-55", "query": "<q/>"},
    "xpidsource.xml": {"transaction": "ITI-64"},
}


def _codes(element: etree._Element) -> list[tuple[str | None, str | None]]:
    return [(c.get("csd-code"), c.get("codeSystemName")) for c in element]


def shape(root: etree._Element) -> dict[str, object]:
    """What a receiver looks at: codes, ends, and which kinds of object; not whose."""
    (event,) = root.iter("EventIdentification")
    return {
        "event": (event.get("EventActionCode"), event.get("EventOutcomeIndicator")),
        "id": _codes(event)[0],
        "type": _codes(event)[1],
        "ends": [
            (
                (one.find("RoleIDCode").get("csd-code")),  # type: ignore[union-attr]
                one.get("UserIsRequestor"),
            )
            for one in root.iter("ActiveParticipant")
        ],
        "objects": {
            (
                one.get("ParticipantObjectTypeCode"),
                one.get("ParticipantObjectTypeCodeRole"),
                _codes(one)[0][0],
                one.find("ParticipantObjectQuery") is not None,
            )
            for one in root.iter("ParticipantObjectIdentification")
        },
    }


def test_every_sample_is_compared() -> None:
    folder = require_conformance("atna", "samples")
    assert {path.name for path in folder.glob("*.xml")} == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_our_message_has_the_shape_of_the_sample(schema: etree.XMLSchema, name: str) -> None:
    sample = etree.parse(require_conformance("atna", "samples") / Path(name)).getroot()
    schema.assertValid(sample)
    ours = message(replace(FOUND, **SAMPLES[name]))
    schema.assertValid(ours)
    assert shape(ours) == shape(sample)
    theirs, mine = (
        {
            (one.tag, attribute)
            for one in root.iter()
            for attribute in one.attrib
            if one.tag != "ParticipantObjectDetail"
        }
        for root in (sample, ours)
    )
    # The samples know a second name of the sender or a life cycle; the hub's records do not.
    only_there = theirs - mine
    assert only_there <= {
        ("ActiveParticipant", "AlternativeUserID"),
        ("ParticipantObjectIdentification", "ParticipantObjectDataLifeCycle"),
    }, only_there


# -- what the messages say


def test_who_asked_comes_first_and_the_hub_answers_under_its_address() -> None:
    asker, hub = message(replace(FOUND, transaction="ITI-18")).iter("ActiveParticipant")
    assert asker.get("UserID") == "machine:m-1"
    assert asker.get("NetworkAccessPointTypeCode") == "2"
    assert hub.get("UserID") == HUB.address
    assert (hub.get("NetworkAccessPointID"), hub.get("NetworkAccessPointTypeCode")) == (
        "hub.test",
        "1",
    )


def test_of_an_export_the_hub_is_the_source() -> None:
    ends = list(message(replace(FOUND, transaction="ITI-43")).iter("ActiveParticipant"))
    assert [end[0].get("csd-code") for end in ends] == ["110153", "110152"]
    assert [end.get("UserIsRequestor") for end in ends] == ["false", "true"]


def test_a_user_that_others_vouch_for_is_named_as_they_name_them() -> None:
    user = Subject(SubjectKind.USER, "li.ming@idp", "Li Ming", purpose=Purpose.TREATMENT)
    written = message(replace(FOUND, subject=user, transaction="ITI-18"))
    (asker, _) = written.iter("ActiveParticipant")
    assert asker.get("UserID") == "li.ming@idp"
    (purpose,) = written.iter("PurposeOfUse")
    assert purpose.get("csd-code") == "TREAT"


def test_a_patient_is_named_by_the_identifier_that_peers_know() -> None:
    for given_id, told in (("E1", "E1^^^&1.2.3&ISO"), ("7^^^&1.9&ISO", "7^^^&1.9&ISO")):
        (patient,) = message(replace(FOUND, resource_id=given_id)).iter(
            "ParticipantObjectIdentification"
        )
        assert patient.get("ParticipantObjectID") == told


def test_a_stored_query_is_known_by_its_id_and_carried_in_base64() -> None:
    query = '<AdhocQuery id="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"/>'
    written = message(replace(FOUND, action="query_registry", query=query))
    asked = list(written.iter("ParticipantObjectIdentification"))[-1]
    assert asked.get("ParticipantObjectID") == "urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d"
    payload = asked.findtext("ParticipantObjectQuery")
    assert payload is not None
    assert b64decode(payload).decode() == query


def test_a_refusal_says_why_to_the_auditor() -> None:
    written = message(replace(FOUND, outcome="refused", detail="out-of-reach"))
    assert written.findtext(".//EventOutcomeDescription") == "out-of-reach"
    (event,) = written.iter("EventIdentification")
    assert event.get("EventOutcomeIndicator") == "4"
