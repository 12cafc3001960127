"""The hub's own CA: what it issues, where its key lies, and who may not read it."""

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import PolicyBuilder, Store

from access_control.authority import (
    CertificateAuthority,
    CertificateRequest,
    certificate_end,
)
from access_control.errors import CertificateAuthorityError, InsecureKeyFileError
from tests.support.clock import FixedClock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "secrets" / "tls"


@pytest.fixture
def authority(folder: Path, clock: FixedClock) -> CertificateAuthority:
    return CertificateAuthority(folder, clock, "Region")


def test_what_it_issues_is_verified_by_its_own_certificate(
    authority: CertificateAuthority, clock: FixedClock
) -> None:
    made = authority.issue(CertificateRequest("SIJING_CT", "泗泾", hosts=("hub.cn", "10.1.0.5")))
    ca = x509.load_pem_x509_certificate(made.ca_pem)
    certificate = x509.load_pem_x509_certificate(made.certificate_pem)
    builder = PolicyBuilder().store(Store([ca])).time(clock.now())
    builder.build_client_verifier().verify(certificate, [])
    builder.build_server_verifier(x509.DNSName("hub.cn")).verify(certificate, [])
    key = load_pem_private_key(made.key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == certificate.public_key()


def test_an_issued_certificate_cannot_issue(authority: CertificateAuthority) -> None:
    made = authority.issue(CertificateRequest("township"))
    certificate = x509.load_pem_x509_certificate(made.certificate_pem)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca


def test_it_is_made_once_however_many_ask(folder: Path, clock: FixedClock) -> None:
    def pem(_number: int) -> bytes:
        return CertificateAuthority(folder, clock).certificate_pem()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(pem, range(16)))) == 1


def test_its_key_is_its_owners_alone(
    authority: CertificateAuthority, folder: Path, clock: FixedClock
) -> None:
    authority.certificate_pem()
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    (folder / "ca.key").chmod(0o640)
    with pytest.raises(InsecureKeyFileError):
        CertificateAuthority(folder, clock).certificate_pem()


def test_a_damaged_key_is_said_not_replaced(authority: CertificateAuthority, folder: Path) -> None:
    authority.certificate_pem()
    (folder / "ca.key").write_bytes(b"rubbish")
    with pytest.raises(CertificateAuthorityError):
        authority.certificate_pem()
    assert (folder / "ca.key").read_bytes() == b"rubbish"


def test_nothing_outlives_the_authority(
    authority: CertificateAuthority, folder: Path, clock: FixedClock
) -> None:
    made = authority.issue(CertificateRequest("township", days=100_000))
    assert made.expires_at == certificate_end(folder / "ca.pem")
    assert made.expires_at < clock.now() + timedelta(days=7301)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_name_that_no_certificate_can_hold_is_refused(
    authority: CertificateAuthority, name: str
) -> None:
    with pytest.raises(CertificateAuthorityError):
        authority.issue(CertificateRequest(name))
