"""Frames by remembered places are the bytes that are stored, whatever stands before the dataset."""

import io
from array import array
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from pydicom.encaps import generate_frames

from image_archive.errors import UnreadableInstanceError
from image_archive.reading import skip_file_meta
from tests.eir_versions.builders import real_files
from tests.viewer_api.multipart import parts_of
from tests.viewer_api.region import Region
from viewer_api.dicomweb import frame_places
from viewer_api.dicomweb.frame_places import FramePlaces
from viewer_api.dicomweb.stored_object import read_object
from viewer_api.errors import UnusableBytesError

DATASET = b"head" + b"AABBCC" + b"item" + b"DD"
NATIVE = FramePlaces(3, array("Q"), array("Q", [4]), array("Q", [2]))
IN_FRAGMENTS = FramePlaces(2, array("Q", [0, 1, 3]), array("Q", [4, 6, 14]), array("Q", [2, 4, 2]))


@pytest.mark.parametrize("meta", [b"", b"short", b"much longer file meta"])
def test_places_count_from_where_the_dataset_begins(meta: bytes) -> None:
    file = io.BytesIO(meta + DATASET)
    found = [NATIVE.frame(file, len(DATASET), number) for number in (3, 1, 2)]
    assert found == [b"CC", b"AA", b"BB"]
    assert IN_FRAGMENTS.frame(file, len(DATASET), 2) == b"BBCCDD"


@pytest.mark.parametrize("number", [0, 4])
def test_there_is_no_frame_beyond_the_last(number: int) -> None:
    with pytest.raises(UnusableBytesError):
        NATIVE.frame(io.BytesIO(DATASET), len(DATASET), number)


@pytest.mark.parametrize("kept", [DATASET[:7], b""])
def test_a_file_that_lost_its_end_gives_no_frame(kept: bytes) -> None:
    with pytest.raises(UnusableBytesError):
        NATIVE.frame(io.BytesIO(kept), len(DATASET), 3)


def test_the_second_answer_opens_no_header_and_is_the_same(
    region: Region, radiologist: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shown in (region.mr_multiframe, region.ct):
        dataset = shown.dataset
        count = int(dataset.get("NumberOfFrames", 1))
        stored = (
            list(generate_frames(dataset.PixelData, number_of_frames=count))
            if dataset.file_meta.TransferSyntaxUID.is_encapsulated
            else [dataset.PixelData]
        )
        asked = _asker(radiologist, shown.url)
        first = [asked(number) for number in range(1, count + 1)]
        with monkeypatch.context() as blind:
            blind.setattr("viewer_api.dicomweb.frames.open_stored", None)
            again = [asked(number) for number in range(1, count + 1)]
        assert first == again == stored


@pytest.mark.filterwarnings("ignore")  # pydicom says much about files made to be odd
def test_the_beginning_of_a_dataset_tells_what_its_whole_header_does(region: Region) -> None:
    found = region.hub.index.instance(str(region.ct.dataset.SOPInstanceUID))
    assert found is not None
    found_quickly = set()
    for name, path in real_files():
        file = io.BytesIO(path.read_bytes())
        with suppress(UnreadableInstanceError, UnusableBytesError), region.app.app_context():
            meta = skip_file_meta(file)
            record = replace(
                found,
                transfer_syntax_uid=meta.transfer_syntax_uid,
                dataset_bytes=len(file.getvalue()) - meta.dataset_offset,
                dataset_sha256=name,
            )
            quickly = frame_places.places_in(record, file)
            file.seek(0)
            wholly = frame_places.find_places(record, read_object(file, meta.transfer_syntax_uid))
            assert quickly in (None, wholly), name
            found_quickly.update({meta.transfer_syntax_uid} if quickly else ())
    assert len(found_quickly) > 8, "most transfer syntaxes take the quick way"


def test_what_was_found_in_a_damaged_file_is_not_believed_of_the_repaired_one(
    region: Region, tmp_path: Path
) -> None:
    found = region.hub.index.instance(str(region.mr_multiframe.dataset.SOPInstanceUID))
    assert found is not None
    stored, whole = tmp_path / "stored", tmp_path / "whole"
    with region.hub.archive.open_instance(found.sop_instance_uid) as file:
        data = file.read()
    first = data.index(b"\xff\x4f\xff\x51")  # of a frame in JPEG 2000; its length is before
    length = int.from_bytes(data[first - 4 : first], "little")
    item = b"\xfe\xff\x00\xe0" + (length - 16).to_bytes(4, "little")
    torn = item + data[first : first + length - 16] + b"\xfe\xff\x00\xe0\x08\0\0\0" + bytes(8)
    stored.write_bytes(data[: first - 8] + torn + data[first + length :])
    whole.write_bytes(data)
    frames = []
    for _ in range(2):
        with region.app.app_context(), stored.open("rb") as file:
            assert frame_places.known_places(found, file) is None
            places = frame_places.places_in(found, file)
            assert places is not None
            assert frame_places.known_places(found, file) is places
            frames.append(places.frame(file, found.dataset_bytes, 1))
        if whole.exists():
            whole.replace(stored)
    assert frames == [data[first : first + length - 16] + bytes(8), data[first : first + length]]


def test_what_is_kept_is_bounded_by_its_fragments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_places, "_MOST_FRAGMENTS", 10)
    known = frame_places._Known()
    for digest in "abab":
        known.put(digest, IN_FRAGMENTS)
    assert (known.get("a"), known.get("b")) == (None, IN_FRAGMENTS)
    known.put("c", NATIVE)
    assert known.get("b") is IN_FRAGMENTS


def _asker(client: FlaskClient, url: str) -> Callable[[int], bytes]:
    def ask(number: int) -> bytes:
        wanted = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
        answer = client.get(f"{url}/frames/{number}", headers={"Accept": wanted})
        assert answer.status_code == 200
        (part,) = parts_of(answer)
        return part.body

    return ask
