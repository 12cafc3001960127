"""Uploads between a real client and a real hub: resumed, recognised, refused truthfully."""

import hashlib
import io
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from sqlalchemy import select

from access_control.audit import AuditQuery
from access_control.model import Role
from edge_gateway import protocol
from edge_gateway.client import HubAddress, HubClient, LineLimits
from edge_gateway.errors import (
    HubNotReadyError,
    LineDownError,
    NotAdmittedError,
    RefusedByHubError,
)
from edge_gateway.model import Offer
from hub_kernel.errors import ConfigurationError
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.settings import ArchiveSettings, RouterSettings
from image_archive.errors import ArchiveError
from image_archive.file_meta import read_file_meta
from image_archive.index import ArchiveIndex
from image_archive.index_writing import Arrival, Finding
from image_archive.model import IncomingHeader, InstanceOrigin
from image_archive.receiving import IncomingInstance
from image_archive.recording import ReceiptRecorder
from image_archive.tables import QUARANTINE
from tests.dicom_router.instances import ct
from tests.edge_gateway.region import Line, Region, big, offer_of, open_region


def test_an_instance_arrives_bit_for_bit_as_the_site_s_own(region: Region) -> None:
    offer, opened = offer_of(ct())
    receipt = region.client().upload(offer, opened, Line())
    assert (receipt.outcome, receipt.dataset_sha256) == ("stored", offer.dataset_sha256)
    with region.hub.archive.open_dataset(offer.sop_instance_uid) as stored:
        assert stored.read() == opened().read()
    study = region.hub.index.study(offer.study_instance_uid)
    assert study is not None
    assert (study.site_id, study.patient.issuer.namespace) == ("sijing", "SIJING")
    with region.hub.archive.open_instance(offer.sop_instance_uid) as file:
        origin = read_file_meta(file.read()).origin
    assert origin is not None
    assert (origin.calling_ae_title, origin.called_ae_title) == ("CT_ROOM_1", "EDGE")
    assert origin.charset_habit == "GBK"


def test_what_has_arrived_is_not_sent_again(region: Region) -> None:
    offer, opened = offer_of(big())
    first, again = Line(), Line()
    region.client().upload(offer, opened, first)
    receipt = region.client().upload(offer, opened, again)
    assert receipt.outcome == "already_stored"
    assert (first.sent, again.sent) == (offer.dataset_bytes, 0)


