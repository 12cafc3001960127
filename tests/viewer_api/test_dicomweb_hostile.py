"""Instances no honest device sends: one of them never costs the study it came with."""

import io
import struct
import tracemalloc
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset

from access_control.model import Role
from hub_runtime.hub import Hub
from image_archive.errors import ArchiveError
from tests.viewer_api.multipart import parts_of
from tests.viewer_api.region import new_hub, origin_of, part10, web_app

STUDY, SERIES = "1.2.826.0.1.3680043.10.99.1", "1.2.826.0.1.3680043.10.99.2"
EXPLICIT = "1.2.840.10008.1.2.1"
Element = tuple[int, bytes, bytes]

# pydicom says what it dislikes; the hub does not repeat it.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def honest(number: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = f"{SERIES}.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.PatientID, dataset.PatientName = "H1", "Zhao^Liu"
    dataset.Modality, dataset.InstanceNumber = "OT", number
    dataset.Rows = dataset.Columns = 4
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelRepresentation = 0
    dataset.PixelData = bytes(range(16))
    return dataset


def with_element(number: int, element: Element) -> bytes:
    """An instance with one element spliced in before its pixel data, as raw bytes."""
    data = part10(honest(number))
    tag, vr, value = element
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr in {b"OB", b"UN", b"UT", b"SQ", b"ZZ"}:
        head += struct.pack("<HI", 0, len(value))
    else:
        head += struct.pack("<H", len(value))
    place = data.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
    return data[:place] + head + value + data[place:]


HOSTILE: dict[str, Element] = {
    "odd VR": (0x00290011, b"ZZ", b"abcd"),
    "DS beyond a double": (0x00281052, b"DS", b"1e400 "),
    "DS not a number": (0x00281053, b"DS", b"NaN "),
    "IS with 5000 digits": (0x00281300, b"IS", b"9" * 5000),
    "US of one byte": (0x00286010, b"US", b"\1\2\3\4\5\6"),
    "markup in text": (0x00284000, b"LT", b"<script>alert(1)</script> "),
    "sequence cut short": (0x00283010, b"SQ", b"\xfe\xff\x00\xe0\xff\xff\0\0"),
    "private rubbish": (0x00291010, b"OB", bytes(range(256)) * 8),
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hub = new_hub(tmp_path_factory.mktemp("hostile"))
        store(hub, part10(honest(1)))
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def client(hub: Hub) -> FlaskClient:
    token = hub.access.tokens.create(
        "reader", [Role.RADIOLOGIST], None, datetime.now(UTC) + timedelta(days=1)
    )
    client = web_app(hub).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


def store(hub: Hub, data: bytes) -> bool:
    """Send one instance; False when the archive refuses it, which is as safe."""
    try:
        hub.archive.store_file(data, origin_of(hub.access.sites.get("sijing")))
    except ArchiveError:
        return False
    return True


@pytest.mark.parametrize("name", list(HOSTILE))
def test_one_hostile_instance_leaves_the_study_readable(
    hub: Hub, client: FlaskClient, name: str
) -> None:
    number = 10 + list(HOSTILE).index(name)
    kept = store(hub, with_element(number, HOSTILE[name]))
    answer = client.get(f"/dicom-web/studies/{STUDY}/metadata")
    assert answer.status_code == 200
    found = {one["00080018"]["Value"][0]: one for one in answer.get_json()}
    assert found[f"{SERIES}.1"]["00280010"]["Value"] == [4]
    assert (f"{SERIES}.{number}" in found) == kept
    url = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1"
    assert client.get(f"{url}/rendered", headers={"Accept": "image/png"}).status_code == 200
    if kept:
        hostile = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.{number}"
        for path in ("", "/frames/1", "/rendered", "/thumbnail", "/bulkdata/7FE00010"):
            answer = client.get(hostile + path)
            assert answer.status_code in {200, 404}, (path, answer.status_code)


def test_an_instance_whose_bytes_are_lost_is_described_by_the_index(
    hub: Hub, client: FlaskClient
) -> None:
    assert store(hub, part10(honest(50)))
    record = hub.index.instance(f"{SERIES}.50")
    assert record is not None
    hub.base.backend.delete(record.storage_key)
    answer = client.get(f"/dicom-web/studies/{STUDY}/metadata")
    found = {one["00080018"]["Value"][0]: one for one in answer.get_json()}
    assert found[f"{SERIES}.50"]["00280010"]["Value"] == [4]
    lost = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.50"
    for path in ("", "/frames/1", "/rendered", "/bulkdata/7FE00010"):
        assert client.get(lost + path).status_code == 404


def test_file_meta_inside_a_dataset_is_stripped_on_its_way_out(
    hub: Hub, client: FlaskClient
) -> None:
    data = part10(honest(60))
    meta_length = struct.unpack("<I", data[140:144])[0]
    false_syntax = b"1.2.840.10008.1.2.4.50"
    smuggled = struct.pack("<HH2sH", 0x0002, 0x0010, b"UI", len(false_syntax)) + false_syntax
    start = 144 + meta_length
    assert store(hub, data[:start] + smuggled + data[start:])
    url = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.60"
    accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
    (part,) = parts_of(client.get(url, headers={"Accept": accept}))
    assert false_syntax not in part.body
    assert dcmread(io.BytesIO(part.body)).PixelData == bytes(range(16))


TINY = 400_000
_TINY_TAGS = [
    struct.pack("<HH2sH", 0x0029 + number // 0xE000 * 2, 0x1000 + number % 0xE000, b"LO", 0)
    for number in range(TINY)
]
_SEQUENCE = struct.pack("<HH2sHI", 0x0028, 0x3010, b"SQ", 0, 0xFFFFFFFF)
_ITEM = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
_ENDS = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
_ICON = struct.pack("<HHI", 0xFFFE, 0xE000, 12) + struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OW", 0, 0)


def _defined(tag: int, content: bytes) -> bytes:
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(content)) + content


SWOLLEN: dict[str, bytes] = {
    "at the top": b"".join(_TINY_TAGS),
    "in a sequence": _SEQUENCE + _ITEM + b"".join(_TINY_TAGS) + _ENDS,
    "in a sequence of known length": _defined(
        0x00283010, struct.pack("<HHI", 0xFFFE, 0xE000, 8 * TINY) + b"".join(_TINY_TAGS)
    ),
    "behind the pixels of an icon": _defined(0x00880200, _ICON) + b"".join(_TINY_TAGS),
    "one text of many megabytes": struct.pack("<HH2sHI", 0x29, 0x10, b"UT", 0, 8 << 20)
    + b"x" * (8 << 20),
}


@pytest.mark.parametrize("name", list(SWOLLEN))
def test_a_swollen_header_costs_the_serving_process_little(
    hub: Hub, client: FlaskClient, name: str
) -> None:
    number = 70 + list(SWOLLEN).index(name)
    data = part10(honest(number))
    place = data.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
    assert store(hub, data[:place] + SWOLLEN[name] + data[place:])
    url = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.{number}/metadata"
    tracemalloc.start()
    try:
        (found,) = client.get(url).get_json()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20, f"{peak >> 20} MiB"
    assert found["00080018"]["Value"] == [f"{SERIES}.{number}"]
    assert found["00280010"]["Value"] == [4]
    study = client.get(f"/dicom-web/studies/{STUDY}/metadata").get_json()
    whole = next(one for one in study if one["00080018"]["Value"] == [f"{SERIES}.1"])
    assert whole["00280002"]["Value"] == [1], "its neighbours are read as ever"
