"""How machines are known, wired: tokens, client certificates and trusted issuers, from settings."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

from access_control.certificates import MachineCertificates
from access_control.model import Subject
from access_control.saml.assertions import Assertions
from access_control.saml.header import carries_security
from access_control.saml.names import WSSE
from access_control.saml.trust import load_trust
from access_control.tokens import MachineTokens
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.periodic_jobs import PeriodicJob
from hub_runtime.machine_authentication import AUTHENTICATIONS, Authenticate, Environ

Vouch = Callable[
    [etree._Element | None, Environ, Subject | None],  # noqa: SLF001 (its only name)
    Subject | None,
]

_PURGE_S = 600.0


@dataclass(frozen=True)
class MachineTrust:
    """What the doors ask, and what keeps it tidy.

    `vouch` and `understood` are for SOAP doors, which read assertions; without trusted issuers
    there is nobody to vouch.
    """

    authenticate: Authenticate
    certificates: MachineCertificates
    vouch: Vouch | None = None
    understood: frozenset[str] = frozenset()
    jobs: tuple[PeriodicJob, ...] = ()


@dataclass(frozen=True)
class TrustParts:
    """What machine trust stands on."""

    database: Database
    clock: Clock
    tokens: MachineTokens


def machine_trust(mode: str, parts: TrustParts, saml_trust: Path | None = None) -> MachineTrust:
    """Return how machines are known in `mode` ("token", "none"); `saml_trust` names the issuers.

    Raises:
        ConfigurationError: the file of issuers or one of its certificates cannot be used.
    """
    certificates = MachineCertificates(parts.database, parts.clock)
    authentication = AUTHENTICATIONS[mode]
    if saml_trust is None:
        return MachineTrust(authentication(parts.tokens, certificates), certificates)
    assertions = Assertions(parts.database, parts.clock, load_trust(saml_trust))
    authenticate = authentication(parts.tokens, certificates, assertions)
    return MachineTrust(
        authenticate,
        certificates,
        vouch=vouching(authenticate),
        understood=frozenset({WSSE}),
        jobs=(PeriodicJob("assertion-purge", _PURGE_S, assertions.purge),),
    )


def vouching(authenticate: Authenticate) -> Vouch:
    """Return what finds the sender behind a SOAP header, by all that is shown.

    Whoever was `known` before the header could be read, and shows no assertion in it, is not asked
    for a token or a certificate once more.
    """

    def vouch(
        header: etree._Element | None, environ: Environ, known: Subject | None
    ) -> Subject | None:
        if known is not None and not carries_security(header):
            return known
        return authenticate(environ, header)

    return vouch
