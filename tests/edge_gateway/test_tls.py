"""Uploads over https: who proves to be the hub, who the edge, and what is said otherwise."""

from pathlib import Path

import pytest

from access_control.certificates import MachineCertificate
from edge_gateway import marks, reasons
from edge_gateway.client import HubAddress, HubClient, LineLimits
from edge_gateway.errors import LineDownError, NotAdmittedError, UnprovenHubError
from edge_gateway.marks import Marks
from edge_gateway.model import EdgeFigures
from edge_gateway.own_ledger import OwnLedger
from edge_gateway.reporting import Reporter
from hub_kernel.tls import TlsFiles
from tests.dicom_router.instances import ct
from tests.edge_gateway.region import Line, Region, big, offer_of, open_region
from tests.support.certificates import Authority, Certified
from viewer_api.pages.ledger_words import REASON_WORDS

NOTHING = EdgeFigures(
    waiting=0,
    waiting_bytes=0,
    oldest_waiting_at=None,
    parked=0,
    free_bytes=1,
    total_bytes=2,
    reason="",
    version="0",
)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def files(authority: Authority, hub: Certified) -> TlsFiles:
    return TlsFiles(hub.certificate_file, hub.key_file, (authority.file,))


def client(
    region: Region,
    ca_file: Path,
    *,
    host: str = "127.0.0.1",
    shown: Certified | None = None,
    site: str = "sijing",
) -> HubClient:
    """An edge with a token, or with the certificate it shows instead."""
    address = HubAddress(
        url=region.url.replace("127.0.0.1", host),
        site_id=site,
        token="" if shown else region.token(site),
        ca_file=ca_file,
        certificate=shown.certificate_file if shown else None,
        key=shown.key_file if shown else None,
    )
    return HubClient(address, LineLimits(5.0, 20.0, 65_536))


def bound(region: Region, shown: Certified) -> MachineCertificate:
    return region.hub.trust.certificates.bind_site("sijing", shown.pem)


def test_with_the_right_authority_an_instance_arrives(tmp_path: Path, authority: Authority) -> None:
    offer, opened = offer_of(big())
    with open_region(tmp_path, files(authority, authority.issue("hub"))) as region:
        assert region.url.startswith("https://")
        line = Line()
        assert client(region, authority.file).upload(offer, opened, line).outcome == "stored"
        assert line.sent == offer.dataset_bytes
        with region.hub.archive.open_dataset(offer.sop_instance_uid) as stored:
            assert stored.read() == opened().read()


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        ("authority", reasons.HUB_UNPROVEN, "another authority"),
        ("name", reasons.HUB_OTHER_NAME, "another address"),
        ("expired", reasons.HUB_EXPIRED, "not valid today"),
        ("early", reasons.HUB_EXPIRED, "not valid today"),
    ],
)
def test_who_does_not_prove_to_be_the_hub_gets_nothing_and_nothing_is_lost(
    tmp_path: Path, authority: Authority, fault: str, reason: str, words: str
) -> None:
    offer, opened = offer_of(big())
    days = {"expired": (-30, -1), "early": (1, 30)}.get(fault, (-1, 30))
    hub = authority.issue("hub", days=days)
    trusted = Authority(tmp_path, "other").file if fault == "authority" else authority.file
    host = "localhost" if fault == "name" else "127.0.0.1"
    line = Line()
    with open_region(tmp_path, files(authority, hub)) as region:
        unproven = client(region, trusted, host=host)
        with pytest.raises(UnprovenHubError) as refused:
            unproven.upload(offer, opened, line)
        assert refused.value.reason == reason
        # What the gateway's page reads: the same word from its contact with the hub.
        noted = Marks(region.hub.database)
        reporter = Reporter(unproven, OwnLedger(region.hub.database), noted, lambda: NOTHING)
        assert not reporter.contact()
        assert noted.get(marks.REPORT_REASON) == reason
        assert words in str(REASON_WORDS[reason])
        assert region.hub.index.instance(offer.sop_instance_uid) is None
    assert line.sent == 0  # neither bytes nor the token were shown to a stranger
    with open_region(tmp_path, files(authority, authority.issue("renewed"))) as region:
        right = client(region, authority.file)
        assert right.upload(offer, opened, line).outcome == "stored"
        noted = Marks(region.hub.database)
        assert Reporter(right, OwnLedger(region.hub.database), noted, lambda: NOTHING).contact()
        assert noted.get(marks.REPORT_REASON) == ""


def test_the_site_s_own_certificate_opens_instead_of_a_token(
    tmp_path: Path, authority: Authority
) -> None:
    offer, opened = offer_of(ct())
    shown = authority.issue("sijing-gateway")
    with open_region(tmp_path, files(authority, authority.issue("hub"))) as region:
        edge = client(region, authority.file, shown=shown)
        with pytest.raises(NotAdmittedError):  # Control: nobody said whose it is.
            edge.upload(offer, opened, Line())
        certificate = bound(region, shown)
        assert edge.upload(offer, opened, Line()).outcome == "stored"
        elsewhere, elsewhere_bytes = offer_of(ct(2, study="1.2.9"), "jiuting")
        with pytest.raises(NotAdmittedError):
            client(region, authority.file, shown=shown, site="jiuting").upload(
                elsewhere, elsewhere_bytes, Line()
            )
        region.hub.trust.certificates.revoke(certificate.certificate_id)
        second, second_bytes = offer_of(ct(3))
        with pytest.raises(NotAdmittedError):
            edge.upload(second, second_bytes, Line())
        assert region.hub.index.instance(second.sop_instance_uid) is None


def test_a_certificate_of_another_authority_ends_the_handshake(
    tmp_path: Path, authority: Authority
) -> None:
    offer, opened = offer_of(ct())
    forged = Authority(tmp_path, "other").issue("sijing-gateway")
    with open_region(tmp_path, files(authority, authority.issue("hub"))) as region:
        with pytest.raises(LineDownError) as refused:
            client(region, authority.file, shown=forged).upload(offer, opened, Line())
        assert not isinstance(refused.value, UnprovenHubError)
        assert region.hub.index.instance(offer.sop_instance_uid) is None
