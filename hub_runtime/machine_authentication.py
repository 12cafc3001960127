"""Who speaks to the hub for a machine or through one: the one place where every door asks.

Three proofs are taken: a bearer token (RFC 6750), the client certificate of the TLS connection
(RFC 8446), and a SAML assertion in the SOAP header (ITI-40). What is shown must hold: a bad token
or a bad assertion is refused even beside a good one, so nothing falls back to a weaker proof.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lxml import etree

from access_control.certificates import PEER_CERTIFICATE, MachineCertificates, Standing
from access_control.errors import AssertionRefusedError
from access_control.model import Role, Subject, SubjectKind
from access_control.saml.assertions import Assertions
from access_control.saml.header import carries_security
from access_control.tokens import MachineTokens

log = logging.getLogger(__name__)

Environ = dict[str, Any]

_TRIAL = Subject(
    kind=SubjectKind.MACHINE,
    subject_id="trial",
    display="machine authentication is off",
    roles=frozenset({Role.RADIOLOGIST, Role.DOCUMENT_SOURCE, Role.REGISTRAR}),
    sites=None,
)


class Authenticate(Protocol):
    """Finds who is behind a request; None when nothing, or something that does not hold, is shown.

    `soap_header` is the Header element inside its parsed envelope; doors without SOAP leave it out.
    """

    def __call__(
        self, environ: Environ, soap_header: etree._Element | None = None
    ) -> Subject | None:
        """Return who asks, or None."""
        ...


@dataclass(frozen=True)
class _Bad:
    """A proof was shown and does not hold."""


_BAD = _Bad()
Proof = Subject | _Bad | None
"""Whom a proof proves, that it does not hold, or that none was shown."""


def by_credentials(
    tokens: MachineTokens,
    certificates: MachineCertificates | None = None,
    assertions: Assertions | None = None,
) -> Authenticate:
    """Return what finds the subject behind a request by token, certificate and assertion.

    The assertion names a user and comes first, then the token, then the certificate. Without
    `certificates` none is looked at; without `assertions` a Security header is refused.
    """
    credentials = _Credentials(tokens, certificates, assertions)

    def authenticate(environ: Environ, soap_header: etree._Element | None = None) -> Subject | None:
        proven = credentials.proven(environ, soap_header)
        return proven if isinstance(proven, Subject) else None

    return authenticate


def none_needed(
    tokens: MachineTokens,
    certificates: MachineCertificates | None = None,
    assertions: Assertions | None = None,
) -> Authenticate:
    """Return what takes everybody who shows nothing for one trial machine that sees everything."""
    credentials = _Credentials(tokens, certificates, assertions)

    def authenticate(environ: Environ, soap_header: etree._Element | None = None) -> Subject | None:
        proven = credentials.proven(environ, soap_header)
        return _TRIAL if proven is None else proven if isinstance(proven, Subject) else None

    return authenticate


AUTHENTICATIONS: Mapping[str, Callable[..., Authenticate]] = {
    "token": by_credentials,
    "none": none_needed,
}


@dataclass(frozen=True)
class _Credentials:
    tokens: MachineTokens
    certificates: MachineCertificates | None
    assertions: Assertions | None

    def proven(self, environ: Environ, soap_header: etree._Element | None) -> Proof:
        """Whom everything that is shown proves; one bad proof spoils all."""
        proofs = []
        for proof in (self._by_certificate(environ), self._by_token(environ)):
            if isinstance(proof, _Bad):
                return _BAD
            proofs.append(proof)
        # Last, so that an assertion is not used up by a request that is refused anyway.
        asserted = self._by_assertion(environ, soap_header)
        if isinstance(asserted, _Bad):
            return _BAD
        certified, with_token = proofs
        return asserted or with_token or certified

    def _by_token(self, environ: Environ) -> Proof:
        header = str(environ.get("HTTP_AUTHORIZATION", ""))
        if not header:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            return _BAD
        return self.tokens.subject(token.strip()) or _BAD

    def _by_certificate(self, environ: Environ) -> Proof:
        der = environ.get(PEER_CERTIFICATE)
        if self.certificates is None or not isinstance(der, bytes):
            return None
        known = self.certificates.subject(der)
        if isinstance(known, Subject):
            return known
        return _BAD if known is Standing.WITHDRAWN else None

    def _by_assertion(self, environ: Environ, soap_header: etree._Element | None) -> Proof:
        if soap_header is None or not carries_security(soap_header):
            return None
        if self.assertions is None:
            return _BAD
        der = environ.get(PEER_CERTIFICATE)
        try:
            return self.assertions.subject(soap_header, der if isinstance(der, bytes) else None)
        except AssertionRefusedError as refusal:
            log.warning("assertion refused", extra={"rule": refusal.rule})
            return _BAD
