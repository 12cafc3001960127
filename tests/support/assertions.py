"""An identity provider for tests: builds, signs and wraps SAML assertions, good and bad."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from lxml import etree
from signxml.algorithms import (
    CanonicalizationMethod,
    DigestAlgorithm,
    SignatureConstructionMethod,
    SignatureMethod,
)
from signxml.signer import XMLSigner

from access_control.model import Purpose, Role
from access_control.saml.names import (
    BEARER,
    NAME_ATTRIBUTE,
    ORGANIZATION_ATTRIBUTE,
    PURPOSE_ATTRIBUTE,
    ROLE_ATTRIBUTE,
    SAML,
    WSSE,
)
from access_control.saml.trust import SamlTrust, TrustedIssuer
from tests.support.certificates import Certified

SOAP = "http://www.w3.org/2003/05/soap-envelope"
AUDIENCE = "https://hub.test/xds"
ENTITY = "https://idp.test"
ORGANIZATION = "urn:oid:1.2.156.1.21"
EXCLUSIVE = "http://www.w3.org/2001/10/xml-exc-c14n#"


@dataclass(frozen=True)
class Wanted:
    """What an assertion says; every test changes what it is about."""

    at: datetime
    assertion_id: str = "_a1"
    issuer: str = ENTITY
    name_id: str = "li.ming"
    audience: str | None = AUDIENCE
    not_before: timedelta = timedelta(minutes=-1)
    not_on_or_after: timedelta = timedelta(minutes=5)
    method: str = BEARER
    confirmation_data: str = ""
    role: str = (
        '<Role xmlns="urn:hl7-org:v3" code="112247003" codeSystem="2.16.840.1.113883.6.96"/>'
    )
    purpose: str = "TREATMENT"
    organization: str = ORGANIZATION
    conditions: str = ""
    authn: str = (
        "<saml:AuthnStatement AuthnInstant='{at}'><saml:AuthnContext/></saml:AuthnStatement>"
    )
    version: str = "2.0"
    extra: str = ""


def assertion(wanted: Wanted) -> etree._Element:
    """Return an assertion without signature."""
    at = _stamp(wanted.at)
    audience = (
        f"<saml:AudienceRestriction><saml:Audience>{wanted.audience}</saml:Audience>"
        "</saml:AudienceRestriction>"
        if wanted.audience is not None
        else ""
    )
    attributes = "".join(
        f'<saml:Attribute Name="{name}"><saml:AttributeValue>{value}</saml:AttributeValue>'
        "</saml:Attribute>"
        for name, value in (
            (NAME_ATTRIBUTE, "Li Ming"),
            (ROLE_ATTRIBUTE, wanted.role),
            (PURPOSE_ATTRIBUTE, wanted.purpose),
            (ORGANIZATION_ATTRIBUTE, wanted.organization),
        )
        if value
    )
    return etree.fromstring(
        f'<saml:Assertion xmlns:saml="{SAML}" ID="{wanted.assertion_id}" IssueInstant="{at}" '
        f'Version="{wanted.version}"><saml:Issuer>{wanted.issuer}</saml:Issuer>'
        f"<saml:Subject><saml:NameID>{wanted.name_id}</saml:NameID>"
        f'<saml:SubjectConfirmation Method="{wanted.method}">{wanted.confirmation_data}'
        "</saml:SubjectConfirmation></saml:Subject>"
        f'<saml:Conditions NotBefore="{_stamp(wanted.at + wanted.not_before)}" '
        f'NotOnOrAfter="{_stamp(wanted.at + wanted.not_on_or_after)}">{audience}'
        f"{wanted.conditions}</saml:Conditions>{wanted.authn.format(at=at)}"
        f"<saml:AttributeStatement>{attributes}</saml:AttributeStatement>{wanted.extra}"
        "</saml:Assertion>"
    )


@dataclass(frozen=True)
class Signing:
    """How the issuer signs."""

    method: SignatureMethod = SignatureMethod.RSA_SHA256
    digest: DigestAlgorithm = DigestAlgorithm.SHA256
    canonicalization: CanonicalizationMethod = (
        CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0
    )


class _Signer(XMLSigner):
    """Signs by SHA-1 as well: some providers still do."""

    def check_deprecated_methods(self) -> None:
        return


def signed(
    unsigned: etree._Element, by: Certified, how: Signing | None = None, key: bytes | None = None
) -> etree._Element:
    """Return the assertion with an enveloped signature behind its issuer, as SAML wants it."""
    how = how or Signing()
    signer = _Signer(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=how.method,
        digest_algorithm=how.digest,
        c14n_algorithm=how.canonicalization,
    )
    certificate = by.pem.decode()
    result: etree._Element = signer.sign(
        unsigned,
        key=key or by.key_pem,
        cert=None if key else certificate,
        reference_uri=f"#{unsigned.get('ID')}",
        id_attribute="ID",
    )
    signature = result.find("{http://www.w3.org/2000/09/xmldsig#}Signature")
    assert signature is not None
    result.remove(signature)
    result.insert(1, signature)
    return result


def envelope(*security: etree._Element | str, body: bytes = b"<q xmlns='urn:q'/>") -> bytes:
    """Return a SOAP envelope with these in its Security header."""
    inside = b"".join(
        one.encode() if isinstance(one, str) else etree.tostring(one) for one in security
    )
    return (
        f'<s:Envelope xmlns:s="{SOAP}"><s:Header>'
        f'<wsse:Security xmlns:wsse="{WSSE}" s:mustUnderstand="true">'.encode()
        + inside
        + b"</wsse:Security></s:Header><s:Body>"
        + body
        + b"</s:Body></s:Envelope>"
    )


def header_of(message: bytes, *, keep_comments: bool = False) -> etree._Element:
    """Return the Header as a door parses it."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, remove_comments=not keep_comments
    )
    header = etree.fromstring(message, parser).find(f"{{{SOAP}}}Header")
    assert header is not None
    return header


@dataclass(frozen=True)
class Provider:
    """An issuer with its key, and the trust in it."""

    certified: Certified
    entity_id: str = ENTITY
    trust_changes: dict[str, object] = field(default_factory=dict)

    @property
    def issuer(self) -> TrustedIssuer:
        snomed, xspa = "2.16.840.1.113883.6.96", "2.16.840.1.113883.3.18.7.1"
        issuer = TrustedIssuer(
            entity_id=self.entity_id,
            name="idp",
            certificates=(self.certified.certificate,),
            roles={("112247003", snomed): Role.CLINICIAN, ("radiologist", ""): Role.RADIOLOGIST},
            purposes={
                ("TREATMENT", ""): Purpose.TREATMENT,
                ("TREATMENT", xspa): Purpose.TREATMENT,
                ("EMERGENCY", ""): Purpose.BREAK_GLASS,
                ("QUALITY", ""): Purpose.QUALITY,
            },
            organizations={ORGANIZATION: frozenset({"sijing"}), "urn:region": None},
        )
        return replace(issuer, **self.trust_changes)  # type: ignore[arg-type]

    @property
    def trust(self) -> SamlTrust:
        return SamlTrust(frozenset({AUDIENCE}), {self.entity_id: self.issuer})

    def header(self, wanted: Wanted, how: Signing | None = None) -> etree._Element:
        """Return the header of a message with a signed assertion that says what is wanted."""
        return header_of(envelope(signed(assertion(wanted), self.certified, how)))


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
