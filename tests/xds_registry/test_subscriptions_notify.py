"""ITI-53: who is told what and when."""

from dataclasses import replace

import pytest
import requests
from lxml import etree

from access_control.consent import EVERYONE, ConsentKind
from access_control.model import Role
from tests.xds_registry import studies, wire
from tests.xds_registry.administered import Desk, after, update
from tests.xds_registry.hub import OTHER_TOWNSHIP, Hub, Web
from tests.xds_registry.notified import counts, register, told
from tests.xds_registry.samples import IMAGES, MR, STUDY_TYPE, submission, urn
from tests.xds_registry.submitted import ITI42, of, request
from tests.xds_registry.subscribing import (
    FULL,
    MINIMAL,
    NOTIFY,
    OF_ANYBODY,
    OF_PATIENT,
    PATIENT,
    SETS,
    SETS_OF_ANYBODY,
    UNSUBSCRIBE,
    WSNT,
    Broker,
    Consumer,
    subscribe,
)
from xds_registry import store
from xds_registry.subscriptions_events import documents_registered
from xds_registry.tables_subscriptions import PENDING

CLASS = ("$XDSDocumentEntryClassCode", f"('{IMAGES.key}')")
DAY = 86_400.0
Slots = list[tuple[str, str]]


def test_a_document_that_is_registered_over_the_wire_is_told_in_full(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    reference = broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'"), CLASS))
    source = hub.token("source", None, role=Role.DOCUMENT_SOURCE)
    sent = of(cx, "one", "two")
    headers = {"Content-Type": "application/soap+xml", "Authorization": f"Bearer {source}"}
    response = _post(f"{broker.base}/xds/registry", wire.envelope(request(sent), ITI42), headers)
    assert wire.status(wire.payload(response)) == "Success", response.text
    broker.settle()
    (message,) = consumer.taken
    (body,) = message.find(f"{{{wire.SOAP}}}Body")
    broker.schema.assertValid(body)
    header = message.find(f"{{{wire.SOAP}}}Header")
    assert header.findtext(f"{{{wire.WSA}}}Action") == NOTIFY
    assert header.findtext(f"{{{wire.WSA}}}To") == consumer.address
    said = body.find(f"{{{WSNT}}}NotificationMessage")
    address = f"{{{wire.WSA}}}Address"
    assert said.findtext(f"{{{WSNT}}}SubscriptionReference/{address}") == reference
    assert said.findtext(f"{{{WSNT}}}ProducerReference/{address}") == broker.address
    assert said.findtext(f"{{{WSNT}}}Topic") == FULL
    (ids,) = consumer.ids()
    assert sorted(ids) == sorted(one.entry_uuid for one in sent.entries)
    assert len(body.findall(f".//{{{wire.RIM}}}ExtrinsicObject")) == 2
    assert counts(hub) == {}


def test_a_completed_study_is_told_like_any_document(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'")))
    archive = hub.archive
    archive.store_file(studies.instance("1.2.3.4", 1, 1), studies.ORIGIN)
    hub.clock.advance(seconds=61)
    archive.complete_quiet_studies()
    broker.settle()
    manifest = hub.registry.manifest_of("1.2.3.4")
    assert manifest is not None
    assert consumer.ids() == [[manifest.entry_uuid]]


def test_minimal_is_references_alone(broker: Broker, consumer: Consumer, hub: Hub, cx: str) -> None:
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'"), topic=MINIMAL))
    register(hub, of(cx, "one"))
    broker.settle()
    (message,) = consumer.taken
    (body,) = message.find(f"{{{wire.SOAP}}}Body")
    broker.schema.assertValid(body)
    assert consumer.ids() == [[urn("one")]]
    assert body.find(f".//{{{wire.RIM}}}ExtrinsicObject") is None
    assert cx.encode() not in etree.tostring(body)


def test_a_submission_set_is_told_by_recipient_and_author(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    slot = ("$XDSSubmissionSetIntendedRecipient", "('Some Hospital%','%Welby%')")
    broker.subscribe(subscribe(consumer.address, slot, topic=SETS, query_id=SETS_OF_ANYBODY))
    for name, recipients in (("a", ("Some Hospital^^^",)), ("b", ("Another^^^",)), ("c", ())):
        sent = of(cx, name)
        made = replace(sent.submission_set, intended_recipients=recipients)
        register(hub, replace(sent, submission_set=made))
    broker.settle()
    (message,) = consumer.taken
    (body,) = message.find(f"{{{wire.SOAP}}}Body")
    broker.schema.assertValid(body)
    assert consumer.ids() == [[of(cx, "a").submission_set.entry_uuid]]


@pytest.mark.parametrize(
    ("query_id", "slots", "expected"),
    [
        (OF_PATIENT, [CLASS], ["images"]),
        (OF_PATIENT, [("$XDSDocumentEntryEventCodeList", f"('{MR.key}')")], ["mr"]),
        (OF_PATIENT, [("$XDSDocumentEntryAuthorPerson", "('%Li%')")], []),
        (OF_ANYBODY, [CLASS], ["images", "other"]),
    ],
)
def test_what_matches_is_what_the_stored_query_would_find(
    broker: Broker, consumer: Consumer, query_id: str, slots: Slots, expected: list[str]
) -> None:
    hub = broker.hub
    cx, other = (hub.global_cx(hub.know(value)) for value in ("L-1", "L-2"))
    wanted = [(PATIENT, f"'{cx}'"), *slots] if query_id == OF_PATIENT else slots
    broker.subscribe(subscribe(consumer.address, *wanted, query_id=query_id))
    register(hub, of(cx, "images"))
    register(hub, of(cx, "mr", class_code=STUDY_TYPE, event_codes=(MR,)))
    register(hub, of(other, "other"))
    broker.settle()
    assert [one for ids in consumer.ids() for one in ids] == [urn(name) for name in expected]


def test_a_new_version_of_a_document_is_told_like_a_new_document(
    broker: Broker, consumer: Consumer, hub: Hub, web: Web, cx: str
) -> None:
    register(hub, of(cx, "one"))
    broker.settle()
    hub.clock.advance(seconds=1)
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'")))
    desk = Desk(hub, web, cx, hub.token("registrar", None, Role.REGISTRAR))
    (first,) = desk.documents().values()
    assert desk.send(update(after(first, title="corrected"))) == []
    broker.settle()
    (second,) = (one for one in desk.documents().values() if one.version == 2)
    assert consumer.ids() == [[second.entry_uuid]]
    assert desk.send(update(after(first), previous=7, key="refused")) != []
    broker.settle()
    assert len(consumer.ids()) == 1


def test_what_was_there_before_or_comes_after_is_not_told(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    register(hub, of(cx, "before"))
    hub.clock.advance(seconds=1)
    wanted = subscribe(consumer.address, (PATIENT, f"'{cx}'"), ends="P1D")
    left = broker.subscribe(wanted)
    broker.subscribe(wanted)
    register(hub, of(cx, "within"))
    broker.post(etree.Element(f"{{{WSNT}}}Unsubscribe"), UNSUBSCRIBE, "", left)
    broker.settle()
    hub.clock.advance(seconds=DAY)
    register(hub, of(cx, "after"))
    broker.settle()
    assert consumer.ids() == [[urn("within")]]


def test_who_is_known_elsewhere_only_is_not_told_of_and_it_is_written_down(
    broker: Broker, consumer: Consumer, hub: Hub
) -> None:
    here, there = hub.know(), hub.know("O-1", OTHER_TOWNSHIP)
    reader = hub.token("of t2", frozenset({"t2"}))
    broker.subscribe(subscribe(consumer.address, CLASS, query_id=OF_ANYBODY), reader)
    both = of(hub.global_cx(here), "here"), of(hub.global_cx(there), "there")
    for sent in both:
        register(hub, sent)
    broker.settle()
    assert consumer.ids() == [[urn("there")]]
    assert told(hub, "success") == [there] and told(hub, "refused") == [here]
    assert hub.audit.verify().ok


def test_consent_is_asked_at_the_moment_of_telling(
    broker: Broker, consumer: Consumer, hub: Hub
) -> None:
    person = hub.know()
    cx = hub.global_cx(person)
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'")))
    consumer.status = 503
    register(hub, of(cx, "one"))
    broker.settle()
    assert counts(hub) == {PENDING: 1}
    hub.consents.record(person, ConsentKind.REFUSE, EVERYONE, by="clerk", reason="at the desk")
    consumer.status = 202
    hub.clock.advance(seconds=DAY)
    broker.settle()
    assert consumer.taken == [] and counts(hub) == {}
    assert told(hub, "refused") == [person]


def test_a_revoked_subscriber_is_told_nothing_more(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'")))
    (token,) = (one for one in hub.tokens.all() if one.name == "subscriber")
    hub.tokens.revoke(token.token_id)
    register(hub, of(cx, "one"))
    broker.settle()
    assert consumer.asked == 0 and counts(hub) == {}
    assert told(hub, "refused") == [""]


def test_an_event_that_is_delivered_twice_is_told_once_and_a_message_keeps_its_id(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'")))
    sent = of(cx, "one")
    with hub.database.unit_of_work() as work:
        store.register(work.session, sent)
    event = documents_registered(sent, hub.clock)
    for _ in range(2):
        broker.registry.broker.match(event)
    assert counts(hub) == {PENDING: 1}
    broker.settle()
    broker.registry.broker.match(event)  # as after a kill between the sending and its record
    broker.settle()
    first, second = consumer.message_ids()
    assert first == second


def test_a_refused_submission_tells_nobody(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'")))
    source = hub.token("source", None, role=Role.DOCUMENT_SOURCE)
    headers = {"Content-Type": "application/soap+xml", "Authorization": f"Bearer {source}"}
    bad = of("nobody^^^&1.2.3&ISO", "one")
    response = _post(f"{broker.base}/xds/registry", wire.envelope(request(bad), ITI42), headers)
    assert wire.status(wire.payload(response)) == "Failure"
    broker.settle()
    assert consumer.asked == 0


def test_an_end_of_subscription_takes_what_was_owed_with_it(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'"), ends="P1D"))
    consumer.status = 500
    register(hub, of(cx, "one"))
    broker.settle()
    hub.clock.advance(seconds=DAY)
    assert broker.registry.broker.purge() == 1
    assert counts(hub) == {} and broker.registry.broker.purge() == 0


def test_an_empty_submission_matches_no_document(
    broker: Broker, consumer: Consumer, hub: Hub, cx: str
) -> None:
    broker.subscribe(subscribe(consumer.address, (PATIENT, f"'{cx}'")))
    empty = submission(name="nothing")
    made = replace(empty.submission_set, patient_id=cx, linked_identifier=cx)
    register(hub, replace(empty, submission_set=made))
    broker.settle()
    assert consumer.asked == 0


def _post(url: str, data: bytes, headers: dict[str, str]) -> requests.Response:
    return requests.post(url, data, headers=headers, timeout=10)
