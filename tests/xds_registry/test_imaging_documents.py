"""RAD-69 over real HTTP: images as they were stored, decoded, or the reason why not."""

import io
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest
import requests
from lxml import etree
from pydicom import dcmread
from pydicom.data import get_testdata_file

from access_control.audit import AuditQuery
from access_control.consent import EVERYONE, ConsentKind
from tests.support.tools import require_conformance
from tests.xds_registry import imaging_wire, studies, wire
from tests.xds_registry.districts import District, Named, running_district
from tests.xds_registry.imaging_wire import EXPLICIT, IMPLICIT, JPEG_BASELINE, Image
from tests.xds_registry.rejecting import rejection
from xds_registry.imaging_manifests import read_manifest

STUDY = "1.2.3.4"
FIRST: Image = (STUDY, f"{STUDY}.1", f"{STUDY}.1.1")
SECOND: Image = (STUDY, f"{STUDY}.1", f"{STUDY}.1.2")
OTHER_SERIES: Image = (STUDY, f"{STUDY}.2", f"{STUDY}.2.1")
JPEG_2000 = "1.2.840.10008.1.2.4.90"


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> Iterator[District]:
    """A hub with one person's study of two series, and one that is compressed."""
    with running_district(tmp_path_factory.mktemp("district"), Named(1)) as one:
        one.know("L-1")
        for series, number in ((1, 1), (1, 2), (2, 1)):
            one.store(studies.instance(STUDY, series, number))
        one.store(compressed().getvalue())
        one.settle()
        yield one


