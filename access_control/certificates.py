"""Client certificates: which machine or site a peer is by the certificate its connection proved.

The TLS layer checks the chain, the dates and that the peer has the key (RFC 8446); here its
fingerprint is looked up. A certificate is bound to one machine with roles and sites, or to one site
and AE titles of it, and can be revoked at once without any list of its issuer.
"""

import hashlib
import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from access_control.accounts import check_rights
from access_control.errors import AccountExistsError, InvalidAccountError
from access_control.inert import inert
from access_control.model import Role, Subject, SubjectKind
from access_control.tables import SiteAeTitleRow, SiteRow
from access_control.tables_trust import MachineCertificateRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError

PEER_CERTIFICATE = "eirhub.peer_certificate"
"""Where the TLS listener puts a verified client certificate, in DER. No header can set it."""

_SEEN_EVERY = timedelta(seconds=60)
_LONGEST_NAME = 128
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
# Of a certificate known by its fingerprint alone: the TLS layer sees its end, the table does not.
END_UNKNOWN = datetime(9999, 12, 31, tzinfo=UTC)


class Standing(Enum):
    """What the hub knows of a certificate that names no machine."""

    UNBOUND = "unbound"  # nobody said whose it is: it proves no machine, other credentials may
    WITHDRAWN = "withdrawn"  # revoked or past its end: whoever shows it is refused


@dataclass(frozen=True)
class MachineCertificate:
    """A bound certificate as an administrator sees it.

    One of a site has `site_id`; it proves `ae_titles`, or all titles of the site when there are
    none. `issued_here` tells the hub's own from those that others issued.
    """

    certificate_id: str
    name: str
    fingerprint: str
    subject_name: str
    roles: frozenset[Role]
    sites: frozenset[str] | None
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
    site_id: str | None = None
    ae_titles: tuple[str, ...] = ()
    issued_here: bool = False

    def holds(self, now: datetime) -> bool:
        """Return whether whoever proves it is believed."""
        return self.revoked_at is None and now < self.expires_at


def fingerprint_of(der: bytes) -> str:
    """Return the SHA-256 fingerprint of a certificate in DER, as 64 hex digits."""
    return hashlib.sha256(der).hexdigest()


def read_fingerprint(text: str) -> str:
    """Return a SHA-256 fingerprint as 64 hex digits, however people write it.

    Raises:
        InvalidAccountError: it is none.
    """
    plain = text.strip().lower().removeprefix("sha256:").replace(":", "")
    if not _FINGERPRINT.fullmatch(plain):
        raise InvalidAccountError("certificate fingerprint: SHA-256 as 64 hex digits")
    return plain