def test_what_was_just_acknowledged_is_seen_though_its_row_is_still_being_written(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer, opened = offer_of(big())
    written = ReceiptRecorder.record_all

    def slowly(
        recorder: ReceiptRecorder, arrivals: Sequence[Arrival]
    ) -> list[Finding | ArchiveError]:
        time.sleep(1.0)
        return written(recorder, arrivals)

    monkeypatch.setattr(ReceiptRecorder, "record_all", slowly)
    with _incoming(region, offer) as incoming:
        incoming.write(opened().read())
        incoming.secure()
    unseen = ArchiveIndex(region.hub.database)
    assert unseen.instance(offer.sop_instance_uid) is None  # Control: a reader who does not wait.
    line = Line()
    assert region.client().upload(offer, opened, line).outcome == "already_stored"
    assert line.sent == 0


def test_an_upload_goes_on_where_the_line_was_cut(region: Region) -> None:
    offer, opened = offer_of(big())
    cut, rest = Line(cut_after=700_000), Line()
    with pytest.raises(LineDownError):
        region.client().upload(offer, opened, cut)
    assert region.hub.index.instance(offer.sop_instance_uid) is None
    region.client().upload(offer, opened, rest)
    assert rest.sent == offer.dataset_bytes - cut.sent // 65_536 * 65_536
    with region.hub.archive.open_dataset(offer.sop_instance_uid) as stored:
        assert stored.read() == opened().read()
    assert _unfinished(region) == []


def test_what_was_on_its_way_a_second_time_is_let_go(region: Region) -> None:
    offer, opened = offer_of(big())
    with pytest.raises(LineDownError):
        region.client().upload(offer, opened, Line(cut_after=700_000))
    assert len(_unfinished(region)) == 1
    with _incoming(region, offer) as incoming:  # an earlier request, of which nobody heard again
        incoming.write(opened().read())
        incoming.commit()
    assert region.client().upload(offer, opened, Line()).outcome == "already_stored"
    assert _unfinished(region) == []


def test_an_upload_that_fails_at_once_again_and_again_ends(region: Region) -> None:
    """Control of the retry inside one upload: it has an end, and the queue takes over."""
    offer, opened = offer_of(big())
    with pytest.raises(LineDownError, match="again and again|not reached"):
        region.client().upload(offer, opened, Line(cut_after=0))


def test_a_chunk_changed_on_its_way_is_sent_again(region: Region) -> None:
    offer, opened = offer_of(big(kib=300))
    spoiled: list[int] = []

    class Spoiling(io.BytesIO):
        """Bytes that change once between being hashed and being sent."""

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            at = self.tell()
            if not spoiled and size is not None and size <= 16_384 and at > 100_000:
                spoiled.append(at)
                return bytes(len(data))
            return data

    receipt = region.client().upload(offer, lambda: Spoiling(opened().read()), Line())
    assert spoiled
    assert receipt.outcome == "stored"
    with region.hub.archive.open_dataset(offer.sop_instance_uid) as stored:
        assert stored.read() == opened().read()


def test_without_its_checksum_a_changed_chunk_is_caught_by_the_digest(region: Region) -> None:
    """Control: the chunk's checksum is one net, the digest of the whole another."""
    offer, opened = offer_of(big(kib=100))
    with pytest.raises(HubNotReadyError, match="digest-mismatch"):
        region.client(chunk_bytes=1 << 20).upload(
            offer, lambda: io.BytesIO(opened().read()[:-2] + b"!!"), Line()
        )
    assert region.hub.index.instance(offer.sop_instance_uid) is None


@pytest.mark.parametrize(("token_of", "speaks_for"), [("jiuting", "sijing"), (None, "sijing")])
def test_an_edge_may_speak_for_its_own_site_only(
    region: Region, token_of: str | None, speaks_for: str
) -> None:
    offer, opened = offer_of(ct())
    client = region.client(speaks_for, token=region.token(token_of))
    with pytest.raises(NotAdmittedError):
        client.upload(offer, opened, Line())
    assert region.hub.index.instance(offer.sop_instance_uid) is None
    refused = region.hub.access.audit.search(AuditQuery(action="store", outcome="refused"))
    assert len(refused.records) == 1


def test_nobody_is_let_in_without_a_token_or_with_a_reader_s(region: Region) -> None:
    offer, opened = offer_of(ct())
    for token in ("", "eirhub_wrong", region.token("sijing", Role.CLINICIAN)):
        with pytest.raises(NotAdmittedError):
            region.client(token=token).upload(offer, opened, Line())


def test_an_edge_s_token_opens_no_page_and_no_picture(region: Region) -> None:
    offer, opened = offer_of(ct())
    region.client().upload(offer, opened, Line())
    headers = {"Authorization": f"Bearer {region.token('sijing')}"}
    study = f"{region.url}/dicom-web/studies/{offer.study_instance_uid}"
    assert requests.get(study, headers=headers, timeout=10).status_code == 404
    patients = requests.get(f"{region.url}/api/v1/patients?q=Wang", headers=headers, timeout=10)
    assert "Wang" not in patients.text


def test_other_bytes_under_a_known_number_are_refused_and_kept_once(region: Region) -> None:
    first, first_bytes = offer_of(ct())
    region.client().upload(first, first_bytes, Line())
    other, other_bytes = offer_of(ct(StudyDescription="OTHER"))
    sent = Line()
    for _ in range(2):
        with pytest.raises(RefusedByHubError) as refused:
            region.client().upload(other, other_bytes, sent)
        assert refused.value.problem == "conflicting-instance"
    with region.hub.database.read() as session:
        assert len(session.execute(select(QUARANTINE.c.id)).all()) == 1
    assert sent.sent == 2 * other.dataset_bytes  # a small instance travels with its offer


def test_an_examination_of_another_patient_is_refused(region: Region) -> None:
    mine, mine_bytes = offer_of(ct(1))
    region.client().upload(mine, mine_bytes, Line())
    other, other_bytes = offer_of(ct(2, PatientID="99999"))
    with pytest.raises(RefusedByHubError) as refused:
        region.client().upload(other, other_bytes, Line())
    assert refused.value.problem == "conflicting-study"


def test_what_cannot_be_read_or_is_something_else_is_refused(region: Region) -> None:
    rubbish = b"\x08\x00\x05\x00CS\xff\xff" * 40
    offer, _ = offer_of(ct())
    unreadable = replace(offer, dataset_bytes=len(rubbish), dataset_sha256=_sha(rubbish))
    with pytest.raises(RefusedByHubError) as refused:
        region.client().upload(unreadable, lambda: io.BytesIO(rubbish), Line())
    assert refused.value.problem == "unreadable"
    misnamed, opened = offer_of(ct(7))
    with pytest.raises(RefusedByHubError) as refused:
        region.client().upload(replace(misnamed, sop_instance_uid="1.2.3.4"), opened, Line())
    assert refused.value.problem == "identity-mismatch"


def test_a_full_hub_says_so_and_takes_the_rest_once_there_is_room(tmp_path: Path) -> None:
    offer, opened = offer_of(big())
    full = ArchiveSettings(min_free_bytes=1 << 60)
    with open_region(tmp_path, archive=full) as region, pytest.raises(HubNotReadyError) as refused:
        region.client().upload(offer, opened, Line())
    assert str(refused.value) == "archive-full"
    with open_region(tmp_path) as region:
        assert region.client().upload(offer, opened, Line()).outcome == "stored"


def test_what_a_site_may_not_send_it_may_not_upload(region: Region) -> None:
    sijing = region.hub.access.sites.get("sijing")
    offer, opened = offer_of(ct())
    region.hub.access.sites.add(
        replace(sijing, allowed_sop_classes=("1.2.840.10008.5.1.4.1.1.4",)), replace=True
    )
    with pytest.raises(RefusedByHubError) as refused:
        region.client().upload(offer, opened, Line())
    assert refused.value.problem == "sop-class-refused"
    region.hub.access.sites.add(replace(sijing, max_bytes_per_day=1), replace=True)
    region.client().upload(offer, opened, Line())
    second, second_bytes = offer_of(ct(2))
    with pytest.raises(HubNotReadyError, match="quota-exceeded"):
        region.client().upload(second, second_bytes, Line())


def test_an_instance_beyond_the_limit_is_refused_for_good(tmp_path: Path) -> None:
    offer, opened = offer_of(big())
    small = RouterSettings(port=0, max_instance_bytes=10_000)
    with (
        open_region(tmp_path, router=small) as region,
        pytest.raises(RefusedByHubError) as refused,
    ):
        region.client().upload(offer, opened, Line())
    assert refused.value.problem == "instance-too-large"


def test_unfinished_uploads_are_bounded_for_each_site_and_removed_in_time(region: Region) -> None:
    left = Line(cut_after=300_000)
    for number in range(1, 5):
        offer, opened = offer_of(big(number))
        left.sent = 0
        with pytest.raises(LineDownError):
            region.client().upload(offer, opened, left)
    assert len(_unfinished(region)) == 4
    fifth, opened = offer_of(big(5))
    with pytest.raises(HubNotReadyError, match="too-many-uploads"):
        region.client().upload(fifth, opened, Line())
    elsewhere, elsewhere_bytes = offer_of(big(6, study="1.2.9"), "jiuting")
    assert region.client("jiuting").upload(elsewhere, elsewhere_bytes, Line()).outcome == "stored"
    assert region.hub.edges.partials.purge() == 0
    for file in _unfinished(region):
        for suffix in (".json", ".part"):
            os.utime(file.with_suffix(suffix), (time.time() - 7200,) * 2)
    assert region.hub.edges.partials.purge() == 4
    assert _unfinished(region) == []
    assert region.client().upload(fifth, opened, Line()).outcome == "stored"


def test_bytes_spoken_for_by_unfinished_uploads_are_bounded(region: Region) -> None:
    offer, opened = offer_of(ct())
    huge = replace(offer, dataset_bytes=65 * 1024 * 1024)
    with pytest.raises(HubNotReadyError, match="too-many-uploads"):
        region.client().upload(huge, opened, Line())


def test_any_tus_client_can_upload(region: Region) -> None:
    """By the published protocol alone, without our client."""
    offer, opened = offer_of(big(kib=64))
    data, base = opened().read(), f"{region.url}/edge/sijing/uploads"
    bearer = {
        "Authorization": f"Bearer {region.token('sijing')}",
        "Tus-Resumable": "1.0.0",
    }
    spoken = requests.options(base, headers=bearer, timeout=10).headers
    assert "checksum" in spoken["Tus-Extension"]
    assert spoken["Tus-Version"] == "1.0.0"
    created = requests.post(
        base,
        headers=bearer
        | {"Upload-Length": str(len(data)), "Upload-Metadata": protocol.write_metadata(offer)},
        timeout=10,
    )
    assert created.status_code == 201
    address = f"{region.url}{created.headers['Location']}"
    half = len(data) // 2
    chunk = {"Content-Type": "application/offset+octet-stream"}
    first = requests.patch(
        address, data[:half], headers=bearer | chunk | {"Upload-Offset": "0"}, timeout=10
    )
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, str(half))
    asked = requests.head(address, headers=bearer, timeout=10)
    assert (asked.headers["Upload-Offset"], asked.headers["Upload-Length"]) == (
        str(half),
        str(len(data)),
    )
    wrong = requests.patch(
        address, data[half:], headers=bearer | chunk | {"Upload-Offset": "1"}, timeout=10
    )
    assert wrong.status_code == 409
    assert wrong.headers["Content-Type"] == "application/problem+json"
    assert wrong.json()["type"] == "urn:eirhub:problem:offset-mismatch"
    assert wrong.json()["detail_zh"]
    spoiled = requests.patch(
        address,
        data[half:],
        headers=bearer
        | chunk
        | {"Upload-Offset": str(half), "Upload-Checksum": protocol.write_checksum(b"0" * 32)},
        timeout=10,
    )
    assert spoiled.status_code == 460
    last = requests.patch(
        address, data[half:], headers=bearer | chunk | {"Upload-Offset": str(half)}, timeout=10
    )
    assert protocol.read_receipt(last.headers["Eir-Receipt"]).outcome == "stored"
    assert requests.head(address, headers=bearer, timeout=10).status_code == 410


