"""When, for whom and by whom an assertion may be shown (SAML 2.0 core 2.4 and 2.5, ITI-40)."""

from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import datetime, timedelta

from lxml import etree

from access_control.certificates import fingerprint_of
from access_control.errors import AssertionRefusedError
from access_control.saml.names import BEARER, HOLDER_OF_KEY, dsig, saml, text_of
from access_control.saml.trust import SamlTrust, TrustedIssuer

_KNOWN_CONDITIONS = frozenset(
    {saml("AudienceRestriction"), saml("OneTimeUse"), saml("ProxyRestriction")}
)
_METHODS = {BEARER: "bearer", HOLDER_OF_KEY: "holder-of-key"}


@dataclass(frozen=True)
class Showing:
    """When an assertion is shown, and the certificate of the connection it comes on, in DER."""

    at: datetime
    peer_certificate: bytes | None = None


@dataclass(frozen=True)
class Held:
    """What the conditions leave to be said: until when, and whether it may be shown once only."""

    until: datetime
    once: bool


def require_conditions(
    assertion: etree._Element, issuer: TrustedIssuer, trust: SamlTrust, showing: Showing
) -> Held:
    """Return how long the assertion holds.

    Raises:
        AssertionRefusedError: it does not hold now, here, or for who shows it.
    """
    if assertion.get("Version") != "2.0":
        raise AssertionRefusedError("another version of SAML")
    skew = timedelta(seconds=trust.clock_skew_s)
    if _time(assertion, "IssueInstant") > showing.at + skew:
        raise AssertionRefusedError("issued in the future")
    blocks = assertion.findall(saml("Conditions"))
    if len(blocks) != 1:
        raise AssertionRefusedError("not exactly one Conditions")
    until = _require_times(blocks[0], trust, showing.at)
    _require_audience(blocks[0], trust)
    _require_session(assertion, showing.at - skew)
    confirmed = _confirmed_by(assertion, issuer, trust, showing)
    one_time = blocks[0].find(saml("OneTimeUse")) is not None
    return Held(until + skew, one_time or (issuer.one_time and confirmed == "bearer"))


def _require_times(conditions: etree._Element, trust: SamlTrust, at: datetime) -> datetime:
    skew = timedelta(seconds=trust.clock_skew_s)
    since, until = _time(conditions, "NotBefore"), _time(conditions, "NotOnOrAfter")
    if at + skew < since:
        raise AssertionRefusedError("not valid yet")
    if at - skew >= until:
        raise AssertionRefusedError("expired")
    if (until - since).total_seconds() > trust.longest_lifetime_s:
        raise AssertionRefusedError("valid for longer than is accepted")
    return until


def _require_audience(conditions: etree._Element, trust: SamlTrust) -> None:
    if any(child.tag not in _KNOWN_CONDITIONS for child in conditions):
        raise AssertionRefusedError("a condition that is not understood")
    restrictions = conditions.findall(saml("AudienceRestriction"))
    if not restrictions:
        raise AssertionRefusedError("meant for no audience")
    for restriction in restrictions:
        named = {text_of(one) for one in restriction.findall(saml("Audience"))}
        if not named & trust.audiences:
            raise AssertionRefusedError("meant for another audience")


def _require_session(assertion: etree._Element, at: datetime) -> None:
    statements = assertion.findall(saml("AuthnStatement"))
    if not statements:
        raise AssertionRefusedError("does not say how the user was authenticated")
    for statement in statements:
        if statement.get("SessionNotOnOrAfter") is None:
            continue
        if at >= _time(statement, "SessionNotOnOrAfter"):
            raise AssertionRefusedError("the session has ended")


def _confirmed_by(
    assertion: etree._Element, issuer: TrustedIssuer, trust: SamlTrust, showing: Showing
) -> str:
    """Return the word of the confirmation method by which the one who shows it may."""
    for one in assertion.iterfind(f"{saml('Subject')}/{saml('SubjectConfirmation')}"):
        method = _METHODS.get(one.get("Method", ""), "")
        if method not in issuer.confirmations:
            continue
        data = one.find(saml("SubjectConfirmationData"))
        if not _data_holds(data, trust, showing.at):
            continue
        if method == "bearer" or _holds_key(data, showing.peer_certificate):
            return method
    raise AssertionRefusedError("not confirmed for who shows it")


def _data_holds(data: etree._Element | None, trust: SamlTrust, at: datetime) -> bool:
    if data is None:
        return True
    skew = timedelta(seconds=trust.clock_skew_s)
    if data.get("NotBefore") is not None and at + skew < _time(data, "NotBefore"):
        return False
    if data.get("NotOnOrAfter") is not None and at - skew >= _time(data, "NotOnOrAfter"):
        return False
    recipient = data.get("Recipient")
    return recipient is None or recipient in trust.audiences


def _holds_key(data: etree._Element | None, peer_certificate: bytes | None) -> bool:
    """Say whether the TLS connection proved the very certificate that the issuer named."""
    if data is None or peer_certificate is None:
        return False
    named = data.findall(f"{dsig('KeyInfo')}/{dsig('X509Data')}/{dsig('X509Certificate')}")
    if len(named) != 1:
        return False
    try:
        der = b64decode("".join(text_of(named[0]).split()), validate=True)
    except Base64Error:
        return False
    return fingerprint_of(der) == fingerprint_of(peer_certificate)


def _time(element: etree._Element, name: str) -> datetime:
    try:
        at = datetime.fromisoformat(element.get(name, ""))
    except ValueError as error:
        raise AssertionRefusedError(f"no {name} that can be read") from error
    if at.tzinfo is None:
        raise AssertionRefusedError(f"{name} is not in UTC")
    return at
