"""Whom the hub believes: issuers, their certificates, and what their words mean here, as data.

A TOML file says it; see `docs/conformance/security.md` for an example. Certificates are pinned: no
authority can make another issuer, and nothing that an assertion says of its own key is looked at.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from access_control.model import Purpose, Role
from hub_kernel.errors import ConfigurationError

Code = tuple[str, str]
"""A code and its code system; the system of a bare word is empty."""

_SHORTEST_RSA_BITS = 2048


@dataclass(frozen=True)
class TrustedIssuer:
    """One issuer and what its words mean.

    `name` is how the audit trail calls it. `sites` of an organisation are where its people's roles
    hold, None for the whole region. `default_purpose` is taken when the assertion names none; None
    refuses such an assertion. With `one_time` a bearer assertion opens the door once.
    """

    entity_id: str
    name: str
    certificates: tuple[x509.Certificate, ...]
    roles: Mapping[Code, Role]
    purposes: Mapping[Code, Purpose]
    organizations: Mapping[str, frozenset[str] | None]
    confirmations: frozenset[str] = frozenset({"bearer"})
    default_purpose: Purpose | None = Purpose.TREATMENT
    one_time: bool = True


@dataclass(frozen=True)
class SamlTrust:
    """All trusted issuers, the audiences this hub answers to, and how far clocks may differ."""

    audiences: frozenset[str]
    issuers: Mapping[str, TrustedIssuer]
    clock_skew_s: float = 60.0
    longest_lifetime_s: float = 43_200.0


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _RoleRow(_Table):
    code: str = Field(min_length=1)
    system: str = ""
    role: Role


class _PurposeRow(_Table):
    code: str = Field(min_length=1)
    system: str = ""
    purpose: Purpose


class _OrganizationRow(_Table):
    id: str = Field(min_length=1)
    sites: tuple[str, ...] | Literal["region"]


class _IssuerTable(_Table):
    entity_id: str = Field(min_length=1)
    name: str = Field(min_length=1, max_length=48, pattern=r"^[A-Za-z0-9._-]+$")
    certificates: tuple[str, ...] = Field(min_length=1)
    roles: tuple[_RoleRow, ...] = Field(min_length=1)
    purposes: tuple[_PurposeRow, ...] = ()
    organizations: tuple[_OrganizationRow, ...] = Field(min_length=1)
    confirmations: tuple[Literal["bearer", "holder-of-key"], ...] = ("bearer",)
    default_purpose: Purpose | None | Literal[""] = Purpose.TREATMENT
    one_time: bool = True


class _TrustFile(_Table):
    audiences: tuple[str, ...] = Field(min_length=1)
    clock_skew_s: float = Field(default=60.0, ge=0, le=600)
    longest_lifetime_s: float = Field(default=43_200.0, gt=0)
    issuers: tuple[_IssuerTable, ...] = Field(min_length=1)


def load_trust(path: Path) -> SamlTrust:
    """Return what the TOML file says; certificate files are named relative to it.

    Raises:
        ConfigurationError: the file or a certificate cannot be used; names the place and the rule.
    """
    try:
        said: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        tables = _TrustFile.model_validate(said)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path.name} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{path.name}: {place}: {first['msg']}") from error
    issuers = [_issuer(table, path.parent) for table in tables.issuers]
    for distinct in ({one.entity_id for one in issuers}, {one.name for one in issuers}):
        if len(distinct) < len(issuers):
            raise ConfigurationError(f"{path.name}: two issuers have the same entity_id or name")
    return SamlTrust(
        audiences=frozenset(tables.audiences),
        issuers={one.entity_id: one for one in issuers},
        clock_skew_s=tables.clock_skew_s,
        longest_lifetime_s=tables.longest_lifetime_s,
    )


def _issuer(table: _IssuerTable, folder: Path) -> TrustedIssuer:
    return TrustedIssuer(
        entity_id=table.entity_id,
        name=table.name,
        certificates=tuple(
            one for name in table.certificates for one in _certificates(folder / name)
        ),
        roles={(row.code, row.system): row.role for row in table.roles},
        purposes={(row.code, row.system): row.purpose for row in table.purposes},
        organizations={
            row.id: None if row.sites == "region" else frozenset(row.sites)
            for row in table.organizations
        },
        confirmations=frozenset(table.confirmations),
        default_purpose=table.default_purpose or None,
        one_time=table.one_time,
    )


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path.name}: a certificate in PEM is needed") from error
    for one in found:
        key = one.public_key()
        strong_rsa = isinstance(key, rsa.RSAPublicKey) and key.key_size >= _SHORTEST_RSA_BITS
        if not strong_rsa and not isinstance(key, ec.EllipticCurvePublicKey):
            raise ConfigurationError(
                f"{path.name}: the key must be RSA of {_SHORTEST_RSA_BITS} bits or more, or EC"
            )
    return found
