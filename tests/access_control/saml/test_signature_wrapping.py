"""XML signature wrapping (`tests.support.wrappings`) is refused in all its eight shapes.

A naive verifier, which checks the signature it finds and reads the assertion it finds, accepts all
eight: that is the control.
"""

from collections.abc import Callable
from copy import deepcopy

import pytest
from lxml import etree
from signxml.verifier import SignatureConfiguration, XMLVerifier

from access_control.errors import AssertionRefusedError
from access_control.saml.assertions import Assertions
from tests.support.assertions import SOAP, WSSE, Wanted, header_of
from tests.support.certificates import Certified
from tests.support.wrappings import NS, WRAPPINGS, Pieces
from xds_registry.safe_xml import parse_xml


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