@pytest.mark.parametrize(
    "change",
    [
        {"Upload-Length": "-1"},
        {"Upload-Length": "x"},
        {"Upload-Metadata": ""},
        {"Upload-Metadata": "sop_instance_uid !!!"},
        {"Upload-Metadata": "sop_instance_uid Li4vLi4veA=="},
    ],
)
def test_a_crooked_offer_is_refused_with_400(region: Region, change: dict[str, str]) -> None:
    offer, _ = offer_of(ct())
    headers = {
        "Authorization": f"Bearer {region.token('sijing')}",
        "Upload-Length": "10",
        "Upload-Metadata": protocol.write_metadata(offer),
    }
    answer = requests.post(
        f"{region.url}/edge/sijing/uploads", headers=headers | change, timeout=10
    )
    assert answer.status_code == 400
    assert _unfinished(region) == []


@pytest.mark.parametrize("field", ["calling_ae_title", "charset_habit", "study_instance_uid"])
def test_no_field_of_an_offer_smuggles_anything(region: Region, field: str) -> None:
    offer, opened = offer_of(ct())
    crooked = Offer(**vars(offer) | {field: "A\r\nX: 1"})
    with pytest.raises(HubNotReadyError, match="bad-request"):
        region.client().upload(crooked, opened, Line())


def test_plain_http_beyond_this_machine_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        HubClient(HubAddress("http://10.0.0.1:8080", "sijing"))
    with pytest.raises(ConfigurationError, match="site_id"):
        HubClient(HubAddress("http://127.0.0.1:8080", ""))


def test_a_hub_that_is_not_there_is_a_line_that_is_down(region: Region) -> None:
    offer, opened = offer_of(ct())
    nobody = HubClient(HubAddress("http://127.0.0.1:9", "sijing"), LineLimits(1.0, 1.0))
    with pytest.raises(LineDownError):
        nobody.upload(offer, opened, Line())


def _incoming(region: Region, offer: Offer) -> IncomingInstance:
    domain = AssigningAuthority("SIJING", "1.2.3.1")
    header = IncomingHeader(
        offer.sop_class_uid,
        offer.sop_instance_uid,
        offer.transfer_syntax_uid,
        InstanceOrigin("sijing", domain, "CT_ROOM_1", "HUB", ""),
    )
    return region.hub.archive.incoming(header)


def _unfinished(region: Region) -> list[Path]:
    return sorted((region.hub.settings.hub.data_dir / "uploads").glob("*/*.part"))


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
