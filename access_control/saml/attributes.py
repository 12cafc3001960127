"""What an assertion says of its subject, in the words of this hub (ITI-40, XSPA profile)."""

from collections.abc import Iterator

from lxml import etree

from access_control.errors import AssertionRefusedError
from access_control.inert import inert
from access_control.model import Purpose, Role, Subject, SubjectKind
from access_control.saml.names import (
    NAME_ATTRIBUTE,
    ORGANIZATION_ATTRIBUTE,
    PURPOSE_ATTRIBUTE,
    ROLE_ATTRIBUTE,
    saml,
    text_of,
)
from access_control.saml.trust import Code, TrustedIssuer

_LONGEST_ID = 128


def subject_of(assertion: etree._Element, issuer: TrustedIssuer) -> Subject:
    """Return the user that a verified assertion is about, with the rights its words have here.

    Raises:
        AssertionRefusedError: nobody is named, or no word gives a role, a site or a purpose.
    """
    name_id = _name_id(assertion)
    subject_id = f"{name_id}@{issuer.name}"
    if len(subject_id) > _LONGEST_ID or not name_id.isprintable():
        raise AssertionRefusedError("a name that cannot be recorded")
    display = next((text for text, _ in _values(assertion, NAME_ATTRIBUTE) if text), name_id)
    return Subject(
        SubjectKind.USER,
        subject_id,
        inert(display, _LONGEST_ID),
        roles=_roles(assertion, issuer),
        sites=_sites(assertion, issuer),
        purpose=_purpose(assertion, issuer),
    )


def _name_id(assertion: etree._Element) -> str:
    subjects = assertion.findall(saml("Subject"))
    names = subjects[0].findall(saml("NameID")) if len(subjects) == 1 else []
    name = text_of(names[0]) if len(names) == 1 else ""
    if not name:
        raise AssertionRefusedError("nobody is named")
    return name


def _roles(assertion: etree._Element, issuer: TrustedIssuer) -> frozenset[Role]:
    said = _values(assertion, ROLE_ATTRIBUTE)
    roles = frozenset(issuer.roles[code] for code in said if code in issuer.roles)
    if not roles:
        raise AssertionRefusedError("no role that has a meaning here")
    return roles


def _sites(assertion: etree._Element, issuer: TrustedIssuer) -> frozenset[str] | None:
    """Every organisation named must be known: one unknown among them is no reason to guess."""
    named = [text for text, _ in _values(assertion, ORGANIZATION_ATTRIBUTE)]
    if not named or not all(one in issuer.organizations for one in named):
        raise AssertionRefusedError("an organisation that has no site here")
    reached: set[str] = set()
    for one in named:
        sites = issuer.organizations[one]
        if sites is None:
            return None
        reached |= sites
    return frozenset(reached)


def _purpose(assertion: etree._Element, issuer: TrustedIssuer) -> Purpose:
    said = set(_values(assertion, PURPOSE_ATTRIBUTE))
    if not said and issuer.default_purpose is not None:
        return issuer.default_purpose
    meant = {issuer.purposes.get(code) for code in said}
    purpose = meant.pop() if len(meant) == 1 else None
    if purpose is None:
        raise AssertionRefusedError("no purpose that has a meaning here")
    return purpose


def _values(assertion: etree._Element, name: str) -> Iterator[Code]:
    """Every value of an attribute: a coded element of HL7 v3 (code, codeSystem), or plain text."""
    for attribute in assertion.iterfind(f"{saml('AttributeStatement')}/{saml('Attribute')}"):
        if attribute.get("Name") != name:
            continue
        for value in attribute.findall(saml("AttributeValue")):
            if len(value):
                yield value[0].get("code", ""), value[0].get("codeSystem", "")
            else:
                yield text_of(value), ""
