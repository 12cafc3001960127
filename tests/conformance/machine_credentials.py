"""Every way for a machine to prove itself, honest, spent and forged, by its name."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lxml import etree

from access_control.certificates import MachineCertificates
from access_control.model import Role
from access_control.saml.names import WSSE
from access_control.tokens import MachineTokens
from tests.support.assertions import SOAP
from tests.support.certificates import Authority, Certified
from tests.support.clock import FixedClock

ROLES = frozenset({Role.RADIOLOGIST, Role.CLINICIAN})


@dataclass(frozen=True)
class Credential:
    """One way to prove oneself: a token, a client certificate, what an assertion says."""

    token: str = ""
    certificate: Certified | None = None
    says: dict[str, Any] | None = None
    spoil: Callable[[etree._Element], None] | None = None
    again: bool = False


def issued_credentials(
    clock: FixedClock,
    authority: Authority,
    tokens: MachineTokens,
    certificates: MachineCertificates,
    root: Path,
) -> dict[str, Credential]:
    day = clock.now() + timedelta(days=1)

    def token(name: str, *sites: str, end: datetime = day) -> str:
        return tokens.create(name, ROLES, sites or None, end)

    def certificate(name: str, *sites: str) -> Certified:
        made = authority.issue(name)
        certificates.bind(name, made.pem, ROLES, sites or None)
        return made

    expired = token("expired", "t1", end=clock.now() + timedelta(seconds=1))
    clock.advance(seconds=2)
    withdrawn = token("withdrawn", "t1")
    (known,) = (one for one in tokens.all() if one.name == "withdrawn")
    tokens.revoke(known.token_id)
    revoked = certificate("revoked", "t1")
    (bound,) = (one for one in certificates.all() if one.name == "revoked")
    certificates.revoke(bound.certificate_id)
    stranger = root / "stranger"
    stranger.mkdir()
    here = {"organization": "urn:t1", "role": "radiologist"}
    good_token = token("good", "t1")
    return {
        "none": Credential(),
        "bad token": Credential("eirhub_guessed"),
        "no token at all": Credential("nonsense"),
        "expired token": Credential(expired),
        "revoked token": Credential(withdrawn),
        "token of the site": Credential(good_token),
        "token of the region": Credential(token("region")),
        "token of another site": Credential(token("other", "t2")),
        "certificate of the site": Credential(certificate=certificate("cert", "t1")),
        "certificate of another site": Credential(certificate=certificate("cert2", "t2")),
        "certificate bound to nobody": Credential(certificate=authority.issue("unbound")),
        "certificate revoked": Credential(certificate=revoked),
        "certificate of a stranger": Credential(certificate=Authority(stranger).issue("cert")),
        "good token, certificate revoked": Credential(good_token, revoked),
        "assertion for the site": Credential(says=here),
        "assertion shown again": Credential(says=here, again=True),
        "assertion for another site": Credential(says={**here, "organization": "urn:t2"}),
        "assertion for another purpose": Credential(says={**here, "purpose": "QUALITY"}),
        "assertion to break the glass": Credential(says={**here, "purpose": "EMERGENCY"}),
        "assertion expired": Credential(
            says={**here, "not_on_or_after": timedelta(hours=-1), "not_before": -timedelta(hours=2)}
        ),
        "assertion for another hub": Credential(says={**here, "audience": "urn:other"}),
        "assertion altered": Credential(says=here, spoil=_altered),
        "assertion unsigned": Credential(says=here, spoil=_unsigned),
        "good token, assertion altered": Credential(good_token, says=here, spoil=_altered),
    }


def headed(body: bytes, one: etree._Element) -> bytes:
    """Return the message with the assertion in its security header."""
    root = etree.fromstring(body)
    header = root.find(f"{{{SOAP}}}Header")
    assert header is not None
    security = etree.SubElement(header, f"{{{WSSE}}}Security")
    security.set(f"{{{SOAP}}}mustUnderstand", "1")
    security.append(etree.fromstring(etree.tostring(one)))
    return etree.tostring(root)


def _altered(made: etree._Element) -> None:
    name = made.find(".//{*}NameID")
    assert name is not None
    name.text = "admin"


def _unsigned(made: etree._Element) -> None:
    signature = made.find("{http://www.w3.org/2000/09/xmldsig#}Signature")
    assert signature is not None
    made.remove(signature)