class MachineCertificates:
    """Bound certificates in the database, by fingerprint."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def bind(
        self,
        name: str,
        pem: bytes,
        roles: Collection[Role],
        sites: Collection[str] | None,
    ) -> MachineCertificate:
        """Bind the first certificate in `pem` to the machine `name`, until the certificate ends.

        `sites` is where the roles hold, None for the whole region.

        Raises:
            InvalidAccountError: no certificate, one past its end, or rights that make no sense.
            AccountExistsError: the name or the certificate is bound already, revoked ones included.
        """
        if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
            raise InvalidAccountError(f"machine name: 1 to {_LONGEST_NAME} printable characters")
        check_rights(roles, sites)
        return self._bound(
            pem,
            name=name,
            roles=sorted(roles),
            sites=None if sites is None else sorted(sites),
        )

    def bind_site(
        self,
        site_id: str,
        pem: bytes,
        ae_titles: Collection[str] = (),
        *,
        issued_here: bool = False,
    ) -> MachineCertificate:
        """Bind the first certificate in `pem` to a site, for some of its AE titles or for all.

        Raises:
            NotFoundError: there is no such site.
            InvalidAccountError: no certificate, one past its end, or a title of another site.
            AccountExistsError: the certificate is bound already, revoked ones included.
        """
        self._check_site(site_id, ae_titles)
        return self._bound(
            pem,
            name="",
            roles=[],
            sites=[site_id],
            site_id=site_id,
            ae_titles=sorted(ae_titles) or None,
            issued_here=issued_here,
        )

    def subject(self, der: bytes) -> Subject | Standing:
        """Return the machine or site that a certificate in DER stands for, or why it is none.

        Use is written down once a minute, not on every request.
        """
        now, fingerprint = self._clock.now(), fingerprint_of(der)
        with self._database.read() as session:
            row = session.scalars(
                select(MachineCertificateRow).where(
                    MachineCertificateRow.fingerprint == fingerprint
                )
            ).one_or_none()
            known = _machine_certificate(row) if row else None
            site = session.get(SiteRow, known.site_id) if known and known.site_id else None
            scope = site.query_scope if site else ""
        if known is None:
            return Standing.UNBOUND
        if not known.holds(now) or (known.site_id and not scope):
            return Standing.WITHDRAWN
        self.note_use(known)
        if known.site_id:
            sites = None if scope == "region" else known.sites
            return Subject(SubjectKind.SITE, known.site_id, known.name, sites=sites)
        return Subject(
            SubjectKind.MACHINE,
            known.certificate_id,
            known.name,
            roles=known.roles,
            sites=known.sites,
        )

    def revoke(self, certificate_id: str) -> MachineCertificate:
        """Refuse the certificate from now on; revoking it again changes nothing.

        Raises:
            NotFoundError: there is no such certificate.
        """
        with self._database.unit_of_work() as work:
            row = work.session.get(MachineCertificateRow, inert(certificate_id, 36))
            if row is None:
                raise NotFoundError("no certificate of this id")
            row.revoked_at = row.revoked_at or self._clock.now()
            return _machine_certificate(row)

    def all(self) -> tuple[MachineCertificate, ...]:
        """Return every bound certificate, revoked and expired ones included, by name."""
        with self._database.read() as session:
            rows = session.scalars(
                select(MachineCertificateRow).order_by(MachineCertificateRow.name)
            )
            return tuple(_machine_certificate(row) for row in rows)

    def of_site(self, site_id: str) -> tuple[MachineCertificate, ...]:
        """Return the certificates of a site, the newest first, revoked and expired ones included.

        Raises:
            NotFoundError: there is no such site.
        """
        self._check_site(site_id, ())
        found = [one for one in self.all() if one.site_id == site_id]
        return tuple(sorted(found, key=lambda one: one.created_at, reverse=True))

    def note_use(self, known: MachineCertificate) -> None:
        """Write down that a certificate was believed, once a minute at most."""
        now = self._clock.now()
        if known.last_used_at is not None and now - known.last_used_at < _SEEN_EVERY:
            return
        with self._database.unit_of_work() as work:
            work.session.execute(
                update(MachineCertificateRow)
                .where(MachineCertificateRow.certificate_id == known.certificate_id)
                .values(last_used_at=now)
            )

    def _check_site(self, site_id: str, ae_titles: Collection[str]) -> None:
        with self._database.read() as session:
            if session.get(SiteRow, inert(site_id, 64)) is None:
                raise NotFoundError("no site of this id")
            known = set(
                session.scalars(
                    select(SiteAeTitleRow.ae_title).where(SiteAeTitleRow.site_id == site_id)
                )
            )
        if foreign := sorted(set(ae_titles) - known):
            raise InvalidAccountError(f"AE title {foreign[0]} is not one of site {site_id}")

    def _bound(self, pem: bytes, **bound: Any) -> MachineCertificate:
        """Keep one row; a certificate of a site is called by its site and its fingerprint."""
        now, certificate = self._clock.now(), _certificate(pem)
        if certificate.not_valid_after_utc <= now:
            raise InvalidAccountError("certificate: its end must lie in the future")
        fingerprint = fingerprint_of(certificate.public_bytes(Encoding.DER))
        bound["name"] = bound["name"] or _site_name(bound["site_id"], fingerprint)
        row = MachineCertificateRow(
            certificate_id=str(uuid.uuid4()),
            fingerprint=fingerprint,
            subject_name=_subject_name(certificate),
            created_at=now,
            expires_at=certificate.not_valid_after_utc,
            **({"issued_here": False} | bound),
        )
        try:
            with self._database.unit_of_work() as work:
                work.session.add(row)
                work.session.flush()
                return _machine_certificate(row)
        except IntegrityError as taken:
            raise AccountExistsError(
                f"{bound['name']} or this certificate is bound already"
            ) from taken


def site_certificates(session: Session) -> dict[str, MachineCertificate]:
    """Return the certificates of all sites by fingerprint, revoked and expired ones included."""
    rows = session.scalars(
        select(MachineCertificateRow).where(MachineCertificateRow.site_id.is_not(None))
    )
    return {row.fingerprint: _machine_certificate(row) for row in rows}


def pin_fingerprints(
    session: Session, site_id: str, fingerprints: Collection[str], now: datetime
) -> None:
    """Bind certificates known by their fingerprints alone to a site; what is bound stays bound.

    Raises:
        AccountExistsError: one is bound to another site or to a machine.
    """
    for fingerprint in fingerprints:
        row = session.scalars(
            select(MachineCertificateRow).where(MachineCertificateRow.fingerprint == fingerprint)
        ).one_or_none()
        if row is None:
            session.add(_pinned(site_id, fingerprint, now))
        elif row.site_id != site_id:
            raise AccountExistsError(f"certificate sha256:{fingerprint[:16]}… is another's")


def _pinned(site_id: str, fingerprint: str, now: datetime) -> MachineCertificateRow:
    return MachineCertificateRow(
        certificate_id=str(uuid.uuid4()),
        fingerprint=fingerprint,
        name=_site_name(site_id, fingerprint),
        subject_name="",
        roles=[],
        sites=[site_id],
        created_at=now,
        expires_at=END_UNKNOWN,
        site_id=site_id,
        issued_here=False,
    )


def _site_name(site_id: str, fingerprint: str) -> str:
    return f"site {site_id} {fingerprint[:16]}"


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise InvalidAccountError("certificate: a certificate in PEM is needed") from error


def _subject_name(certificate: x509.Certificate) -> str:
    try:
        return inert(certificate.subject.rfc4514_string(), 400)
    except ValueError:
        return ""


def _machine_certificate(row: MachineCertificateRow) -> MachineCertificate:
    return MachineCertificate(
        certificate_id=row.certificate_id,
        name=row.name,
        fingerprint=row.fingerprint,
        subject_name=row.subject_name,
        roles=frozenset(Role(role) for role in row.roles),
        sites=None if row.sites is None else frozenset(row.sites),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        site_id=row.site_id,
        ae_titles=tuple(row.ae_titles or ()),
        issued_here=row.issued_here,
    )
