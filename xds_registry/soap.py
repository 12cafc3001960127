"""SOAP 1.2 envelopes with WS-Addressing headers, and faults (ITI TF-2 Appendix V; W3C SOAP 1.2).

`ReplyTo` and `FaultTo` are never followed: an answer goes back on the connection it was asked on.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO

from lxml import etree

from hub_kernel.identifiers import new_urn_uuid
from xds_registry.errors import XdsRegistryError
from xds_registry.safe_xml import HostileXmlError, Read, TakeOut, XmlLimits, parse_xml_stream

SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
ADDRESSING = "http://www.w3.org/2005/08/addressing"
XML = "http://www.w3.org/XML/1998/namespace"
_UNDERSTOOD = frozenset({ADDRESSING})
_PREFIXES = {"s": SOAP_12, "a": ADDRESSING}
_OBJECTS, _OBJECTS_END = b"<rim:RegistryObjectList>", b"</rim:RegistryObjectList>"
_NO_OBJECTS = b"<rim:RegistryObjectList/>"


class FaultCode(StrEnum):
    """SOAP 1.2 part 1, 5.4.6."""

    SENDER = "Sender"
    RECEIVER = "Receiver"
    VERSION_MISMATCH = "VersionMismatch"
    MUST_UNDERSTAND = "MustUnderstand"


HTTP_STATUS_OF_FAULT = {
    FaultCode.SENDER: "400 Bad Request",
    FaultCode.RECEIVER: "500 Internal Server Error",
    FaultCode.VERSION_MISMATCH: "500 Internal Server Error",
    FaultCode.MUST_UNDERSTAND: "500 Internal Server Error",
}


class SoapFaultError(XdsRegistryError):
    """The message cannot be carried out as SOAP; answered with a fault, never with a traceback.

    `subcode` is a local name of the WS-Addressing namespace, or empty. `detail` goes into the
    Detail of the fault; `action`, if any, names it instead of an action of WS-Addressing.
    """

    detail: etree._Element | None = None
    action: str = ""

    def __init__(self, code: FaultCode, en: str, zh: str, subcode: str = "") -> None:
        super().__init__(en)
        self.code = code
        self.en = en
        self.zh = zh
        self.subcode = subcode


@dataclass(frozen=True)
class SoapRequest:
    """A request's addressing and its payload; `action` and `message_id` are empty when absent.

    `header` is the SOAP Header, for who finds the sender's assertion in it; None without one.
    """

    action: str
    message_id: str
    body: etree._Element
    header: etree._Element | None = None


def parse_envelope(data: bytes, understood: Collection[str] = ()) -> SoapRequest:
    """Return the request in the SOAP 1.2 envelope `data`.

    `understood` are namespaces of headers that are understood beside WS-Addressing.

    Raises:
        SoapFaultError: not XML within bounds, not SOAP 1.2, a header that must be understood and
            is not, or not exactly one payload element.
    """
    return envelope_request(envelope_element(BytesIO(data).read), understood)


def envelope_element(
    read: Read, limits: XmlLimits | None = None, take_out: TakeOut | None = None
) -> etree._Element:
    """Return the XML that `read` gives, without what is taken out (see `parse_xml_stream`).

    Raises:
        SoapFaultError: not XML within bounds.
    """
    try:
        return parse_xml_stream(read, limits or XmlLimits(), take_out)
    except HostileXmlError as error:
        raise SoapFaultError(FaultCode.SENDER, str(error), "XML 无法接受") from error


def envelope_request(envelope: etree._Element, understood: Collection[str] = ()) -> SoapRequest:
    """Return the request in a SOAP 1.2 envelope.

    Raises:
        SoapFaultError: as `parse_envelope`.
    """
    _require_soap_12(envelope)
    header = envelope.find(f"{{{SOAP_12}}}Header")
    if header is not None:
        _require_understood(header, _UNDERSTOOD.union(understood))
    body = envelope.find(f"{{{SOAP_12}}}Body")
    if body is None or len(body) != 1:
        raise SoapFaultError(
            FaultCode.SENDER, "the Body must hold exactly one element", "Body 必须且只能有一个元素"
        )
    action, message_id = (_addressing(header, name) for name in ("Action", "MessageID"))
    return SoapRequest(action, message_id, body[0], header)


def build_envelope(
    payload: etree._Element, action: str, relates_to: str, objects: str = ""
) -> bytes:
    """Return the envelope that answers the message `relates_to` with `payload`.

    `objects` are registry objects as text, for the empty RegistryObjectList at its end.
    """
    envelope = etree.Element(f"{{{SOAP_12}}}Envelope", nsmap=_PREFIXES)
    header = etree.SubElement(envelope, f"{{{SOAP_12}}}Header")
    _header(header, "Action", action).set(f"{{{SOAP_12}}}mustUnderstand", "1")
    _header(header, "MessageID", new_urn_uuid())
    if relates_to:
        _header(header, "RelatesTo", relates_to)
    etree.SubElement(envelope, f"{{{SOAP_12}}}Body").append(payload)
    written = etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")
    if not objects:
        return written
    before, _, after = written.rpartition(_NO_OBJECTS)
    return b"".join((before, _OBJECTS, objects.encode(), _OBJECTS_END, after))


def build_fault(fault: SoapFaultError, relates_to: str) -> bytes:
    """Return the envelope of `fault`, its reason in English and in Chinese."""
    element = etree.Element(f"{{{SOAP_12}}}Fault", nsmap=_PREFIXES)
    code = etree.SubElement(element, f"{{{SOAP_12}}}Code")
    etree.SubElement(code, f"{{{SOAP_12}}}Value").text = f"s:{fault.code}"
    if fault.subcode:
        subcode = etree.SubElement(code, f"{{{SOAP_12}}}Subcode")
        etree.SubElement(subcode, f"{{{SOAP_12}}}Value").text = f"a:{fault.subcode}"
    reason = etree.SubElement(element, f"{{{SOAP_12}}}Reason")
    for language, words in (("en", fault.en), ("zh", fault.zh)):
        text = etree.SubElement(reason, f"{{{SOAP_12}}}Text")
        text.set(f"{{{XML}}}lang", language)
        text.text = words
    if fault.detail is not None:
        etree.SubElement(element, f"{{{SOAP_12}}}Detail").append(fault.detail)
    kind = "fault" if fault.subcode else "soap/fault"
    return build_envelope(element, fault.action or f"{ADDRESSING}/{kind}", relates_to)


def _require_soap_12(envelope: etree._Element) -> None:
    if envelope.tag == f"{{{SOAP_12}}}Envelope":
        return
    if envelope.tag == f"{{{SOAP_11}}}Envelope":
        raise SoapFaultError(
            FaultCode.VERSION_MISMATCH, "SOAP 1.1 is not spoken here, use 1.2", "请使用 SOAP 1.2"
        )
    raise SoapFaultError(FaultCode.SENDER, "this is not a SOAP envelope", "不是 SOAP 信封")


def _require_understood(header: etree._Element, understood: frozenset[str]) -> None:
    for block in header:
        needed = block.get(f"{{{SOAP_12}}}mustUnderstand", "").strip() in {"1", "true"}
        if needed and etree.QName(block).namespace not in understood:
            raise SoapFaultError(
                FaultCode.MUST_UNDERSTAND,
                "a header that must be understood is not understood here",
                "存在必须理解但本平台不支持的消息头",
            )


def _addressing(header: etree._Element | None, name: str) -> str:
    text = None if header is None else header.findtext(f"{{{ADDRESSING}}}{name}")
    return (text or "").strip()


def _header(parent: etree._Element, name: str, text: str) -> etree._Element:
    element: etree._Element = etree.SubElement(parent, f"{{{ADDRESSING}}}{name}")
    element.text = text
    return element
