"""Who may speak over DICOM TLS: certificate, site and AE title must be one matter."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from access_control import sites
from access_control.certificates import MachineCertificates, fingerprint_of
from dicom_router.door import Door, DoorLimits
from hub_kernel.tls import TlsFiles, server_context
from tests.dicom_router.conftest import (
    FAR_AWAY,
    OTHER_TOWNSHIP,
    TOWNSHIP,
    Hub,
    running_node,
)
from tests.dicom_router.instances import ct, encoded
from tests.dicom_router.wire import (
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    RawPeer,
    RequestParts,
    echo_rq,
    p_data,
    store_rq,
)
from tests.support.certificates import Authority, Certified
from tests.support.tools import require_tool
from tests.support.waiting import eventually

NOT_RECOGNISED = b"\0\x01\x01\x03"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def server(authority: Authority) -> Certified:
    return authority.issue("localhost")


@pytest.fixture(scope="module")
def township(authority: Authority) -> Certified:
    return authority.issue("township")


@pytest.fixture
def hub(
    tmp_path: Path, authority: Authority, server: Certified, request: pytest.FixtureRequest
) -> Iterator[Hub]:
    files = TlsFiles(server.certificate_file, server.key_file, (authority.file,), demanded=True)
    settings = getattr(request, "param", {})
    with running_node(tmp_path, tls=server_context(files, section="router"), **settings) as hub:
        yield hub


@pytest.fixture
def certificates(hub: Hub) -> MachineCertificates:
    return MachineCertificates(hub.parts.database, hub.parts.database.clock)


class TlsPeer(RawPeer):
    """A peer with a certificate of its own; `minimum` and `maximum` bound its TLS versions."""

    def __init__(self, port: int, authority: Authority, own: Certified | None) -> None:
        super().__init__(port)
        self.context = ssl.create_default_context(cafile=authority.file)
        self.context.set_ciphers("ALL:@SECLEVEL=0")
        if own is not None:
            self.context.load_cert_chain(own.certificate_file, own.key_file)

    def __enter__(self) -> "TlsPeer":
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout_s)
        try:
            self.socket = self.context.wrap_socket(plain, server_hostname="localhost")
        except OSError:
            plain.close()
            raise
        return self


def refused_in_the_handshake(peer: TlsPeer) -> bool:
    """Whether no association is possible: TLS 1.3 clients hear of it only when they read."""
    try:
        with peer:
            return peer.associate()[0] not in (ASSOCIATE_AC, ASSOCIATE_RJ)
    except OSError:
        return True


def test_the_sites_own_certificate_opens_the_door(
    hub: Hub, certificates: MachineCertificates, authority: Authority, township: Certified
) -> None:
    bound = certificates.bind_site(TOWNSHIP.site_id, township.pem)
    with TlsPeer(hub.tls_port, authority, township) as peer:
        assert peer.associate()[0] == ASSOCIATE_AC
        peer.send(echo_rq())
        assert peer.status() == 0
    (known,) = certificates.of_site(TOWNSHIP.site_id)
    assert known.certificate_id == bound.certificate_id
    assert known.last_used_at is not None


def test_the_right_title_with_another_sites_certificate_is_rejected_audited_and_logged(
    hub: Hub,
    certificates: MachineCertificates,
    authority: Authority,
    township: Certified,
    caplog: pytest.LogCaptureFixture,
) -> None:
    certificates.bind_site(OTHER_TOWNSHIP.site_id, township.pem)
    with TlsPeer(hub.tls_port, authority, township) as peer:
        assert peer.associate() == (ASSOCIATE_RJ, NOT_RECOGNISED)
    record = hub.await_audit(lambda found: found.outcome == "refused")
    assert record.subject_id == "CT1"
    assert f"is of site {OTHER_TOWNSHIP.site_id}" in record.detail
    reasons = [getattr(line, "reason", "") for line in caplog.records]
    assert any(f"the AE title of site {TOWNSHIP.site_id}" in reason for reason in reasons)


def test_a_certificate_for_one_title_does_not_open_another_of_the_same_site(
    hub: Hub, certificates: MachineCertificates, authority: Authority, township: Certified
) -> None:
    certificates.bind_site(TOWNSHIP.site_id, township.pem, ["WS1"])
    with TlsPeer(hub.tls_port, authority, township) as peer:
        assert peer.associate()[0] == ASSOCIATE_RJ
    with TlsPeer(hub.tls_port, authority, township) as peer:
        assert peer.associate(RequestParts(calling=b"WS1"))[0] == ASSOCIATE_AC


def test_the_right_certificate_from_the_wrong_address_is_rejected(
    hub: Hub, certificates: MachineCertificates, authority: Authority, township: Certified
) -> None:
    certificates.bind_site(FAR_AWAY.site_id, township.pem)
    with TlsPeer(hub.tls_port, authority, township) as peer:
        assert peer.associate(RequestParts(calling=b"FAR"))[0] == ASSOCIATE_RJ


def test_a_certificate_bound_to_nobody_is_rejected(
    hub: Hub, authority: Authority, township: Certified
) -> None:
    with TlsPeer(hub.tls_port, authority, township) as peer:
        assert peer.associate()[0] == ASSOCIATE_RJ
    assert hub.await_audit(lambda found: "bound to no site" in found.detail)


def test_a_revoked_certificate_is_rejected_within_a_second_without_a_restart(
    hub: Hub, certificates: MachineCertificates, authority: Authority, township: Certified
) -> None:
    bound = certificates.bind_site(TOWNSHIP.site_id, township.pem)

    def answer() -> int:
        with TlsPeer(hub.tls_port, authority, township) as peer:
            return peer.associate()[0]

    assert answer() == ASSOCIATE_AC
    certificates.revoke(bound.certificate_id)
    eventually(lambda: answer() == ASSOCIATE_RJ)
    # The second is what the directory may remember; a crowded machine adds what it likes.
    assert timedelta(seconds=1) >= sites._CACHE_LIFETIME
    assert hub.await_audit(lambda found: "was revoked" in found.detail)


@pytest.mark.parametrize(
    ("days", "rsa_bits"),
    [((-20, -1), None), ((1, 20), None), ((-1, 20), 1024)],
    ids=["expired", "not yet valid", "weak key"],
)
def test_a_certificate_that_does_not_hold_ends_the_handshake(
    hub: Hub,
    certificates: MachineCertificates,
    authority: Authority,
    days: tuple[float, float],
    rsa_bits: int | None,
) -> None:
    bad = authority.issue("bad", days=days, rsa_bits=rsa_bits)
    if days[1] > 0:  # whoever it is bound to
        certificates.bind_site(TOWNSHIP.site_id, bad.pem)
    assert refused_in_the_handshake(TlsPeer(hub.tls_port, authority, bad))
    assert hub.await_audit(lambda found: "TLS refused" in found.detail)


def test_certificates_of_strangers_and_none_at_all_end_the_handshake(
    hub: Hub, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    for own in (stranger.issue("other CA"), stranger.own, None):  # wrong CA, self-signed, none
        assert refused_in_the_handshake(TlsPeer(hub.tls_port, authority, own))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_of_tls_are_refused(
    hub: Hub,
    certificates: MachineCertificates,
    authority: Authority,
    township: Certified,
    version: ssl.TLSVersion,
) -> None:
    certificates.bind_site(TOWNSHIP.site_id, township.pem)
    peer = TlsPeer(hub.tls_port, authority, township)
    with pytest.warns(DeprecationWarning):
        peer.context.minimum_version = peer.context.maximum_version = version
    assert refused_in_the_handshake(peer)
    peer = TlsPeer(hub.tls_port, authority, township)
    peer.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with peer:
        assert peer.associate()[0] == ASSOCIATE_AC


def test_a_site_that_is_tls_only_is_rejected_on_the_plain_port(
    hub: Hub, certificates: MachineCertificates, authority: Authority, township: Certified
) -> None:
    hub.parts.directory.add(replace(TOWNSHIP, tls_only=True), replace=True)
    certificates.bind_site(TOWNSHIP.site_id, township.pem)
    with RawPeer(hub.port) as plain:
        assert plain.associate() == (ASSOCIATE_RJ, NOT_RECOGNISED)
    assert hub.await_audit(lambda found: "admitted by TLS" in found.detail)
    with TlsPeer(hub.tls_port, authority, township) as peer:
        assert peer.associate()[0] == ASSOCIATE_AC


def test_a_fingerprint_in_the_site_record_is_enough(
    hub: Hub, authority: Authority, township: Certified
) -> None:
    pinned = replace(TOWNSHIP, certificate_fingerprints=(fingerprint_of(township.der),))
    hub.parts.directory.add(pinned, replace=True)
    with TlsPeer(hub.tls_port, authority, township) as peer:
        assert peer.associate()[0] == ASSOCIATE_AC


@pytest.mark.parametrize("hub", [{"association_timeout_s": 2.0}], indirect=True)
def test_a_dripping_handshake_is_cut_at_its_deadline(hub: Hub) -> None:
    # A byte now and then: before the whole hello has come, nobody listens any more.
    with (
        closing(socket.create_connection(("127.0.0.1", hub.tls_port))) as drip,
        pytest.raises(OSError),  # noqa: PT011 (reset or broken pipe)
    ):
        for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500):
            drip.sendall(bytes([byte]))
            time.sleep(0.1)


def test_pynetdicoms_own_tls_server_stalls_on_a_silent_peer(server: Certified) -> None:
    """The control: what the hub's listener is there for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate_file, server.key_file)
    entity = AE("STOCK")
    entity.add_supported_context(Verification)
    stock = entity.start_server(("127.0.0.1", 0), block=False, ssl_context=context)
    try:
        assert stock is not None
        address = stock.server_address[:2]
        with closing(socket.create_connection(address)):
            assert not _echoes_within(1.5, address, server)
    finally:
        # Its own shutdown waits for the loop that the silent peer holds; that is over by now.
        threading.Thread(target=stock.shutdown, daemon=True).start()  # type: ignore[union-attr]


