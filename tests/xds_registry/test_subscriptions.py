"""ITI-52: who may subscribe to what, what is answered, and what every refusal says."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from lxml import etree

from access_control.audit import AuditQuery
from access_control.model import Role
from tests.xds_registry import wire
from tests.xds_registry.hub import Hub
from tests.xds_registry.subscribing import (
    DIALECT,
    FULL,
    MINIMAL,
    OF_ANYBODY,
    OF_PATIENT,
    PATIENT,
    SETS,
    SETS_OF_ANYBODY,
    SETS_OF_PATIENT,
    SUBSCRIBE,
    UNSUBSCRIBE,
    WSNT,
    Broker,
    fault_of,
    open_broker,
    subscribe,
)
from xds_registry.subscriptions_consumers import NotificationSettings

CONSUMER = "https://consumer.test/notify"
SETTINGS = NotificationSettings(allowed_consumers=("https://consumer.test/",))
CX = ("$XDSDocumentEntryPatientId", "'unknown^^^&1.2.826.0.1.3680043.10.1717.1&ISO'")
CLASS = ("$XDSDocumentEntryClassCode", "('IMAGES^^1.3.6.1.4.1.19376.1.2.6.1')")
Change = Callable[[etree._Element], None]


@pytest.fixture
def broker(hub: Hub) -> Iterator[Broker]:
    with open_broker(hub, SETTINGS) as opened:
        yield opened


def unsubscribe(broker: Broker, url: str, token: str = "") -> requests.Response:
    return broker.post(etree.Element(f"{{{WSNT}}}Unsubscribe"), UNSUBSCRIBE, token, url)


def termination(response: requests.Response) -> datetime:
    text = wire.payload(response).findtext(f"{{{WSNT}}}TerminationTime")
    return datetime.fromisoformat(str(text))


@pytest.mark.parametrize(
    ("topic", "query_id", "slot"),
    [
        (FULL, OF_PATIENT, CX),
        (MINIMAL, OF_PATIENT, CX),
        (FULL, OF_ANYBODY, CLASS),
        (MINIMAL, OF_ANYBODY, CLASS),
        (SETS, SETS_OF_PATIENT, ("$XDSSubmissionSetPatientId", CX[1])),
        (SETS, SETS_OF_ANYBODY, ("$XDSSubmissionSetSourceId", "('1.2.3')")),
        (SETS, SETS_OF_ANYBODY, ("$XDSSubmissionSetIntendedRecipient", "('Some Hospital%')")),
    ],
)
def test_every_topic_can_be_subscribed_to_and_left_again(
    broker: Broker, topic: str, query_id: str, slot: tuple[str, str]
) -> None:
    body = subscribe(CONSUMER, slot, topic=topic, query_id=query_id)
    reference = broker.subscribe(body)
    assert reference.startswith(f"{broker.address}/")
    assert unsubscribe(broker, reference).status_code == 200
    assert fault_of(unsubscribe(broker, reference)) == "UnableToDestroySubscriptionFault"


def test_a_subscription_is_ended_by_who_made_it_alone(broker: Broker, hub: Hub) -> None:
    reference = broker.subscribe(subscribe(CONSUMER, CX))
    other = unsubscribe(broker, reference, hub.token("another", None))
    unknown = unsubscribe(broker, f"{broker.address}/nothing", broker.token)
    for response in (other, unknown):
        assert response.status_code == 400
        assert fault_of(response) == "UnableToDestroySubscriptionFault"
    assert unsubscribe(broker, reference).status_code == 200


def test_whom_the_region_knows_does_not_show_in_the_answer(broker: Broker, hub: Hub) -> None:
    known = hub.global_cx(hub.know())
    elsewhere = hub.token("of t2", frozenset({"t2"}))
    texts = []
    for cx in (known, "nobody^^^&1.2.826.0.1.3680043.10.1717.1&ISO"):
        response = broker.post(subscribe(CONSUMER, (PATIENT, f"'{cx}'")), SUBSCRIBE, elsewhere)
        answer = wire.payload(response)
        answer.remove(answer[0])  # the address, which is new every time
        texts.append(etree.tostring(answer))
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("ends", "days"),
    [("", 366), ("P30D", 30), ("P1M", 30), ("PT36H", 1.5), ("P1Y", 365)],
)
def test_the_end_is_the_one_asked_for_or_the_latest(
    broker: Broker, hub: Hub, ends: str, days: float
) -> None:
    response = broker.post(subscribe(CONSUMER, CX, ends=ends), SUBSCRIBE)
    given = termination(response)
    assert abs(given - hub.clock.now() - timedelta(days=days)) < timedelta(days=1.5)


def test_an_absolute_end_is_kept_to_the_second(broker: Broker, hub: Hub) -> None:
    ends = (hub.clock.now() + timedelta(days=3)).replace(microsecond=0)
    china = ends.astimezone(UTC) + timedelta(hours=8)
    text = china.strftime("%Y-%m-%dT%H:%M:%S.00000+08:00")
    response = broker.post(subscribe(CONSUMER, CX, ends=text), SUBSCRIBE)
    assert termination(response) == ends


def test_a_nil_end_means_the_latest(broker: Broker, hub: Hub) -> None:
    body = subscribe(CONSUMER, CX)
    end = etree.SubElement(body, f"{{{WSNT}}}InitialTerminationTime")
    end.set("{http://www.w3.org/2001/XMLSchema-instance}nil", "true")
    given = termination(broker.post(body, SUBSCRIBE))
    assert given - hub.clock.now() > timedelta(days=365)


@pytest.mark.parametrize(
    "ends", ["2010-05-31T00:00:00.00000Z", "P0D", "-P1D", "P9999Y", "P999999M", "P2Y"]
)
def test_an_end_in_the_past_or_too_far_ahead_is_refused_with_the_bounds(
    broker: Broker, ends: str
) -> None:
    response = broker.post(subscribe(CONSUMER, CX, ends=ends), SUBSCRIBE)
    assert fault_of(response) == "UnacceptableInitialTerminationTimeFault"
    assert b"MaximumTime" in response.content


@pytest.mark.parametrize(
    "consumer",
    [
        "https://elsewhere.test/notify",
        "http://consumer.test/notify",
        "https://consumer.test:8443/notify",
        "https://consumer.test.evil.test/",
        "https://consumer.test@evil.test/",
        "https://evil.test/https://consumer.test/",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "urn:uuid:1",
    ],
)
def test_only_a_configured_consumer_is_taken(broker: Broker, consumer: str) -> None:
    assert broker.refused(subscribe(consumer, CX)) == "SubscribeCreationFailedFault"


def test_without_configured_consumers_nobody_can_subscribe(hub: Hub) -> None:
    with open_broker(hub, NotificationSettings()) as broker:
        assert broker.refused(subscribe(CONSUMER, CX)) == "SubscribeCreationFailedFault"


@pytest.mark.parametrize(
    ("topic", "query_id", "slots"),
    [
        pytest.param(FULL, OF_PATIENT, [], id="no patient"),
        pytest.param(FULL, OF_PATIENT, [CX, CX], id="two patients"),
        pytest.param(FULL, OF_PATIENT, [(PATIENT, "'no identifier'")], id="no CX"),
        pytest.param(FULL, OF_PATIENT, [(PATIENT, "('a^^^&1.2&ISO'")], id="no literal"),
        pytest.param(FULL, OF_PATIENT, [CX, ("$Other", "'x'")], id="unknown parameter"),
        pytest.param(FULL, OF_PATIENT, [CX, (CLASS[0], "('CT')")], id="code without scheme"),
        pytest.param(FULL, OF_ANYBODY, [], id="anybody and anything"),
        pytest.param(
            FULL, OF_ANYBODY, [("$XDSDocumentEntryAuthorPerson", "('%')")], id="by author alone"
        ),
        pytest.param(FULL, OF_ANYBODY, [CLASS, CX], id="anybody with a patient"),
        pytest.param(SETS, SETS_OF_ANYBODY, [], id="all sets"),
        pytest.param(SETS, OF_PATIENT, [CX], id="sets by a filter of documents"),
        pytest.param(FULL, "urn:uuid:9376254e-da05-41f5-9af3-ac56d63d8ebd", [CX], id="folders"),
        pytest.param(FULL, OF_PATIENT, [CX, *[(CLASS[0], f"('{'x' * 200}^^1')")] * 120], id="long"),
    ],
)
def test_a_filter_that_cannot_be_decided_is_refused(
    broker: Broker, topic: str, query_id: str, slots: list[tuple[str, str]]
) -> None:
    body = subscribe(CONSUMER, *slots, topic=topic, query_id=query_id)
    assert broker.refused(body) == "InvalidFilterFault"


def _dialect(body: etree._Element) -> None:
    body.find(f".//{{{WSNT}}}TopicExpression").set("Dialect", DIALECT.replace("Simple", "Full"))


def _topic(body: etree._Element) -> None:
    body.find(f".//{{{WSNT}}}TopicExpression").text = "ihe:FolderMetadata"


def _no_topic(body: etree._Element) -> None:
    asked = body.find(f"{{{WSNT}}}Filter")
    asked.remove(asked[0])


def _no_filter(body: etree._Element) -> None:
    body.remove(body.find(f"{{{WSNT}}}Filter"))


def _more_filter(body: etree._Element) -> None:
    asked = body.find(f"{{{WSNT}}}Filter")
    etree.SubElement(asked, f"{{{WSNT}}}MessageContent", Dialect="xpath").text = "true()"


def _policy(body: etree._Element) -> None:
    policy = etree.SubElement(body, f"{{{WSNT}}}SubscriptionPolicy")
    etree.SubElement(policy, "{urn:x}Always")


def _raw(body: etree._Element) -> None:
    policy = etree.SubElement(body, f"{{{WSNT}}}SubscriptionPolicy")
    etree.SubElement(policy, f"{{{WSNT}}}UseRaw")


def _parameters(body: etree._Element) -> None:
    reference = body.find(f"{{{WSNT}}}ConsumerReference")
    parameters = etree.SubElement(reference, f"{{{wire.WSA}}}ReferenceParameters")
    etree.SubElement(parameters, "{urn:x}Who").text = "me"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_dialect, "TopicExpressionDialectUnknownFault"),
        (_topic, "TopicNotSupportedFault"),
        (_no_topic, "InvalidTopicExpressionFault"),
        (_no_filter, "InvalidFilterFault"),
        (_more_filter, "InvalidFilterFault"),
        (_policy, "UnrecognizedPolicyRequestFault"),
        (_raw, "UnsupportedPolicyRequestFault"),
        (_parameters, "SubscribeCreationFailedFault"),
    ],
)
def test_what_is_not_offered_has_its_own_fault(broker: Broker, change: Change, fault: str) -> None:
    body = subscribe(CONSUMER, CX)
    change(body)
    assert broker.refused(body) == fault


def test_a_refusal_is_said_in_both_languages(broker: Broker) -> None:
    response = broker.post(subscribe("https://elsewhere.test/", CX), SUBSCRIBE)
    reasons = wire.payload(response).iterfind(f".//{{{wire.SOAP}}}Text")
    said = {one.get("{http://www.w3.org/XML/1998/namespace}lang"): one.text for one in reasons}
    assert "consumer" in said["en"] and "接收方" in said["zh"]
    assert "elsewhere" not in response.text


def test_one_subscriber_does_not_fill_the_hub(hub: Hub) -> None:
    settings = NotificationSettings(
        allowed_consumers=("https://consumer.test/",), most_per_subscriber=2
    )
    with open_broker(hub, settings) as broker:
        first = broker.subscribe(subscribe(CONSUMER, CX))
        broker.subscribe(subscribe(CONSUMER, CX, ends="P1D"))
        assert broker.refused(subscribe(CONSUMER, CX)) == "SubscribeCreationFailedFault"
        assert unsubscribe(broker, first).status_code == 200
        broker.subscribe(subscribe(CONSUMER, CX))
        hub.clock.advance(seconds=2 * 86_400)  # what has ended makes room
        broker.token = hub.token("another", None)
        assert broker.registry.broker.purge() == 1


def test_subscribing_and_leaving_are_audited(broker: Broker, hub: Hub) -> None:
    person = hub.know()
    reference = broker.subscribe(subscribe(CONSUMER, (PATIENT, f"'{hub.global_cx(person)}'")))
    unsubscribe(broker, reference)
    broker.refused(subscribe("https://elsewhere.test/", CX))
    records = hub.audit.search(AuditQuery()).records
    written = [(one.outcome, one.transaction, one.resource_id) for one in records]
    assert ("success", "ITI-52", person) in written
    assert len([one for one in written if one[:2] == ("success", "ITI-52")]) == 2
    assert [one for one in written if one[0] == "failure"]


def test_nobody_subscribes_without_a_token(broker: Broker, hub: Hub) -> None:
    data = wire.envelope(subscribe(CONSUMER, CX), SUBSCRIBE)
    headers = {"Content-Type": "application/soap+xml"}
    assert requests.post(broker.address, data, headers=headers, timeout=10).status_code == 401


@pytest.mark.filterwarnings("ignore::DeprecationWarning:zeep")
def test_an_independent_client_subscribes_by_the_served_wsdl(broker: Broker, hub: Hub) -> None:
    zeep: Any = pytest.importorskip("zeep")
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {hub.token('zeep', None, Role.CLINICIAN)}"
    with session:
        client = zeep.Client(f"{broker.address}?wsdl", transport=zeep.Transport(session=session))
        slot = {"name": CX[0], "ValueList": {"Value": [CX[1]]}}
        answer = client.service.Subscribe(
            ConsumerReference={"Address": CONSUMER},
            Filter={
                "TopicExpression": {"_value_1": MINIMAL, "Dialect": DIALECT},
                "AdhocQuery": {"id": OF_PATIENT, "Slot": [slot]},
            },
        )
        reference = answer.SubscriptionReference.Address
        leaving = client.create_service(client.service._binding.name, reference)
        leaving.Unsubscribe()
        with pytest.raises(zeep.exceptions.Fault):
            leaving.Unsubscribe()
