"""Take a SAML assertion for what it proves: one door for all that is checked (ITI-40, SAML 2.0)."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from lxml import etree
from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError

from access_control.errors import AssertionRefusedError
from access_control.model import Subject
from access_control.saml.attributes import subject_of
from access_control.saml.conditions import Showing, require_conditions
from access_control.saml.header import the_assertion
from access_control.saml.names import saml, text_of
from access_control.saml.signature import signed_part
from access_control.saml.trust import SamlTrust, TrustedIssuer
from access_control.tables_trust import UsedAssertionRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database


@dataclass(frozen=True)
class _Shown:
    issuer: TrustedIssuer
    assertion_id: str
    at: datetime
    until: datetime


class Assertions:
    """Knows users by the assertions of trusted issuers, and remembers which were used."""

    def __init__(self, database: Database, clock: Clock, trust: SamlTrust) -> None:
        self._database = database
        self._clock = clock
        self._trust = trust

    def subject(self, header: etree._Element, peer_certificate: bytes | None = None) -> Subject:
        """Return the user whom the assertion in a SOAP header proves.

        `header` is the Header inside its envelope, as parsed: comments are reason to refuse it.
        `peer_certificate` is the client certificate of the connection in DER, for holder-of-key.
        Only what is signed is read. What was used and may not be used again is refused, also by
        another process of this hub.

        Raises:
            AssertionRefusedError: it proves nothing, and why.
        """
        at = self._clock.now()
        found = the_assertion(header)
        issuer = self._issuer(found)
        signed = signed_part(found, issuer.certificates, at)
        if self._issuer(signed) is not issuer:
            raise AssertionRefusedError("signed by another issuer")
        held = require_conditions(signed, issuer, self._trust, Showing(at, peer_certificate))
        subject = subject_of(signed, issuer)
        if held.once:
            self._use(_Shown(issuer, signed.get("ID", ""), at, held.until))
        return subject

    def purge(self) -> None:
        """Forget used assertions that have expired anyway."""
        with self._database.unit_of_work() as work:
            work.session.execute(
                delete(UsedAssertionRow).where(UsedAssertionRow.forgotten_at < self._clock.now())
            )

    def _issuer(self, assertion: etree._Element) -> TrustedIssuer:
        named = assertion.findall(saml("Issuer"))
        entity_id = text_of(named[0]) if len(named) == 1 else ""
        issuer = self._trust.issuers.get(entity_id)
        if issuer is None:
            raise AssertionRefusedError("an issuer that is not trusted")
        return issuer

    def _use(self, shown: _Shown) -> None:
        """Write the use down; the primary key lets only one of two at the same moment through."""
        named = f"{shown.issuer.entity_id}\n{shown.assertion_id}"
        row = UsedAssertionRow(
            assertion_hash=hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest(),
            used_at=shown.at,
            forgotten_at=shown.until,
        )
        try:
            with self._database.unit_of_work() as work:
                work.session.add(row)
        except IntegrityError as used:
            raise AssertionRefusedError("used before") from used
