"""The service on a real archive: versions are complete, idempotent, superseded and provable."""

import hashlib
import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy import func, select

from eir_versions import reasons
from eir_versions.encoders import decode_picture
from eir_versions.errors import (
    FrameNotFoundError,
    RenditionLostError,
    UnrenderableInstanceError,
)
from eir_versions.jobs import JPEG, PNG
from eir_versions.ledger import version_history
from eir_versions.model import RenderRequest
from eir_versions.pixels import Window
from eir_versions.tables import EirVersionRow
from hub_kernel.errors import InvalidValueError, NotFoundError
from hub_kernel.events import VersionRendered
from tests.eir_versions.builders import (
    SAMPLES,
    TEST_FILES,
    encapsulated,
    part10,
    rendered,
)
from tests.eir_versions.hubs import ORIGIN, STUDY, Hub, slice_of


def poisoned(number: int) -> Dataset:
    dataset = slice_of(number)
    garbage = imagecodecs.jpeg2k_encode(np.zeros((128, 128), np.uint8), codecformat="j2k")[:90]
    return encapsulated(dataset, [garbage])


def as_dataset(path: Path) -> Dataset:
    dataset = dcmread(path)
    dataset.StudyInstanceUID = STUDY
    return dataset


def test_a_completed_study_has_all_three_versions(hub: Hub) -> None:
    hub.store(*(slice_of(number) for number in range(9)))
    hub.complete()
    diagnostic, clinical, public = (
        hub.version(name) for name in ("diagnostic", "clinical", "public")
    )
    assert (diagnostic.pictures, diagnostic.source_count, diagnostic.reason) == ((), 9, "")
    assert [item.sop_instance_uid for item in clinical.key_pictures] == [
        f"{STUDY}.1.{number}" for number in (3, 5, 7)
    ]
    assert len(clinical.thumbnails) == 1
    assert len(public.pictures) == 1
    assert not [version for version in (diagnostic, clinical, public) if version.skipped_count]
    assert {type(event) for event in hub.published} >= {VersionRendered}
    rendered_events = [event for event in hub.published if isinstance(event, VersionRendered)]
    assert {event.recipe: event.version_id for event in rendered_events} == {
        version.recipe: version.version_id for version in (diagnostic, clinical, public)
    }


def test_the_diagnostic_version_lists_every_instance_with_its_digest(hub: Hub) -> None:
    hub.store(slice_of(0), slice_of(1))
    hub.complete()
    sources = hub.service.sources(hub.version("diagnostic").version_id)
    for source in sources:
        with hub.archive.open_dataset(source.sop_instance_uid) as stream:
            assert hashlib.sha256(stream.read()).hexdigest() == source.dataset_sha256
    assert len(sources) == 2


def test_clinical_pictures_are_the_rendered_slices_under_the_ceiling(hub: Hub) -> None:
    dataset = as_dataset(SAMPLES / "693_UNCR.dcm")
    hub.store(dataset)
    hub.complete()
    (picture,) = hub.version("clinical").key_pictures
    data = hub.service.picture_bytes(picture)
    assert hashlib.sha256(data).hexdigest() == picture.sha256
    assert picture.storage_key.startswith("renditions/")
    assert picture.compression_ratio is not None
    assert picture.compression_ratio <= 8.0
    assert picture.psnr_db is not None
    difference = decode_picture(data).astype(int) - rendered(SAMPLES / "693_UNCR.dcm")
    assert np.abs(difference).mean() < 2


