"""XML signature wrapping: the eight shapes of Somorovsky et al. ("On Breaking SAML", 2012).

Each moves the honestly signed assertion somewhere else and puts a forged one where it is read.
XSW1 and XSW2 were described for a signed Response; here the Security header stands in its place.
"""

from copy import deepcopy
from dataclasses import replace

from lxml import etree

from tests.support.assertions import SOAP, WSSE, Wanted, assertion, envelope, signed
from tests.support.certificates import Certified

DS = "http://www.w3.org/2000/09/xmldsig#"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
NS = {"ds": DS, "s": SAML, "soap": SOAP, "wsse": WSSE}


class Pieces:
    """A good message taken apart, and a forged assertion to put into it."""

    def __init__(self, wanted: Wanted, idp: Certified, body: bytes = b"<q xmlns='urn:q'/>") -> None:
        self.root = etree.fromstring(envelope(signed(assertion(wanted), idp), body=body))
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
