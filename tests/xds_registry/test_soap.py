"""SOAP 1.2 envelopes and faults."""

import pytest
from lxml import etree

from xds_registry.soap import (
    ADDRESSING,
    SOAP_11,
    SOAP_12,
    FaultCode,
    SoapFaultError,
    build_envelope,
    build_fault,
    parse_envelope,
)


def envelope(headers: str = "", body: str = "<x/>", namespace: str = SOAP_12) -> bytes:
    return (
        f'<s:Envelope xmlns:s="{namespace}" xmlns:a="{ADDRESSING}"><s:Header>{headers}</s:Header>'
        f"<s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def test_action_and_message_id_are_read() -> None:
    request = parse_envelope(
        envelope(
            '<a:Action s:mustUnderstand="1"> urn:x </a:Action><a:MessageID>urn:uuid:1</a:MessageID>'
        )
    )
    assert (request.action, request.message_id, request.body.tag) == ("urn:x", "urn:uuid:1", "x")


def test_addressing_may_be_absent() -> None:
    data = f'<s:Envelope xmlns:s="{SOAP_12}"><s:Body><x/></s:Body></s:Envelope>'.encode()
    assert parse_envelope(data).action == ""


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"not xml", FaultCode.SENDER),
        (b"<html/>", FaultCode.SENDER),
        (envelope(body=""), FaultCode.SENDER),
        (envelope(body="<x/><y/>"), FaultCode.SENDER),
        (envelope(namespace=SOAP_11), FaultCode.VERSION_MISMATCH),
        (
            envelope('<w:Security xmlns:w="urn:w" s:mustUnderstand="true"/>'),
            FaultCode.MUST_UNDERSTAND,
        ),
        (b"<!DOCTYPE x>" + envelope(), FaultCode.SENDER),
    ],
    ids=["text", "html", "empty-body", "two-bodies", "soap-1.1", "not-understood", "doctype"],
)
def test_what_is_not_soap_12_becomes_a_fault(data: bytes, code: FaultCode) -> None:
    with pytest.raises(SoapFaultError) as refused:
        parse_envelope(data)
    assert refused.value.code == code


def test_a_header_that_need_not_be_understood_is_let_through() -> None:
    assert parse_envelope(envelope('<w:Trace xmlns:w="urn:w"/>')).body.tag == "x"


def test_an_answer_relates_to_its_request_and_ignores_reply_to() -> None:
    data = build_envelope(etree.Element("x"), "urn:answer", "urn:uuid:1")
    root = etree.fromstring(data)
    assert root.findtext(f".//{{{ADDRESSING}}}RelatesTo") == "urn:uuid:1"
    assert root.findtext(f".//{{{ADDRESSING}}}Action") == "urn:answer"
    assert root.find(f".//{{{ADDRESSING}}}To") is None


def test_a_fault_speaks_english_and_chinese() -> None:
    fault = SoapFaultError(FaultCode.SENDER, "no <such> action", "不支持", "ActionNotSupported")
    root = etree.fromstring(build_fault(fault, ""))
    texts = {
        text.get("{http://www.w3.org/XML/1998/namespace}lang"): text.text
        for text in root.iter(f"{{{SOAP_12}}}Text")
    }
    assert texts == {"en": "no <such> action", "zh": "不支持"}
    assert [value.text for value in root.iter(f"{{{SOAP_12}}}Value")] == [
        "s:Sender",
        "a:ActionNotSupported",
    ]