def test_public_pictures_are_few_small_and_marked(hub: Hub) -> None:
    hub.store(*(slice_of(0, series) for series in range(1, 6)))
    hub.complete()
    public = hub.version("public")
    assert len(public.pictures) == 3
    for picture in public.pictures:
        assert max(picture.width, picture.height) <= 1024
        shown = decode_picture(hub.service.picture_bytes(picture))
        plain = rendered(slice_of(0))
        assert shown.shape[0] > plain.shape[0] * (shown.shape[1] // plain.shape[1])


def test_thin_slices_of_a_head_are_never_public(hub: Hub) -> None:
    hub.store(slice_of(0, BodyPartExamined="HEAD", SliceThickness="1"))
    hub.complete()
    public = hub.version("public")
    assert (public.pictures, public.reason) == ((), reasons.THIN_SLICE_HEAD)
    assert len(hub.version("clinical").key_pictures) == 1


def test_a_repeated_event_changes_nothing(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete()
    before = [hub.version(name) for name in ("diagnostic", "clinical", "public")]
    published = list(hub.published)
    hub.clock.advance(seconds=60)
    hub.complete()
    assert [hub.version(name) for name in ("diagnostic", "clinical", "public")] == before
    assert hub.published == published


def test_a_new_generation_supersedes_and_keeps_the_old(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete()
    first = hub.version("clinical")
    hub.clock.advance(seconds=60)
    hub.store(slice_of(1))
    hub.complete(generation=2)
    second = hub.version("clinical")
    assert (second.generation, len(second.key_pictures)) == (2, 2)
    old = hub.service.find_version(first.version_id)
    assert old is not None
    assert old.superseded_at == second.created_at
    with hub.database.read() as session:
        history = version_history(session, STUDY, "clinical")
        current = session.scalar(
            select(func.count())
            .select_from(EirVersionRow)
            .where(EirVersionRow.superseded_at.is_(None), EirVersionRow.recipe == "clinical")
        )
    assert [item.version_id for item in history] == [second.version_id, first.version_id]
    assert current == 1


def test_a_late_event_of_an_earlier_generation_changes_nothing(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete(generation=2)
    before = hub.version("clinical")
    hub.complete(generation=1)
    assert hub.version("clinical") == before


def test_a_later_generation_of_the_same_instances_keeps_its_pictures(hub: Hub) -> None:
    hub.store(slice_of(0), slice_of(1))
    hub.complete()
    first = hub.version("clinical")
    hub.complete(generation=2)
    second = hub.version("clinical")
    assert [(item.sha256, item.inputs_sha256) for item in first.pictures] == [
        (item.sha256, item.inputs_sha256) for item in second.pictures
    ]
    assert first.inputs_sha256 == second.inputs_sha256
    assert [item.storage_key for item in first.pictures] == [
        item.storage_key for item in second.pictures
    ]


def test_one_poisoned_instance_stops_nothing_and_is_listed(hub: Hub) -> None:
    hub.store(slice_of(0), slice_of(2))
    hub.archive.store_file(part10(poisoned(1), "1.2.840.10008.1.2.4.90"), ORIGIN)
    hub.complete()
    clinical = hub.version("clinical")
    assert len(clinical.key_pictures) == 2
    sources = {
        item.sop_instance_uid: item.reason for item in hub.service.sources(clinical.version_id)
    }
    assert sources[f"{STUDY}.1.2"] == reasons.DECODE_FAILED
    assert sources[f"{STUDY}.1.1"] == ""
    assert clinical.skipped_count == 1
    assert len(hub.version("public").pictures) == 1


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["test-SR.dcm", "rtplan.dcm", "waveform_ecg.dcm"])
def test_objects_without_pixels_give_versions_without_pictures(hub: Hub, name: str) -> None:
    hub.store(as_dataset(TEST_FILES / name))
    hub.complete()
    for recipe in ("clinical", "public"):
        version = hub.version(recipe)
        assert (version.pictures, version.reason) == ((), reasons.NO_IMAGE_OBJECTS)
    assert hub.version("diagnostic").source_count == 1
    with pytest.raises(UnrenderableInstanceError) as caught:
        hub.service.thumbnail(study_uid=STUDY)
    assert caught.value.reason == reasons.NO_PIXEL_DATA


def test_thumbnails_are_small_real_pictures_before_and_after_completion(hub: Hub) -> None:
    hub.store(*(slice_of(number) for number in range(3)))
    fresh = hub.service.thumbnail(study_uid=STUDY)
    hub.complete()
    stored = hub.service.thumbnail(study_uid=STUDY, series_uid=f"{STUDY}.1")
    assert fresh.data == stored.data
    image = Image.open(io.BytesIO(stored.data))
    assert (image.format, image.size) == ("JPEG", (128, 128))
    assert np.ptp(np.asarray(image)) > 200
    single = hub.service.thumbnail(instance=f"{STUDY}.1.1")
    assert single.data != stored.data


def test_a_thumbnail_of_nothing_is_not_found(hub: Hub) -> None:
    hub.store(slice_of(0))
    for asked in ({"study_uid": "1.2"}, {"study_uid": STUDY, "series_uid": "1.2"}):
        with pytest.raises(NotFoundError):
            hub.service.thumbnail(**asked)
    with pytest.raises(NotFoundError):
        hub.service.thumbnail(instance="1.2")
    with pytest.raises(InvalidValueError):
        hub.service.thumbnail()


def test_a_reader_gets_the_frame_window_size_and_format_asked_for(hub: Hub) -> None:
    hub.store(as_dataset(SAMPLES / "emri_small.dcm"))
    uid = dcmread(SAMPLES / "emri_small.dcm").SOPInstanceUID
    request = RenderRequest(uid, 3, Window(100, 1), (32, 16), PNG)
    picture = hub.service.rendered(request)
    assert (picture.media_type, picture.width, picture.height) == (PNG, 16, 16)
    full = hub.service.rendered(RenderRequest(uid, 3, media_type=PNG))
    other = hub.service.rendered(RenderRequest(uid, 4, media_type=PNG))
    assert full.data != other.data
    low = hub.service.rendered(RenderRequest(uid, quality=30))
    high = hub.service.rendered(RenderRequest(uid, quality=95))
    assert low.media_type == JPEG
    assert len(low.data) < len(high.data)


@pytest.mark.parametrize(
    "request_",
    [
        RenderRequest(f"{STUDY}.1.1", media_type="image/gif"),
        RenderRequest(f"{STUDY}.1.1", quality=0),
        RenderRequest(f"{STUDY}.1.1", viewport=(0, 5)),
        RenderRequest(f"{STUDY}.1.1", viewport=(99999, 5)),
        RenderRequest(f"{STUDY}.1.1", window=Window(float("nan"), 5)),
        RenderRequest(f"{STUDY}.1.1", window=Window(5, 0)),
    ],
)
def test_impossible_requests_are_refused(hub: Hub, request_: RenderRequest) -> None:
    hub.store(slice_of(0))
    with pytest.raises(InvalidValueError):
        hub.service.rendered(request_)


def test_frames_are_served_as_stored(hub: Hub) -> None:
    dataset = slice_of(0)
    hub.store(dataset)
    frame = hub.service.frame_bytes(dataset.SOPInstanceUID, 1)
    assert (frame.data, frame.transfer_syntax_uid) == (dataset.PixelData, "1.2.840.10008.1.2.1")
    for number in (0, 2, 2**40):
        with pytest.raises(FrameNotFoundError):
            hub.service.frame_bytes(dataset.SOPInstanceUID, number)
    with pytest.raises(NotFoundError):
        hub.service.frame_bytes("1.2", 1)


def test_a_compressed_frame_is_its_codestream(hub: Hub) -> None:
    path = TEST_FILES / "MR_small_jpeg_ls_lossless.dcm"
    hub.archive.store_file(path, ORIGIN)
    frame = hub.service.frame_bytes(dcmread(path).SOPInstanceUID, 1)
    assert frame.transfer_syntax_uid == "1.2.840.10008.1.2.4.80"
    assert frame.data.startswith(b"\xff\xd8\xff\xf7")


@pytest.mark.parametrize("packed", ["MR_small_jpeg_ls_lossless", "MR_small_RLE"])
def test_a_compressed_frame_is_decoded_for_readers_that_cannot(hub: Hub, packed: str) -> None:
    path = TEST_FILES / f"{packed}.dcm"
    hub.archive.store_file(path, ORIGIN)
    frame = hub.service.native_frame(dcmread(path).SOPInstanceUID, 1)
    assert frame.data == dcmread(TEST_FILES / "MR_small.dcm").PixelData
    assert frame.photometric == "MONOCHROME2"


def test_changed_picture_bytes_are_noticed_and_thumbnails_drawn_again(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete()
    (thumbnail,) = hub.version("clinical").thumbnails
    whole = hub.service.picture_bytes(thumbnail)
    pending = hub.backend.create()
    pending.write(whole[:-1] + b"\0")
    pending.publish(thumbnail.storage_key)
    with pytest.raises(RenditionLostError):
        hub.service.picture_bytes(thumbnail)
    assert hub.service.thumbnail(study_uid=STUDY).data == whole
    hub.backend.delete(thumbnail.storage_key)
    with pytest.raises(RenditionLostError):
        hub.service.picture_bytes(thumbnail)


def test_an_unknown_study_is_not_rendered(hub: Hub) -> None:
    with pytest.raises(NotFoundError):
        hub.complete("1.2.3")
    assert hub.service.version("1.2.3", "clinical") is None


def test_start_up_reconciliation_leaves_pictures_alone(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete()
    keys = sorted(hub.backend.keys("renditions"))
    report = hub.archive.reconcile(full=True)
    assert report.unrecognised == ()
    assert sorted(hub.backend.keys("renditions")) == keys
