"""A certificate authority for tests: certificates of servers, of machines, and bad ones."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class Certified:
    """A certificate with its key, and the PEM files they lie in."""

    certificate: x509.Certificate
    key: Key
    folder: Path
    name: str

    @cached_property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def certificate_file(self) -> Path:
        return self._written(f"{self.name}.pem", self.pem)

    @property
    def key_file(self) -> Path:
        return self._written(f"{self.name}.key", self.key_pem)

    def _written(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


class Authority:
    """An authority that issues whatever a test needs."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        key = ec.generate_private_key(ec.SECP256R1())
        self.own = Certified(
            _certificate(name, key, None, _Usage(is_authority=True)), key, folder, name
        )

    @property
    def file(self) -> Path:
        return self.own.certificate_file

    def issue(
        self, name: str, *, days: tuple[float, float] = (-1, 30), rsa_bits: int | None = None
    ) -> Certified:
        """Return a certificate for `name` and loopback, valid from and until so many days on."""
        key: Key = (
            rsa.generate_private_key(65537, rsa_bits)
            if rsa_bits
            else ec.generate_private_key(ec.SECP256R1())
        )
        certificate = _certificate(name, key, self.own, _Usage(days=days))
        return Certified(certificate, key, self.folder, name)


@dataclass(frozen=True)
class _Usage:
    is_authority: bool = False
    days: tuple[float, float] = (-1, 30)


def _certificate(name: str, key: Key, issuer: Certified | None, usage: _Usage) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=usage.days[0]))
        .not_valid_after(now + timedelta(days=usage.days[1]))
        .add_extension(
            x509.BasicConstraints(ca=usage.is_authority, path_length=None), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            issuer.certificate.public_key()  # type: ignore[arg-type]  # an EC key
        )
        names = x509.SubjectAlternativeName(
            [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        )
        builder = builder.add_extension(authority, critical=False).add_extension(
            names, critical=False
        )
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())