def compressed() -> io.BytesIO:
    """A ten-frame MR in JPEG 2000 lossless."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(str(get_testdata_file("emri_small_jpeg_2k_lossless.dcm")))
        dataset.PatientID, dataset.StudyInstanceUID = "L-1", "1.2.5"
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = "1.2.5.1", "1.2.5.1.1"
        dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.5.1.1"
        target = io.BytesIO()
        dataset.save_as(target, enforce_file_format=True)
    return target


COMPRESSED: Image = ("1.2.5", "1.2.5.1", "1.2.5.1.1")


def ask(
    district: District, *wanted: Image, token: str | None = None, **options: Any
) -> requests.Response:
    options.setdefault("repository", district.named.repository_id)
    return district.post("/xds/imaging", imaging_wire.images(*wanted, **options), token)


def dataset_bytes(data: bytes) -> bytes:
    meta = dcmread(io.BytesIO(data), stop_before_pixels=True, force=True).file_meta
    return data[144 + meta.FileMetaInformationGroupLength :]


def test_images_come_as_they_were_stored_in_one_mtom_answer(district: District) -> None:
    response = ask(district, FIRST, SECOND, OTHER_SERIES)
    assert response.headers["Content-Type"].startswith("multipart/related")
    assert int(response.headers["Content-Length"]) == len(response.content)
    answer, parts = wire.unpack(response)
    assert wire.status(answer) == "Success"
    sent = [dataset_bytes(studies.instance(STUDY, *n)) for n in ((1, 1), (1, 2), (2, 1))]
    assert [dataset_bytes(part) for part in parts.values()] == sent
    assert imaging_wire.values(answer, "DocumentUniqueId") == [FIRST[2], SECOND[2], OTHER_SERIES[2]]
    assert imaging_wire.values(answer, "mimeType") == ["application/dicom"] * 3
    hrefs = [one.get("href") for one in answer.iter(f"{{{wire.XOP}}}Include")]
    assert hrefs == [f"cid:{name}" for name in parts]


def test_what_a_rejection_note_takes_back_is_given_by_no_door(district: District) -> None:
    study = "1.2.9"
    for number in (1, 2):
        district.store(studies.instance(study, 1, number))
    district.settle()
    gone, kept = ((study, f"{study}.1", f"{study}.1.{number}") for number in (1, 2))
    assert wire.status(wire.unpack(ask(district, gone, kept))[0]) == "Success"
    note = (study, f"{study}.9", f"{study}.9.1")
    district.store(rejection(study, "113001", gone[2]))
    district.settle()
    answer, parts = wire.unpack(ask(district, gone, note, kept))
    assert (wire.status(answer), len(parts)) == ("PartialSuccess", 1)
    assert wire.errors(answer) == ["XDSDocumentUniqueIdError"] * 2
    assert imaging_wire.values(answer, "DocumentUniqueId") == [kept[2]]
    assert district.hub.index.instance(gone[2]) is None  # what RAD-55 and RAD-107 look up
    manifest = district.registry.manifest_of(study)
    assert manifest is not None
    opened = district.registry.documents.open(manifest.unique_id)
    assert opened is not None
    listed = read_manifest(io.BytesIO(b"".join(opened.chunks()))).studies
    instances = [uid for one in listed for series in one.series for uid in series.sop_instance_uids]
    assert instances == [kept[2]]


def test_who_sent_an_image_stays_in_the_hub(district: District) -> None:
    _, parts = wire.unpack(ask(district, FIRST))
    (data,) = parts.values()
    assert {element.tag.element for element in dcmread(io.BytesIO(data)).file_meta} == {
        0, 1, 2, 3, 0x10, 0x12, 0x13,
    }  # fmt: skip


def test_request_and_answer_are_valid_against_the_published_schemas(district: District) -> None:
    folder = require_conformance("schema", "nist-v3")
    request = etree.fromstring(
        imaging_wire.images(FIRST, repository=district.named.repository_id)
    ).find(f"{{{wire.SOAP}}}Body")[0]
    imaging = etree.XMLSchema(etree.parse(folder / "XDSI.b_ImagingDocumentSource.xsd"))
    imaging.assertValid(request)
    answer, parts = wire.unpack(ask(district, FIRST, ("1.2.3", "1.2", "1")))
    for include in list(answer.iter(f"{{{wire.XOP}}}Include")):
        # The schema describes the message with its documents in place (XOP 1.0, 2).
        document = include.getparent()
        document.remove(include)
        document.text = "AAAA"
    repository = etree.XMLSchema(etree.parse(folder / "XDS.b_DocumentRepository.xsd"))
    repository.assertValid(answer)


def test_the_stored_form_is_sent_to_who_lists_it(district: District) -> None:
    answer, parts = wire.unpack(ask(district, COMPRESSED, syntaxes=(EXPLICIT, JPEG_2000)))
    assert wire.status(answer) == "Success"
    (data,) = parts.values()
    assert dataset_bytes(data) == dataset_bytes(compressed().getvalue())


def test_a_compressed_image_is_decoded_without_loss_for_who_reads_no_other(
    district: District,
) -> None:
    response = ask(district, COMPRESSED, FIRST)
    assert int(response.headers["Content-Length"]) == len(response.content)
    _, parts = wire.unpack(response)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        received = dcmread(io.BytesIO(next(iter(parts.values()))))
        assert received.file_meta.TransferSyntaxUID == EXPLICIT
        original = dcmread(io.BytesIO(compressed().getvalue()))
        assert np.array_equal(received.pixel_array, original.pixel_array)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"repository": "9.9"}, "XDSUnknownRepositoryId", id="unknown repository"),
        pytest.param({"home": "urn:oid:9.9"}, "XDSUnknownCommunity", id="unknown community"),
        pytest.param({"instance": "1.2.9"}, "XDSDocumentUniqueIdError", id="unknown instance"),
        pytest.param({"series": f"{STUDY}.2"}, "XDSDocumentUniqueIdError", id="wrong series"),
        pytest.param({"study": "1.2.5"}, "XDSDocumentUniqueIdError", id="wrong study"),
        pytest.param({"study": ""}, "XDSIRequestError", id="empty study UID"),
        pytest.param({"series": ""}, "XDSIRequestError", id="empty series UID"),
        pytest.param({"instance": ""}, "XDSIRequestError", id="empty instance UID"),
        pytest.param({"study": "", "series": ""}, "XDSIRequestError", id="both empty"),
        pytest.param({"instance": "../../x"}, "XDSDocumentUniqueIdError", id="no UID at all"),
        pytest.param({"syntaxes": ("",)}, "XDSRepositoryError", id="empty transfer syntax"),
        pytest.param({"syntaxes": ()}, "XDSRepositoryError", id="no transfer syntax"),
        pytest.param({"syntaxes": ("1.2.9",)}, "XDSRepositoryError", id="unknown syntax"),
        pytest.param({"syntaxes": (JPEG_BASELINE,)}, "XDSRepositoryError", id="lossy syntax"),
        pytest.param({"syntaxes": (IMPLICIT,)}, "XDSRepositoryError", id="another framing"),
    ],
)
def test_a_refusal_says_why(district: District, changes: dict[str, Any], code: str) -> None:
    options = dict(changes)
    image = (
        options.pop("study", STUDY), options.pop("series", FIRST[1]),
        options.pop("instance", FIRST[2]),
    )  # fmt: skip
    answer, parts = wire.unpack(ask(district, image, **options))
    assert (wire.status(answer), wire.errors(answer), parts) == ("Failure", [code], {})
    context = next(answer.iter("{*}RegistryError")).get("codeContext")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in context)


def test_some_given_and_some_not_is_a_partial_success(district: District) -> None:
    missing = (STUDY, FIRST[1], "1.2.9")
    answer, parts = wire.unpack(ask(district, missing, FIRST))
    assert wire.status(answer) == "PartialSuccess"
    assert wire.errors(answer) == ["XDSDocumentUniqueIdError"]
    assert len(parts) == 1
    assert ":".join(missing) in next(answer.iter("{*}RegistryError")).get("location")


def test_a_request_for_nothing_is_a_fault(district: District) -> None:
    response = ask(district)
    assert response.status_code == 400
    assert "Fault" in response.text


def test_our_own_community_is_accepted_and_repeated(district: District) -> None:
    answer, _ = wire.unpack(ask(district, FIRST, home=district.named.home_id))
    assert imaging_wire.values(answer, "HomeCommunityId") == [district.named.home_id]
    answer, _ = wire.unpack(ask(district, FIRST))
    assert imaging_wire.values(answer, "HomeCommunityId") == []


def test_an_image_that_may_not_be_seen_is_answered_like_one_that_is_not_there(
    district: District,
) -> None:
    stranger = district.token_of("stranger", frozenset({"elsewhere"}))
    answer, parts = wire.unpack(ask(district, FIRST, token=stranger))
    unknown, _ = wire.unpack(ask(district, ("1.2.99", "1.2.99.1", "1.2.99.1.1")))
    assert (wire.errors(answer), parts) == (wire.errors(unknown), {})
    contexts = [
        next(one.iter("{*}RegistryError")).get("codeContext").split("|")[0]
        for one in (answer, unknown)
    ]
    assert contexts[0] == contexts[1]
    own = district.token_of("own", frozenset({"h"}))
    assert wire.status(wire.unpack(ask(district, FIRST, token=own))[0]) == "Success"


def test_without_a_token_nobody_is_answered(district: District) -> None:
    assert ask(district, FIRST, token="no-token").status_code == 401


def test_each_study_is_one_access_on_record(district: District) -> None:
    token = district.token_of("audited", None)
    ask(district, FIRST, SECOND, (STUDY, FIRST[1], "1.2.9"), COMPRESSED, token=token)
    records = district.hub.access.audit.search(
        AuditQuery(resource_ids=frozenset({STUDY, "1.2.5"}), limit=50)
    ).records
    said = {(r.outcome, r.resource_id, r.detail) for r in records if r.display == "audited"}
    assert said == {
        ("success", STUDY, "2 images"),
        ("refused", STUDY, "1 images: XDSDocumentUniqueIdError"),
        ("success", "1.2.5", "1 images"),
    }


def test_who_refuses_is_shown_to_nobody(district: District) -> None:
    person = district.know("L-2")
    study = "1.2.6"
    district.store(studies.instance(study, PatientID="L-2"))
    image = (study, f"{study}.1", f"{study}.1.1")
    assert wire.status(wire.unpack(ask(district, image))[0]) == "Success"
    district.hub.access.consents.record(
        person, ConsentKind.REFUSE, EVERYONE, by="clerk", reason="at the desk"
    )
    answer, parts = wire.unpack(ask(district, image, FIRST))
    assert (wire.status(answer), len(parts)) == ("PartialSuccess", 1)
    assert wire.errors(answer) == ["XDSDocumentUniqueIdError"]


def test_a_patient_whom_nobody_has_linked_yet_is_the_whole_regions_alone(
    district: District,
) -> None:
    study = "1.2.7"
    district.store(studies.instance(study, PatientID="NEW"))
    image = (study, f"{study}.1", f"{study}.1.1")
    own = district.token_of("own", frozenset({"h"}))
    assert wire.status(wire.unpack(ask(district, image, token=own))[0]) == "Failure"
    assert wire.status(wire.unpack(ask(district, image))[0]) == "Success"


def test_an_image_that_has_changed_since_it_was_received_is_never_given_out_whole(
    district: District,
) -> None:
    study = "1.2.8"
    district.store(studies.instance(study))
    image = (study, f"{study}.1", f"{study}.1.1")
    instance = district.hub.index.instance(image[2])
    assert instance is not None
    (path,) = (district.hub.settings.archive_path).rglob(instance.storage_key.rpartition("/")[2])
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(requests.RequestException):
        ask(district, image)
    path.write_bytes(data[:-1])
    answer, parts = wire.unpack(ask(district, image, FIRST))
    assert (wire.status(answer), wire.errors(answer)) == ("PartialSuccess", ["XDSRepositoryError"])
    assert len(parts) == 1


def test_a_thousand_images_cost_less_than_64_mb(district: District) -> None:
    study, count = "1.2.10", 1_000
    pixels = bytes(200_000)
    for number in range(1, count + 1):
        district.store(studies.instance(study, 1, number, **pixel_data(pixels)))
    images = [(study, f"{study}.1", f"{study}.1.{number}") for number in range(1, count + 1)]
    request = imaging_wire.images(*images, repository=district.named.repository_id)
    process = psutil.Process()
    before, peak, done = process.memory_info().rss, [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    headers = {
        "Content-Type": "application/soap+xml", "Authorization": f"Bearer {district.token}",
    }  # fmt: skip
    with requests.post(
        f"{district.url}/xds/imaging", request, headers=headers, timeout=120, stream=True
    ) as response:
        received = sum(map(len, response.iter_content(1 << 18)))
    done.set()
    watcher.join()
    assert received == int(response.headers["Content-Length"]) > count * len(pixels)
    assert peak[0] - before < 64 << 20


def pixel_data(pixels: bytes) -> dict[str, object]:
    return {
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 100,
        "Columns": len(pixels) // 200,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": pixels,
    }
