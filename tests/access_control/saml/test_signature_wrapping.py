"""XML signature wrapping: the eight shapes of Somorovsky et al. ("On Breaking SAML", 2012).

Each moves the honestly signed assertion somewhere else and puts a forged one where it is read. A
naive verifier, which checks the signature it finds and reads the assertion it finds, accepts all
eight: that is the control. XSW1 and XSW2 were described for a signed Response; here the Security
header stands in its place.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
from lxml import etree
from signxml.verifier import SignatureConfiguration, XMLVerifier

from access_control.errors import AssertionRefusedError
from access_control.saml.assertions import Assertions
from tests.support.assertions import SOAP, WSSE, Wanted, assertion, envelope, header_of, signed
from tests.support.certificates import Certified
from xds_registry.safe_xml import parse_xml

DS = "http://www.w3.org/2000/09/xmldsig#"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
NS = {"ds": DS, "s": SAML, "soap": SOAP, "wsse": WSSE}


class Pieces:
    """A good message taken apart, and a forged assertion to put into it."""

    def __init__(self, wanted: Wanted, idp: Certified) -> None:
        self.root = etree.fromstring(envelope(signed(assertion(wanted), idp)))
        self.security = self._one("//wsse:Security")
        self.good = self._one("//s:Assertion")
        self.signature = self._one("//ds:Signature")
        self.evil = assertion(replace(wanted, assertion_id="_evil", name_id="admin"))

    def _one(self, path: str) -> etree._Element:
        (found,) = self.root.xpath(path, namespaces=NS)
        assert isinstance(found, etree._Element)
        return found

    def good_without_signature(self) -> etree._Element:
        bare = deepcopy(self.good)
        for signature in bare.findall(f"{{{DS}}}Signature"):
            bare.remove(signature)
        return bare

    def in_object(self, *inside: etree._Element) -> etree._Element:
        element = etree.SubElement(self.signature, f"{{{DS}}}Object")
        element.extend(inside)
        return element


def xsw1(m: Pieces) -> None:
    """The forged header carries the signature, and the signature carries the good header."""
    good_header = deepcopy(m.security)
    (copy,) = good_header.iter(f"{{{DS}}}Signature")
    copy.getparent().remove(copy)  # type: ignore[union-attr]
    m.security.remove(m.good)
    m.security.append(m.evil)
    m.evil.insert(1, m.signature)
    m.in_object(good_header)


def xsw2(m: Pieces) -> None:
    """The good header stands beside its detached signature, behind the forged assertion."""
    good_header = deepcopy(m.security)
    (copy,) = good_header.iter(f"{{{DS}}}Signature")
    copy.getparent().remove(copy)  # type: ignore[union-attr]
    m.security.remove(m.good)
    m.security.extend([m.evil, m.signature, good_header])


def xsw3(m: Pieces) -> None:
    """The forged assertion stands before the good one."""
    m.security.insert(0, m.evil)


def xsw4(m: Pieces) -> None:
    """The good assertion lies inside the forged one."""
    m.security.replace(m.good, m.evil)
    m.evil.append(m.good)


def xsw5(m: Pieces) -> None:
    """The forged assertion has the signature; the good one, bare, stands at the end."""
    bare = m.good_without_signature()
    m.security.replace(m.good, m.evil)
    m.evil.insert(1, m.signature)
    m.security.append(bare)


def xsw6(m: Pieces) -> None:
    """The forged assertion has the signature, and the signature has the good one, bare."""
    bare = m.good_without_signature()
    m.security.replace(m.good, m.evil)
    m.evil.insert(1, m.signature)
    m.signature.append(bare)


def xsw7(m: Pieces) -> None:
    """The forged assertion lies in an extension, where anything may lie."""
    extension = etree.Element("{urn:any}Extensions")
    extension.append(m.evil)
    m.security.insert(0, extension)


def xsw8(m: Pieces) -> None:
    """The good assertion, bare, lies in an Object of the signature that the forged one has."""
    bare = m.good_without_signature()
    m.security.replace(m.good, m.evil)
    m.evil.insert(1, m.signature)
    m.in_object(bare)


WRAPPINGS = (xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8)


def naive_name(message: bytes, idp: Certified) -> str:
    """Check a signature, wherever it is; then read the first assertion, wherever it is."""
    XMLVerifier().verify(
        message,
        x509_cert=idp.certificate,
        id_attribute="ID",
        validate_schema=False,
        expect_config=SignatureConfiguration(location=".//"),
    )
    name = etree.fromstring(message).find(".//s:Assertion/s:Subject/s:NameID", NS)
    assert name is not None
    return str(name.text)


@pytest.mark.parametrize("wrap", WRAPPINGS, ids=lambda wrap: wrap.__name__)
def test_a_wrapped_assertion_is_refused_where_a_naive_verifier_is_fooled(
    assertions: Assertions, idp: Certified, wanted: Wanted, wrap: Callable[[Pieces], None]
) -> None:
    pieces = Pieces(wanted, idp)
    wrap(pieces)
    message = etree.tostring(pieces.root)
    assert naive_name(message, idp) == "admin"  # the control
    with pytest.raises(AssertionRefusedError):
        assertions.subject(header_of(message))
    with pytest.raises(AssertionRefusedError):
        assertions.subject(_as_a_door_parses(message))


@pytest.mark.parametrize("wrap", WRAPPINGS, ids=lambda wrap: wrap.__name__)
def test_a_forged_assertion_with_the_good_ones_id_is_refused(
    assertions: Assertions, idp: Certified, wanted: Wanted, wrap: Callable[[Pieces], None]
) -> None:
    pieces = Pieces(wanted, idp)
    pieces.evil.set("ID", wanted.assertion_id)
    wrap(pieces)
    with pytest.raises(AssertionRefusedError):
        assertions.subject(header_of(etree.tostring(pieces.root)))


@pytest.mark.parametrize("where", ["body", "second header", "nested header", "unknown block"])
def test_the_good_assertion_may_lie_nowhere_else_in_the_message(
    assertions: Assertions, idp: Certified, wanted: Wanted, where: str
) -> None:
    pieces = Pieces(wanted, idp)
    header = pieces.security.getparent()
    assert header is not None
    pieces.security.replace(pieces.good, pieces.evil)
    place = {
        "body": lambda: pieces.root.find(f"{{{SOAP}}}Body"),
        "second header": lambda: etree.SubElement(header, f"{{{WSSE}}}Security"),
        "nested header": lambda: etree.SubElement(pieces.evil, f"{{{WSSE}}}Security"),
        "unknown block": lambda: etree.SubElement(header, "{urn:any}Block"),
    }[where]()
    assert place is not None
    place.append(pieces.good)
    with pytest.raises(AssertionRefusedError):
        assertions.subject(header_of(etree.tostring(pieces.root)))


def test_without_wrapping_the_same_message_is_accepted(
    assertions: Assertions, idp: Certified, wanted: Wanted
) -> None:
    message = etree.tostring(Pieces(wanted, idp).root)
    assert assertions.subject(_as_a_door_parses(message)).subject_id == "li.ming@idp"


def test_a_header_out_of_its_envelope_is_refused(
    assertions: Assertions, idp: Certified, wanted: Wanted
) -> None:
    header = header_of(etree.tostring(Pieces(wanted, idp).root))
    with pytest.raises(AssertionRefusedError):
        assertions.subject(deepcopy(header))


def _as_a_door_parses(message: bytes) -> etree._Element:
    header = parse_xml(message).find(f"{{{SOAP}}}Header")
    assert header is not None
    return header
