"""Names that SAML 2.0, WS-Security and XML Signature give their elements and methods."""

from lxml import etree

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
DSIG = "http://www.w3.org/2000/09/xmldsig#"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
HL7 = "urn:hl7-org:v3"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"

ASSERTION = f"{{{SAML}}}Assertion"
SIGNATURE = f"{{{DSIG}}}Signature"
SECURITY = f"{{{WSSE}}}Security"

BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
HOLDER_OF_KEY = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"

ROLE_ATTRIBUTE = "urn:oasis:names:tc:xacml:2.0:subject:role"
PURPOSE_ATTRIBUTE = "urn:oasis:names:tc:xspa:1.0:subject:purposeofuse"
NAME_ATTRIBUTE = "urn:oasis:names:tc:xspa:1.0:subject:subject-id"
ORGANIZATION_ATTRIBUTE = "urn:oasis:names:tc:xspa:1.0:subject:organization-id"


def saml(name: str) -> str:
    """Return the tag of an element of the SAML assertion namespace."""
    return f"{{{SAML}}}{name}"


def dsig(name: str) -> str:
    """Return the tag of an element of the XML Signature namespace."""
    return f"{{{DSIG}}}{name}"


def text_of(element: etree._Element | None) -> str:
    """Return the text of an element that has nothing but text; empty if it is missing or has."""
    if element is None or len(element):
        return ""
    return (element.text or "").strip()
