"""The one assertion of a SOAP header, found by its place and never by its ID (WSS SAML profile).

XML signature wrapping lives from a verifier that looks in one place and a reader that looks in
another. So there is one place: Envelope/Header/Security/Assertion, once in the whole message, with
nothing else that could be taken for it anywhere.
"""

from lxml import etree

from access_control.errors import AssertionRefusedError
from access_control.saml.names import ASSERTION, SECURITY, WSU, dsig, saml

_SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
_LIKE_ASSERTIONS = frozenset({ASSERTION, saml("EncryptedAssertion")})
_BESIDE_ASSERTION = frozenset({ASSERTION, f"{{{WSU}}}Timestamp"})
_ID_ATTRIBUTES = frozenset({"ID", "Id", "id", "AssertionID"})


def carries_security(header: etree._Element | None) -> bool:
    """Say whether the header holds anything of WS-Security, so that it must be judged."""
    return header is not None and header.find(SECURITY) is not None


def the_assertion(header: etree._Element) -> etree._Element:
    """Return the assertion of the message, as a document of its own.

    Nothing else of the message is part of what is returned, so that no reference can lead there.

    Raises:
        AssertionRefusedError: there is not exactly one, or it is not where it belongs.
    """
    envelope = _envelope(header)
    _require_plain(envelope)
    blocks = header.findall(SECURITY)
    if len(blocks) != 1 or _count(envelope, frozenset({SECURITY})) != 1:
        raise AssertionRefusedError("not exactly one Security header")
    foreign = [child for child in blocks[0] if child.tag not in _BESIDE_ASSERTION]
    if foreign:
        raise AssertionRefusedError("the Security header holds something that is not understood")
    found = blocks[0].findall(ASSERTION)
    if not found:
        raise AssertionRefusedError("no assertion in the Security header")
    if len(found) != 1 or _count(envelope, _LIKE_ASSERTIONS) != 1:
        raise AssertionRefusedError("several assertions")
    if _count(envelope, frozenset({dsig("Signature")})) != 1:
        raise AssertionRefusedError("not exactly one signature")
    _require_own_id(found[0], envelope)
    return etree.fromstring(
        etree.tostring(found[0], with_tail=False),
        etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False),
    )


def _envelope(header: etree._Element) -> etree._Element:
    envelope = header.getparent()
    if (
        envelope is None
        or envelope.tag != f"{{{_SOAP_12}}}Envelope"
        or header.tag != f"{{{_SOAP_12}}}Header"
        or envelope.getparent() is not None
        or len(envelope.findall(f"{{{_SOAP_12}}}Header")) != 1
    ):
        raise AssertionRefusedError("not the header of a SOAP 1.2 envelope")
    return envelope


def _require_plain(envelope: etree._Element) -> None:
    """Comments, instructions and entities split what one reader joins; DTDs change what is read."""
    document = envelope.getroottree().docinfo
    if document.internalDTD is not None or document.externalDTD is not None:
        raise AssertionRefusedError("a document type declaration")
    if any(not isinstance(node.tag, str) for node in envelope.iter()):
        raise AssertionRefusedError("a comment, instruction or entity in the message")


def _count(envelope: etree._Element, tags: frozenset[str]) -> int:
    return sum(1 for node in envelope.iter() if node.tag in tags)


def _require_own_id(assertion: etree._Element, envelope: etree._Element) -> None:
    own = assertion.get("ID", "")
    if not own:
        raise AssertionRefusedError("an assertion without ID")
    bearers = [
        node
        for node in envelope.iter()
        for name, value in node.attrib.items()
        if value == own and etree.QName(name).localname in _ID_ATTRIBUTES
    ]
    if len(bearers) != 1:
        raise AssertionRefusedError("two elements with the ID of the assertion")
