"""ITI-52 Document Metadata Subscribe: Subscribe and Unsubscribe (ITI TF-2 3.52).

Here a request is read and an answer written; the notification broker decides about it.
"""

from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.soap import ADDRESSING
from xds_registry.subscriptions_consumers import LONGEST_ADDRESS
from xds_registry.subscriptions_faults import (
    WSNT,
    NotificationFaultError,
    creation_failed,
    invalid_filter,
)
from xds_registry.subscriptions_filters import (
    TOPICS,
    Filter,
    FilterError,
    checked_filter,
)
from xds_registry.subscriptions_times import xsd_time

_PRODUCER = "http://docs.oasis-open.org/wsn/bw-2/NotificationProducer"
_MANAGER = "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager"
SUBSCRIBE_TAG = f"{{{WSNT}}}Subscribe"
SUBSCRIBE_ACTION = f"{_PRODUCER}/SubscribeRequest"
SUBSCRIBE_ANSWER_ACTION = f"{_PRODUCER}/SubscribeResponse"
UNSUBSCRIBE_TAG = f"{{{WSNT}}}Unsubscribe"
UNSUBSCRIBE_ACTION = f"{_MANAGER}/UnsubscribeRequest"
UNSUBSCRIBE_ANSWER_ACTION = f"{_MANAGER}/UnsubscribeResponse"

DIALECT = "http://docs.oasis-open.org/wsn/t-1/TopicExpression/Simple"
_DIALECTS = frozenset({DIALECT, DIALECT.replace("t-1", "t1")})  # the examples of IHE misprint it
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_NO_END = frozenset({"1", "true"})
_PREFIXES = {"wsnt": WSNT, "a": ADDRESSING}


@dataclass(frozen=True)
class Wanted:
    """What a Subscribe asks for; `ends` is as it was written, empty where no end was named."""

    consumer: str
    filter: Filter
    ends: str = ""


def read_subscribe(body: etree._Element, now: datetime) -> Wanted:
    """Return what a Subscribe asks for.

    Raises:
        NotificationFaultError: something in it is missing, malformed or not offered here.
    """
    _require_no_policy(body, now)
    consumer = _consumer(body.find(f"{{{WSNT}}}ConsumerReference"), now)
    asked = body.find(f"{{{WSNT}}}Filter")
    if asked is None:
        raise invalid_filter("a filter is needed", "缺少过滤条件", now)
    topic = _topic(asked, now)
    query = asked.findall(f"{{{v.RIM}}}AdhocQuery")
    if len(query) != 1 or len(asked) != 2:
        raise invalid_filter(
            "a filter is one TopicExpression and one AdhocQuery",
            "过滤条件必须由一个主题和一个 AdhocQuery 组成",
            now,
        )
    try:
        found = checked_filter(Filter(topic, query[0].get("id", "").lower(), _slots(query[0])))
    except FilterError as error:
        raise invalid_filter(error.en, error.zh, now) from error
    return Wanted(consumer, found, _end(body.find(f"{{{WSNT}}}InitialTerminationTime")))


def subscribed(reference: str, now: datetime, ends: datetime) -> etree._Element:
    """Return the answer to a Subscribe: where to unsubscribe, and until when it holds."""
    answer = etree.Element(f"{{{WSNT}}}SubscribeResponse", nsmap=_PREFIXES)
    place = etree.SubElement(answer, f"{{{WSNT}}}SubscriptionReference")
    etree.SubElement(place, f"{{{ADDRESSING}}}Address").text = reference
    etree.SubElement(answer, f"{{{WSNT}}}CurrentTime").text = xsd_time(now)
    etree.SubElement(answer, f"{{{WSNT}}}TerminationTime").text = xsd_time(ends)
    return answer


def unsubscribed() -> etree._Element:
    """Return the answer to an Unsubscribe."""
    return etree.Element(f"{{{WSNT}}}UnsubscribeResponse", nsmap={"wsnt": WSNT})


def _require_no_policy(body: etree._Element, now: datetime) -> None:
    policy = body.find(f"{{{WSNT}}}SubscriptionPolicy")
    if policy is not None and len(policy):
        raw = policy.find(f"{{{WSNT}}}UseRaw") is not None
        raise NotificationFaultError(
            f"{'Unsupported' if raw else 'Unrecognized'}PolicyRequestFault",
            ("no subscription policy is offered", "不支持订阅策略"),
            now,
        )


def _consumer(reference: etree._Element | None, now: datetime) -> str:
    address = "" if reference is None else reference.findtext(f"{{{ADDRESSING}}}Address") or ""
    address = address.strip()
    if not address or len(address) > LONGEST_ADDRESS:
        raise creation_failed(
            "the consumer's address is missing or too long", "缺少接收方地址或地址过长", now
        )
    parameters = None
    if reference is not None:
        parameters = reference.find(f"{{{ADDRESSING}}}ReferenceParameters")
    if parameters is not None and len(parameters):
        raise creation_failed(
            "a consumer is named by its address alone, without reference parameters",
            "接收方只能用地址指明，不支持引用参数",
            now,
        )
    return address


def _topic(asked: etree._Element, now: datetime) -> str:
    found = asked.findall(f"{{{WSNT}}}TopicExpression")
    if len(found) != 1:
        raise NotificationFaultError(
            "InvalidTopicExpressionFault", ("one topic is needed", "必须且只能有一个主题"), now
        )
    if found[0].get("Dialect", "").strip() not in _DIALECTS:
        raise NotificationFaultError(
            "TopicExpressionDialectUnknownFault",
            (f"topics are written in {DIALECT}", f"主题须使用 {DIALECT}"),
            now,
        )
    topic = (found[0].text or "").strip()
    if topic not in TOPICS:
        offered = sorted(TOPICS)
        raise NotificationFaultError(
            "TopicNotSupportedFault",
            (f"the topics are {', '.join(offered)}", f"支持的主题：{'、'.join(offered)}"),
            now,
        )
    return topic


def _slots(query: etree._Element) -> list[tuple[str, list[str]]]:
    path = f"{{{v.RIM}}}ValueList/{{{v.RIM}}}Value"
    return [
        (slot.get("name", ""), [value.text or "" for value in slot.iterfind(path)])
        for slot in query.iterfind(f"{{{v.RIM}}}Slot")
    ]


def _end(element: etree._Element | None) -> str:
    if element is None or element.get(_NIL, "").strip() in _NO_END:
        return ""
    return (element.text or "").strip() or "none"
