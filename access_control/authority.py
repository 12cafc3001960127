"""The hub's own certificate authority: key pairs for townships, and the hub's server certificate.

X.509 v3 as RFC 5280 and DICOM PS3.15 B (BCP 195: ECDSA P-256, or RSA of 3072 bits). The CA's key
lies in the folder of secrets, readable by the hub's own user alone; private keys that are issued
are written once, for whoever asked, and are not kept.
"""

import ipaddress
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from access_control.errors import CertificateAuthorityError, InsecureKeyFileError
from access_control.secrets import sync_directory
from hub_kernel.clock import Clock

CA_CERTIFICATE, CA_KEY = "ca.pem", "ca.key"
SERVER_CERTIFICATE, SERVER_KEY = "server.pem", "server.key"
_CA_DAYS = 7300
_BACKDATED = timedelta(hours=1)  # townships' clocks are slow
_RSA_BITS = 3072

KeyKind = Literal["ec", "rsa"]
_PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class CertificateRequest:
    """What a certificate is to say. `hosts` are names or addresses of whoever will listen."""

    common_name: str
    organization: str = ""
    hosts: tuple[str, ...] = ()
    days: int = 730
    key: KeyKind = "ec"


@dataclass(frozen=True)
class IssuedCertificate:
    """A key pair just made: the key, its certificate, and the CA's certificate, each in PEM."""

    key_pem: bytes
    certificate_pem: bytes
    ca_pem: bytes
    expires_at: datetime

    def pkcs12(self, name: str) -> tuple[bytes, str]:
        """Return key, certificate and CA as PKCS #12, and the new passphrase that opens it."""
        passphrase = secrets.token_urlsafe(15)
        certificate = x509.load_pem_x509_certificate(self.certificate_pem)
        authority = x509.load_pem_x509_certificate(self.ca_pem)
        key = load_pem_private_key(self.key_pem, None)
        data = pkcs12.serialize_key_and_certificates(
            name.encode(),
            key,  # type: ignore[arg-type]  # one of ours: EC or RSA
            certificate,
            [authority],
            BestAvailableEncryption(passphrase.encode()),
        )
        return data, passphrase


class CertificateAuthority:
    """The CA in `folder`; made on first use, by whichever process asks first."""

    def __init__(self, folder: Path, clock: Clock, name: str = "EIR Hub") -> None:
        self._folder = folder
        self._clock = clock
        self._name = name

    @property
    def certificate_file(self) -> Path:
        """Where the CA's own certificate lies, once there is one."""
        return self._folder / CA_CERTIFICATE

    def certificate_pem(self) -> bytes:
        """Return the CA's own certificate, for modalities to trust.

        Raises:
            CertificateAuthorityError: it cannot be made or read.
            InsecureKeyFileError: others may read its key.
        """
        return self._own()[0].public_bytes(Encoding.PEM)

    def issue(self, wanted: CertificateRequest) -> IssuedCertificate:
        """Make a key pair and its certificate, for both ends of TLS; nothing is kept here.

        Raises:
            CertificateAuthorityError: the request makes no certificate, or the CA cannot be used.
            InsecureKeyFileError: others may read the CA's key.
        """
        authority, ca_key = self._own()
        key = _new_key(wanted.key)
        now = self._clock.now()
        try:
            builder = (
                _builder(_name(wanted.common_name, wanted.organization), authority.subject, key)
                .not_valid_before(max(now - _BACKDATED, authority.not_valid_before_utc))
                .not_valid_after(
                    min(now + timedelta(days=wanted.days), authority.not_valid_after_utc)
                )
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_key_usage(is_authority=False), critical=True)
                .add_extension(x509.ExtendedKeyUsage(_BOTH_ENDS), critical=False)
                .add_extension(_issued_by(ca_key), critical=False)
            )
            if wanted.hosts:
                builder = builder.add_extension(_alternative_names(wanted.hosts), critical=False)
            certificate = builder.sign(ca_key, hashes.SHA256())
        except ValueError as broken:
            raise CertificateAuthorityError(f"certificate: {broken}") from broken
        return IssuedCertificate(
            _pem(key),
            certificate.public_bytes(Encoding.PEM),
            authority.public_bytes(Encoding.PEM),
            certificate.not_valid_after_utc,
        )

    def _own(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        """Read the CA; key and certificate are one file, so that no crash leaves half of it."""
        path = self._folder / CA_KEY
        try:
            if not path.exists():
                self._make(path)
            both = read_secret(path)
            certificate = x509.load_pem_x509_certificate(both)
            key = load_pem_private_key(both, None)
            if not self.certificate_file.exists():
                write_secret(self.certificate_file, certificate.public_bytes(Encoding.PEM))
        except (OSError, ValueError) as broken:
            raise CertificateAuthorityError(f"the hub's CA cannot be used: {broken}") from broken
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise CertificateAuthorityError("the hub's CA has a key of another kind")
        return certificate, key

    def _make(self, path: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        now = self._clock.now()
        name = _name(f"{self._name} CA"[:64], "")
        certificate = (
            _builder(name, name, key)
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(now + timedelta(days=_CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(is_authority=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        write_secret(draft, _pem(key) + certificate.public_bytes(Encoding.PEM))
        try:
            path.hardlink_to(draft)  # the first one to link wins
        except FileExistsError:
            return
        finally:
            draft.unlink()
        sync_directory(self._folder)


def read_secret(path: Path) -> bytes:
    """Return the content of a key file.

    Raises:
        InsecureKeyFileError: others may read it, or it is a link.
        OSError: it cannot be read.
    """
    if path.is_symlink() or path.stat().st_mode & 0o077:
        raise InsecureKeyFileError(
            f"key file {path.name}: only its owner may read it; set its mode to 0600"
        )
    return path.read_bytes()


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, durably and in one step.

    Raises:
        OSError: it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def certificate_end(path: Path) -> datetime | None:
    """Return when the first certificate of a PEM file ends, None where there is none to read."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError):
        return None


_BOTH_ENDS = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


def _new_key(kind: KeyKind) -> _PrivateKey:
    if kind == "rsa":
        return rsa.generate_private_key(65537, _RSA_BITS)
    return ec.generate_private_key(ec.SECP256R1())


def _builder(subject: x509.Name, issuer: x509.Name, key: _PrivateKey) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _issued_by(ca_key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())


def _name(common_name: str, organization: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization[:64]))
    return x509.Name(attributes)


def _alternative_names(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_alternative_name(host) for host in hosts])


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: _PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
