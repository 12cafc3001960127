"""Hostile XML is refused quickly and in bounded memory; honest XML is read."""

import pytest

from tests.support.effort import little_effort
from xds_registry.safe_xml import HostileXmlError, XmlLimits, parse_xml

LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + b"".join(
        f'<!ENTITY lol{n} "{("&lol%s;" % (n - 1 or "")) * 10}">'.encode() for n in range(1, 10)
    )
    + b"]><lolz>&lol9;</lolz>"
)
QUADRATIC = b'<!DOCTYPE a [<!ENTITY x "' + b"x" * 100_000 + b'">]><a>' + b"&x;" * 50_000 + b"</a>"


@pytest.mark.parametrize(
    "bomb",
    [
        LAUGHS,
        QUADRATIC,
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd"><a/>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b'<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1:9/p">%p;]><a/>',
        '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a><a/>'.encode("utf-16"),
        b"<!DOCTYPE a><a/>",
    ],
    ids=["laughs", "quadratic", "external-dtd", "external-entity", "parameter", "utf-16", "empty"],
)
def test_a_document_type_declaration_is_refused_within_50_ms(bomb: bytes) -> None:
    with little_effort(0.05), pytest.raises(HostileXmlError, match="document type"):
        parse_xml(bomb)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"<a>" * 100_000, "nested deeper"),
        (b"<a " + b" ".join(b'a%d="1"' % n for n in range(100_000)) + b"/>", "tag is longer"),
        (b"<a " + b" ".join(b'a%d="1"' % n for n in range(65)) + b"/>", "attributes"),
        (b"<a>" + b"<b/>" * 200_000 + b"</a>", "elements"),
        (b"<a " + b"x" * 300_000 + b"/>", "tag is longer"),
        (b"<a>" + b"x" * (5 * 1024 * 1024) + b"</a>", "longer than"),
    ],
    ids=["depth", "attributes-100k", "attributes-65", "elements", "endless-tag", "size"],
)
def test_what_is_larger_than_any_honest_message_is_refused(data: bytes, rule: str) -> None:
    with little_effort(1.0), pytest.raises(HostileXmlError, match=rule):
        parse_xml(data)


@pytest.mark.parametrize("data", [b"", b"<a>", b"<a></b>", b"\x00\x01", b"<a>&undefined;</a>"])
def test_broken_xml_is_refused(data: bytes) -> None:
    with pytest.raises(HostileXmlError, match="not well-formed"):
        parse_xml(data)


@pytest.mark.parametrize("encoding", ["gb18030", "cp037", "utf-7", "nonsense", "iso-8859-1"])
def test_other_encodings_are_refused(encoding: str) -> None:
    data = f'<?xml version="1.0" encoding="{encoding}"?><a/>'.encode()
    with pytest.raises(HostileXmlError):
        parse_xml(data)


def test_honest_xml_is_read_whatever_its_encoding() -> None:
    for encoding in ("utf-8", "utf-16"):
        text = f'<?xml version="1.0" encoding="{encoding}"?><a b="王">小东</a>'
        root = parse_xml(text.encode(encoding))
        assert (root.get("b"), root.text) == ("王", "小东")


def test_a_limit_is_met_exactly() -> None:
    limits = XmlLimits(depth=3, attributes=2, elements=3)
    assert parse_xml(b'<a x="1" y="2"><b><c/></b></a>', limits).tag == "a"
    with pytest.raises(HostileXmlError):
        parse_xml(b"<a><b><c><d/></c></b></a>", limits)
