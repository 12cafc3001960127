"""A subscriber, a consumer that listens, and the schemas that all their messages are held to."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import requests
from lxml import etree
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from access_control.model import Role
from hub_kernel.tasks import deliver_all_due
from tests.support.tools import require_conformance
from tests.xds_registry import wire
from tests.xds_registry.hub import DOMAIN, Hub, serve
from xds_registry.affinity_domain import load_affinity_domain
from xds_registry.service import Registry
from xds_registry.subscriptions_consumers import NotificationSettings

WSNT = "http://docs.oasis-open.org/wsn/b-2"
BF = "http://docs.oasis-open.org/wsrf/bf-2"
LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
SUBSCRIBE = "http://docs.oasis-open.org/wsn/bw-2/NotificationProducer/SubscribeRequest"
UNSUBSCRIBE = "http://docs.oasis-open.org/wsn/bw-2/SubscriptionManager/UnsubscribeRequest"
NOTIFY = "http://docs.oasis-open.org/wsn/bw-2/NotificationConsumer/Notify"
DIALECT = "http://docs.oasis-open.org/wsn/t-1/TopicExpression/Simple"
FULL, MINIMAL = "ihe:FullDocumentEntry", "ihe:MinimalDocumentEntry"
SETS = "ihe:SubmissionSetMetadata"
OF_PATIENT = "urn:uuid:aa2332d0-f8fe-11e0-be50-0800200c9a66"
OF_ANYBODY = "urn:uuid:742790e0-aba6-43d6-9f1f-e43ed9790b79"
SETS_OF_PATIENT = "urn:uuid:fbede94e-dbdc-4f6b-bc1f-d730e677cece"
SETS_OF_ANYBODY = "urn:uuid:868cad3d-ec09-4565-b66c-1be10d034399"
PATIENT = "$XDSDocumentEntryPatientId"

# What the schemas of WS-Notification import and the material does not hold.
_ADDRESSING = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"
 targetNamespace="http://www.w3.org/2005/08/addressing" elementFormDefault="qualified">
 <xs:complexType name="EndpointReferenceType"><xs:sequence>
  <xs:element name="Address" type="xs:anyURI"/>
  <xs:any namespace="##any" processContents="lax" minOccurs="0" maxOccurs="unbounded"/>
 </xs:sequence></xs:complexType></xs:schema>"""
_FAULTS = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"
 targetNamespace="http://docs.oasis-open.org/wsrf/bf-2" elementFormDefault="qualified">
 <xs:import namespace="http://www.w3.org/XML/1998/namespace"/>
 <xs:complexType name="BaseFaultType"><xs:sequence>
  <xs:any namespace="##other" processContents="lax" minOccurs="0" maxOccurs="unbounded"/>
  <xs:element name="Timestamp" type="xs:dateTime"/>
  <xs:element name="Description" minOccurs="0" maxOccurs="unbounded"><xs:complexType>
   <xs:simpleContent><xs:extension base="xs:string">
    <xs:anyAttribute namespace="##other" processContents="lax"/>
   </xs:extension></xs:simpleContent></xs:complexType></xs:element>
 </xs:sequence><xs:anyAttribute namespace="##other" processContents="lax"/></xs:complexType>
</xs:schema>"""


class _Local(etree.Resolver):
    """Finds the schemas on this machine."""

    def resolve(self, url: str, _id: str, context: object) -> object:
        name = url.rpartition("/")[2]
        made = {"ws-addr.xsd": _ADDRESSING, "bf-2.xsd": _FAULTS}.get(name)
        if made is not None:
            return self.resolve_string(made, context, base_url=url)
        if name in {"b-2.xsd", "t-1.xsd"}:
            path = require_conformance("schema", "wsn", name)
            return self.resolve_filename(str(path), context)
        return None


def schema() -> etree.XMLSchema:
    """Return the schema of WS-BaseNotification with ebRIM and ebRS in it."""
    parser = etree.XMLParser()
    parser.resolvers.add(_Local())
    lcm = require_conformance("schema", "nist-v3", "lcm.xsd").as_uri()
    driver = f"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
     <xs:import namespace="{LCM}" schemaLocation="{lcm}"/>
     <xs:import namespace="{WSNT}" schemaLocation="http://docs.oasis-open.org/wsn/b-2.xsd"/>
    </xs:schema>"""
    return etree.XMLSchema(etree.parse(BytesIO(driver.encode()), parser))


