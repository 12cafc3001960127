"""Facts of slices from ready metadata are those of their headers."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from pydicom.data import get_testdata_file

from image_archive.model import Condition, InstanceRecord
from tests.viewer_api.region import Region, sample, settle, store
from viewer_api.dicomweb.json_model import Expression, dataset_to_json
from viewer_api.dicomweb.stored_object import read_object
from viewer_api.pages import slice_facts
from viewer_api.pages.json_header import JsonHeader

FILES = (
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_bigendian.dcm",
    "emri_small.dcm",
    "eCT_Supplemental.dcm",
    "examples_ybr_color.dcm",
    "JPEG2000.dcm",
    "rtdose.dcm",
)
STUDY = "1.2.826.0.1.3680043.10.1717.67"


def record_of(syntax: str, frames: int) -> InstanceRecord:
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    uids = ("1.2.3", "1.2", "1", "1.2.840.10008.5.1.4.1.1.2")
    pixels = (1, 4, 4, frames)
    return InstanceRecord(
        *uids, syntax, *pixels, "0" * 64, 1, "instances/x", moment, Condition.INTACT
    )


@pytest.mark.parametrize("name", FILES)
def test_both_sources_say_the_same(name: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    syntax = str(sample(name).file_meta.TransferSyntaxUID)
    with closing(Path(path).open("rb")) as file:
        stored = read_object(file, syntax)
        frames = int(stored.dataset.get("NumberOfFrames", 1))
        expression = Expression(bulk_root="/bulk", big_endian=stored.is_big_endian)
        in_json = JsonHeader(dataset_to_json(stored.dataset, expression))
        record = record_of(syntax, frames)
        assert slice_facts._known(in_json, record) == slice_facts._known(stored.dataset, record)
        if name in FILES[:3]:
            assert slice_facts._known(in_json, record).frames[0].plane is not None


def test_the_viewer_asks_no_file_of_a_completed_series(
    region: Region, radiologist: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        uids = {"StudyInstanceUID": STUDY, "SeriesInstanceUID": f"{STUDY}.1"}
        patient = {"PatientID": "FACTS1", "PatientName": "Facts^Of", "AccessionNumber": "FACTS-1"}
        own = {"SOPInstanceUID": f"{STUDY}.1.{number}", "InstanceNumber": number}
        placed = {"ImagePositionPatient": [0, 0, 5 * number]}
        store(region.hub, "sijing", sample("CT_small.dcm", **uids, **patient, **own, **placed))
    url = f"/studies/{STUDY}/series/{STUDY}.1/facts"
    from_files = radiologist.get(url).get_json()
    settle(region.hub, studies=1)
    monkeypatch.setattr(slice_facts, "read_object", None)
    assert radiologist.get(url).get_json() == from_files
    assert from_files["along"] == [5.0, 10.0, 15.0]
