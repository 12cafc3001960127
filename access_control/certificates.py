"""Client certificates of machines: who a peer is by the certificate its TLS connection proved.

The TLS layer checks the chain, the dates and that the peer has the key (RFC 8446); here its
fingerprint is looked up. A certificate is bound to one machine with roles and sites, and can be
revoked at once without any list of its issuer.
"""

import hashlib
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from access_control.accounts import check_rights
from access_control.errors import AccountExistsError, InvalidAccountError
from access_control.inert import inert
from access_control.model import Role, Subject, SubjectKind
from access_control.tables_trust import MachineCertificateRow
from hub_kernel.clock import Clock
from hub_kernel.database import Database
from hub_kernel.errors import NotFoundError

_SEEN_EVERY = timedelta(seconds=60)
_LONGEST_NAME = 128


class Standing(Enum):
    """What the hub knows of a certificate that names no machine."""

    UNBOUND = "unbound"  # nobody said whose it is: it proves no machine, other credentials may
    WITHDRAWN = "withdrawn"  # revoked or past its end: whoever shows it is refused


@dataclass(frozen=True)
class MachineCertificate:
    """A bound certificate as an administrator sees it."""

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


def fingerprint_of(der: bytes) -> str:
    """Return the SHA-256 fingerprint of a certificate in DER, as 64 hex digits."""
    return hashlib.sha256(der).hexdigest()


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
        now, certificate = self._clock.now(), _certificate(pem)
        if certificate.not_valid_after_utc <= now:
            raise InvalidAccountError("certificate: its end must lie in the future")
        row = MachineCertificateRow(
            certificate_id=str(uuid.uuid4()),
            fingerprint=fingerprint_of(certificate.public_bytes(Encoding.DER)),
            name=name,
            subject_name=_subject_name(certificate),
            roles=sorted(roles),
            sites=None if sites is None else sorted(sites),
            created_at=now,
            expires_at=certificate.not_valid_after_utc,
        )
        try:
            with self._database.unit_of_work() as work:
                work.session.add(row)
                work.session.flush()
                return _machine_certificate(row)
        except IntegrityError as taken:
            raise AccountExistsError(f"{name} or this certificate is bound already") from taken

    def subject(self, der: bytes) -> Subject | Standing:
        """Return the machine that a certificate in DER stands for, or why it is none.

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
        if known is None:
            return Standing.UNBOUND
        if known.revoked_at is not None or known.expires_at <= now:
            return Standing.WITHDRAWN
        if known.last_used_at is None or now - known.last_used_at >= _SEEN_EVERY:
            self._note_use(known.certificate_id, now)
        return Subject(
            SubjectKind.MACHINE,
            known.certificate_id,
            known.name,
            roles=known.roles,
            sites=known.sites,
        )

    def revoke(self, certificate_id: str) -> None:
        """Refuse the certificate from now on; revoking it again changes nothing.

        Raises:
            NotFoundError: there is no such certificate.
        """
        with self._database.unit_of_work() as work:
            row = work.session.get(MachineCertificateRow, inert(certificate_id, 36))
            if row is None:
                raise NotFoundError("no certificate of this id")
            row.revoked_at = row.revoked_at or self._clock.now()

    def all(self) -> tuple[MachineCertificate, ...]:
        """Return every bound certificate, revoked and expired ones included, by name."""
        with self._database.read() as session:
            rows = session.scalars(
                select(MachineCertificateRow).order_by(MachineCertificateRow.name)
            )
            return tuple(_machine_certificate(row) for row in rows)

    def _note_use(self, certificate_id: str, now: datetime) -> None:
        with self._database.unit_of_work() as work:
            work.session.execute(
                update(MachineCertificateRow)
                .where(MachineCertificateRow.certificate_id == certificate_id)
                .values(last_used_at=now)
            )


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
    )
