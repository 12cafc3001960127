"""ITI-53 Document Metadata Notify: the message that a consumer is sent (ITI TF-2 3.53).

The message of one notification always has the same MessageID: it may come more than once, and a
consumer can tell.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lxml import etree

from xds_registry import vocabulary as v
from xds_registry.ebrim import leaf_class, object_ref
from xds_registry.model import RegistryObject
from xds_registry.soap import ADDRESSING, SOAP_12
from xds_registry.subscriptions_faults import WSNT
from xds_registry.subscriptions_filters import FULL, MINIMAL, SUBMISSION_SET
from xds_registry.transactions.iti52_document_metadata_subscribe import DIALECT

ACTION = "http://docs.oasis-open.org/wsn/bw-2/NotificationConsumer/Notify"
_WRITERS: Mapping[str, Callable[[RegistryObject], etree._Element]] = {
    FULL: leaf_class,
    MINIMAL: object_ref,
    SUBMISSION_SET: leaf_class,
}
_PREFIXES = {
    "s": SOAP_12,
    "a": ADDRESSING,
    "wsnt": WSNT,
    "lcm": v.LCM,
    "rim": v.RIM,
}


@dataclass(frozen=True)
class Notification:
    """What a consumer is told: under which subscription, about what.

    `reference` is the subscription's address, `producer` the broker's.
    """

    consumer: str
    reference: str
    producer: str
    topic: str
    items: Sequence[RegistryObject]


def notify_envelope(told: Notification, key: str) -> bytes:
    """Return the SOAP message; `key` is the same for the same notification, and for no other."""
    envelope = etree.Element(f"{{{SOAP_12}}}Envelope", nsmap=_PREFIXES)
    header = etree.SubElement(envelope, f"{{{SOAP_12}}}Header")
    message_id = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{told.reference} {key}')}"
    for name, text in (("Action", ACTION), ("MessageID", message_id), ("To", told.consumer)):
        element = etree.SubElement(header, f"{{{ADDRESSING}}}{name}")
        element.text = text
        if name != "MessageID":
            element.set(f"{{{SOAP_12}}}mustUnderstand", "1")
    etree.SubElement(envelope, f"{{{SOAP_12}}}Body").append(_notify(told))
    return etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")


def _notify(told: Notification) -> etree._Element:
    notify = etree.Element(f"{{{WSNT}}}Notify", nsmap=_PREFIXES)
    holder = etree.SubElement(notify, f"{{{WSNT}}}NotificationMessage")
    _reference(holder, "SubscriptionReference", told.reference)
    topic = etree.SubElement(holder, f"{{{WSNT}}}Topic", Dialect=DIALECT)
    topic.text = told.topic
    _reference(holder, "ProducerReference", told.producer)
    message = etree.SubElement(holder, f"{{{WSNT}}}Message")
    request = etree.SubElement(message, f"{{{v.LCM}}}SubmitObjectsRequest")
    objects = etree.SubElement(request, f"{{{v.RIM}}}RegistryObjectList")
    objects.extend(map(_WRITERS[told.topic], told.items))
    return notify


def _reference(holder: etree._Element, name: str, address: str) -> None:
    reference = etree.SubElement(holder, f"{{{WSNT}}}{name}")
    etree.SubElement(reference, f"{{{ADDRESSING}}}Address").text = address