def _echoes_within(seconds: float, address: tuple[str, int], server: Certified) -> bool:
    context = ssl.create_default_context(cadata=server.pem.decode())
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with closing(socket.create_connection(address, seconds)) as plain:
        try:
            with context.wrap_socket(plain) as secured:
                secured.settimeout(seconds)
                return True
        except TimeoutError:
            return False


@pytest.fixture
def bound(certificates: MachineCertificates, township: Certified) -> Certified:
    certificates.bind_site(TOWNSHIP.site_id, township.pem)
    return township


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"], ids=["non-downgrading", "b", "extended"])
def test_dcmtk_stores_finds_and_echoes_over_tls(
    hub: Hub, authority: Authority, bound: Certified, tmp_path: Path, profile: str
) -> None:
    dataset = ct()
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(tmp_path / "ct.dcm", enforce_file_format=True)
    tls = [profile, "+tls", bound.key_file, bound.certificate_file, "+cf", authority.file]
    titles = ["-aet", "CT1", "-aec", "EIRHUB"]
    where = ["127.0.0.1", str(hub.tls_port)]
    for command in (
        ["echoscu", *titles, *tls, *where],
        ["storescu", *titles, *tls, *where, tmp_path / "ct.dcm"],
        ["findscu", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID",
         *titles, *tls, *where],
    ):  # fmt: skip
        done = subprocess.run(
            [require_tool(str(command[0])), *map(str, command[1:])],
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert hub.parts.index.instance(dataset.SOPInstanceUID) is not None


def test_pynetdicom_echoes_over_tls(hub: Hub, authority: Authority, bound: Certified) -> None:
    context = ssl.create_default_context(cafile=authority.file)
    context.load_cert_chain(bound.certificate_file, bound.key_file)
    entity = AE("CT1")
    entity.add_requested_context(Verification)
    association = entity.associate(
        "127.0.0.1", hub.tls_port, ae_title="EIRHUB", tls_args=(context, "localhost")
    )
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()


def test_instances_over_a_sites_daily_quota_are_answered_a700(hub: Hub) -> None:
    data = encoded(ct(PixelData=bytes(20_000)))
    hub.parts.directory.add(replace(TOWNSHIP, max_bytes_per_day=10_000), replace=True)

    def send(number: int) -> int:
        uid = f"{ct().SOPInstanceUID}.{number}"
        body = encoded(ct(PixelData=bytes(20_000), SOPInstanceUID=uid))
        with RawPeer(hub.port) as peer:
            assert peer.associate()[0] == ASSOCIATE_AC
            peer.send(store_rq(uid))
            for at in range(0, len(body), 16_000):
                peer.send(p_data(3, 0, body[at : at + 16_000]))
            peer.send(p_data(3, 2, b""))
            return peer.status()

    assert len(data) > 10_000
    assert send(1) == 0
    assert send(2) == 0xA700
    assert hub.parts.usage.today(TOWNSHIP.site_id).refused == 1
    assert hub.await_audit(lambda found: "refused 0xA700" in found.detail)


def test_a_site_has_no_more_associations_than_its_quota(hub: Hub) -> None:
    hub.parts.directory.add(replace(TOWNSHIP, max_associations=1), replace=True)
    with RawPeer(hub.port) as first, RawPeer(hub.port) as second:
        assert first.associate()[0] == ASSOCIATE_AC
        kind, body = second.associate()
        assert (kind, body) == (ASSOCIATE_RJ, b"\0\x02\x03\x02")  # transient, local limit
    with RawPeer(hub.port) as other:
        assert other.associate(RequestParts(calling=b"CT2"))[0] == ASSOCIATE_AC


def test_a_site_of_high_priority_finds_room_when_all_is_taken(
    tmp_path: Path,
) -> None:
    with running_node(tmp_path, max_associations=1) as hub:
        hub.parts.directory.add(replace(OTHER_TOWNSHIP, priority="high"), replace=True)
        with RawPeer(hub.port) as taken, RawPeer(hub.port) as late, RawPeer(hub.port) as urgent:
            assert taken.associate()[0] == ASSOCIATE_AC
            assert late.associate()[0] == ASSOCIATE_RJ
            assert urgent.associate(RequestParts(calling=b"CT2"))[0] == ASSOCIATE_AC


def test_the_context_of_a_sop_class_a_site_may_not_send_is_rejected(hub: Hub) -> None:
    only_mr = ("1.2.840.10008.5.1.4.1.1.4",)
    hub.parts.directory.add(replace(TOWNSHIP, allowed_sop_classes=only_mr), replace=True)
    wanted = {str(ct().SOPClassUID): [ImplicitVRLittleEndian]}
    with hub.association(wanted | {str(Verification): [ImplicitVRLittleEndian]}) as scu:
        refused = {str(one.abstract_syntax): one.result for one in scu.rejected_contexts}
        assert refused == {str(ct().SOPClassUID): 3}


def test_headroom_is_never_none() -> None:
    assert DoorLimits(1, 1).with_headroom == 2
    assert DoorLimits(256, 256).with_headroom == 289
    assert Door(DoorLimits(1, 1)).present() == ()