def subscribe(
    consumer: str,
    *slots: tuple[str, str],
    topic: str = FULL,
    query_id: str = OF_PATIENT,
    ends: str = "",
) -> etree._Element:
    body = etree.Element(f"{{{WSNT}}}Subscribe")
    reference = etree.SubElement(body, f"{{{WSNT}}}ConsumerReference")
    etree.SubElement(reference, f"{{{wire.WSA}}}Address").text = consumer
    asked = etree.SubElement(body, f"{{{WSNT}}}Filter")
    etree.SubElement(asked, f"{{{WSNT}}}TopicExpression", Dialect=DIALECT).text = topic
    query = etree.SubElement(asked, f"{{{wire.RIM}}}AdhocQuery", id=query_id)
    for name, value in slots:
        slot = etree.SubElement(query, f"{{{wire.RIM}}}Slot", name=name)
        values = etree.SubElement(slot, f"{{{wire.RIM}}}ValueList")
        etree.SubElement(values, f"{{{wire.RIM}}}Value").text = value
    if ends:
        etree.SubElement(body, f"{{{WSNT}}}InitialTerminationTime").text = ends
    return body


@dataclass
class Consumer:
    """Listens at `address`; answers `status`, and keeps the messages that it took."""

    address: str = ""
    status: int = 202
    location: str = ""
    asked: int = 0
    taken: list[etree._Element] = field(default_factory=list)

    def ids(self) -> list[list[str]]:
        """The ids of the objects of each message, in the order they came."""
        path = f".//{{{LCM}}}SubmitObjectsRequest/{{{wire.RIM}}}RegistryObjectList/*"
        return [[str(one.get("id")) for one in message.iterfind(path)] for message in self.taken]

    def message_ids(self) -> list[str]:
        return [str(one.findtext(f".//{{{wire.WSA}}}MessageID")) for one in self.taken]


@contextmanager
def listening() -> Iterator[Consumer]:
    consumer = Consumer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            consumer.asked += 1
            if 200 <= consumer.status < 300:
                consumer.taken.append(etree.fromstring(data))
            self.send_response(consumer.status)
            if consumer.location:
                self.send_header("Location", consumer.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    consumer.address = f"http://127.0.0.1:{server.server_port}/notify"
    try:
        yield consumer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Broker:
    """A hub whose subscription door is open, and a way to speak to it."""

    hub: Hub
    registry: Registry
    base: str
    schema: etree.XMLSchema
    token: str

    @property
    def address(self) -> str:
        return f"{self.base}/xds/subscriptions"

    def post(
        self, body: etree._Element, action: str, token: str = "", url: str = ""
    ) -> requests.Response:
        """Send a request; both it and what comes back are valid."""
        self.schema.assertValid(body)
        headers = {
            "Content-Type": "application/soap+xml",
            "Authorization": f"Bearer {token or self.token}",
        }
        data = wire.envelope(body, action)
        response = requests.post(url or self.address, data, headers=headers, timeout=10)
        answer = wire.payload(response)
        if etree.QName(answer).localname == "Fault":
            (answer,) = answer.find(f"{{{wire.SOAP}}}Detail")
        self.schema.assertValid(answer)
        return response

    def subscribe(self, body: etree._Element, token: str = "") -> str:
        """Subscribe; returns the address to unsubscribe at."""
        response = self.post(body, SUBSCRIBE, token)
        assert response.status_code == 200, response.text
        answer = wire.payload(response)
        return str(answer.findtext(f"{{{WSNT}}}SubscriptionReference/{{{wire.WSA}}}Address"))

    def refused(self, body: etree._Element, token: str = "") -> str:
        """Subscribe in vain; returns the name of the fault."""
        response = self.post(body, SUBSCRIBE, token)
        assert response.status_code == 400, response.text
        return fault_of(response)

    def settle(self) -> None:
        """Do all that is due now: match what was registered, send what is owed."""
        deliver_all_due(self.hub.database, self.hub.outbox)
        self.registry.broker.notify()


def fault_of(response: requests.Response) -> str:
    action = etree.fromstring(response.content).findtext(f".//{{{wire.WSA}}}Action")
    assert action == "http://docs.oasis-open.org/wsn/fault"
    (detail,) = wire.payload(response).find(f"{{{wire.SOAP}}}Detail")
    return str(etree.QName(detail).localname)


def reopened(hub: Hub, settings: NotificationSettings) -> Registry:
    """Return the registry as it would be after a start with these settings."""
    names = replace(hub.registry._names, notifications=settings)
    return Registry(hub.registry._parts, names, load_affinity_domain(DOMAIN))


@contextmanager
def open_broker(hub: Hub, settings: NotificationSettings) -> Iterator[Broker]:
    registry = reopened(hub, settings)
    mounts: dict[str, Callable[..., object]] = {
        "/xds/registry": registry.registry_app,
        "/xds/subscriptions": registry.subscriptions_app,
    }
    for base in serve(DispatcherMiddleware(NotFound(), mounts)):  # type: ignore[arg-type]
        month = hub.clock.now() + timedelta(days=30)
        token = hub.tokens.create("subscriber", {Role.RADIOLOGIST}, None, month)
        yield Broker(hub, registry, base, schema(), token)
