"""Presentation states in versions and on demand: applied, recorded, and bound to their study."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from eir_versions import reasons
from eir_versions.encoders import decode_picture
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.explaining import Explanation
from eir_versions.jobs import PNG
from eir_versions.model import PictureKind, RenderRequest
from eir_versions.presentation_states import ANGIOGRAPHY, COLOUR
from hub_kernel.errors import NotFoundError
from tests.eir_versions.builders import image_dataset, item, presentation_state
from tests.eir_versions.hubs import STUDY, Hub
from tests.eir_versions.test_subtraction import WINDOW, angiogram

CANARY = "QXZ089JVKW"
VALUES = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)


def image(study: str = STUDY) -> Dataset:
    dataset = image_dataset(VALUES, WindowCenter="80", WindowWidth="160", Rows=64, Columns=96)
    dataset.StudyInstanceUID = study
    return dataset


def state(of: Dataset, center: str, made: str = "120000", **changes: object) -> Dataset:
    window = item(WindowCenter=center, WindowWidth="1")
    return presentation_state(
        of, SoftcopyVOILUTSequence=[window], PresentationCreationTime=made, **changes
    )


def whites(hub: Hub) -> list[int]:
    """How many pixels of each key picture of the clinical version are light."""
    shown = [decode_picture(hub.service.picture_bytes(one)) for one in keys(hub)]
    return [int((picture > 127).sum()) for picture in shown]


def keys(hub: Hub) -> tuple[object, ...]:
    return hub.version("clinical").key_pictures


def test_the_clinical_version_is_drawn_as_the_latest_state_has_it(hub: Hub) -> None:
    dataset = image()
    first, second = state(dataset, "30", "100000"), state(dataset, "60", "110000")
    hub.store(dataset, second, first)
    hub.complete()
    (picture,) = hub.version("clinical").key_pictures
    assert second.SOPInstanceUID in picture.job
    assert whites(hub) == [int((VALUES > 59.5).sum())]


def test_a_state_that_comes_later_makes_the_version_anew(hub: Hub) -> None:
    dataset = image()
    hub.store(dataset)
    hub.complete()
    before = hub.version("clinical")
    hub.store(state(dataset, "60"))
    hub.complete(generation=2)
    after = hub.version("clinical")
    assert before.version_id != after.version_id
    assert whites(hub) == [int((VALUES > 59.5).sum())]
    assert hub.version("public").key_pictures[0].job.count('"presentation_state_uid": ""') == 1


def test_a_state_that_cannot_be_applied_costs_no_picture(hub: Hub) -> None:
    dataset = image()
    undone = state(dataset, "60", SOPClassUID=COLOUR)
    blending = state(dataset, "60", SOPClassUID=f"{COLOUR[:-1]}4")
    hub.store(dataset, undone, blending)
    hub.complete()
    (picture,) = hub.version("clinical").key_pictures
    assert '"presentation_state_uid": ""' in picture.job
    # Both are named among what the version is made of: not applied here, and never applied.
    sources = hub.service.sources(hub.version("clinical").version_id)
    why = {one.sop_instance_uid: one.reason for one in sources}
    assert why[undone.SOPInstanceUID] == reasons.PRESENTATION_STATE
    assert why[blending.SOPInstanceUID] == reasons.STATE_NOT_APPLIED
    assert why[dataset.SOPInstanceUID] == ""


def angiogram_state(of: Dataset, *said: Dataset, **attributes: object) -> Dataset:
    """What a device showed: the first frame subtracted, a person's name written over it."""
    label = item(
        UnformattedTextValue=CANARY,
        AnchorPointAnnotationUnits="PIXEL",
        AnchorPoint=[1.0, 1.0],
        AnchorPointVisibility="N",
    )
    return presentation_state(
        of,
        ANGIOGRAPHY,
        RecommendedViewingMode="SUB",
        MaskSubtractionSequence=list(said) or [item(MaskOperation="AVG_SUB", MaskFrameNumbers=[1])],
        SoftcopyVOILUTSequence=[item(**WINDOW)],
        GraphicAnnotationSequence=[item(GraphicLayer="A", TextObjectSequence=[label])],
        ContentLabel=CANARY,
        ContentDescription=CANARY,
        **attributes,
    )


def key_steps(found: Explanation, frame: int) -> tuple[str, ...]:
    keys = [one for one in found.pictures if one.picture.kind is PictureKind.KEY]
    return next(one.steps for one in keys if one.picture.frame_number == frame)


def test_an_angiogram_is_shown_as_the_device_showed_it_and_every_step_is_named(hub: Hub) -> None:
    dataset = angiogram(StudyInstanceUID=STUDY)
    made = angiogram_state(dataset)
    hub.store(dataset, made)
    hub.complete()
    found = hub.service.explain(hub.version("clinical"))
    assert found.proved, found.findings
    told = key_steps(found, 3)
    assert f"as presentation state {made.SOPInstanceUID} has it, whatever the image says" in told
    assert "mask: frame 1 subtracted from frame 3" in told
    assert "0 graphics and 1 texts drawn" in told


def test_why_a_state_was_not_applied_is_said_beside_the_picture(hub: Hub) -> None:
    dataset = angiogram(StudyInstanceUID=STUDY)
    undone = angiogram_state(dataset, item(MaskOperation="AVG_SUB", MaskFrameNumbers=[9]))
    hub.store(dataset, undone)
    hub.complete()
    version = hub.version("clinical")
    why = {one.sop_instance_uid: one.reason for one in hub.service.sources(version.version_id)}
    assert why[undone.SOPInstanceUID] == reasons.STATE_NOT_POSSIBLE
    found = hub.service.explain(version)
    assert found.proved, found.findings
    told = key_steps(found, 3)
    uid = undone.SOPInstanceUID
    assert told[0] == (
        f"presentation state {uid} is not applied: a frame that it takes does not exist"
    )
    assert "mask: frame 1 subtracted from frame 3" in told, "as the image itself asks"


def test_what_a_state_writes_over_a_picture_never_reaches_the_public(hub: Hub) -> None:
    dataset = angiogram(StudyInstanceUID=STUDY)
    hub.store(dataset)
    hub.complete()
    before = [one.sha256 for one in hub.version("public").pictures]
    seen = [one.sha256 for one in keys(hub)]
    hub.store(angiogram_state(dataset))
    hub.complete(generation=2)
    public = hub.version("public")
    assert before
    assert [one.sha256 for one in public.pictures] == before
    assert [one.sha256 for one in keys(hub)] != seen, "the control: the ward sees the text"
    for one in public.pictures:
        assert CANARY.encode() not in hub.service.picture_bytes(one) + one.job.encode()


def test_a_reader_asks_for_a_state_by_name(hub: Hub) -> None:
    dataset = image()
    made = state(dataset, "60")
    hub.store(dataset, made)
    asked = RenderRequest(
        dataset.SOPInstanceUID, media_type=PNG, presentation_state_uid=made.SOPInstanceUID
    )
    picture = decode_picture(hub.service.rendered(asked).data)
    assert (picture == np.where(VALUES > 59.5, 255, 0)).all()


def test_a_state_of_another_study_does_not_exist_here(hub: Hub) -> None:
    mine, other = image(), image(f"{STUDY}.9")
    foreign = state(mine, "60")
    foreign.StudyInstanceUID = other.StudyInstanceUID
    foreign.SeriesInstanceUID = f"{STUDY}.9.1"
    hub.store(mine, other, foreign)
    asked = RenderRequest(mine.SOPInstanceUID, presentation_state_uid=foreign.SOPInstanceUID)
    with pytest.raises(NotFoundError):
        hub.service.rendered(asked)
    with pytest.raises(NotFoundError):
        hub.service.rendered(RenderRequest(mine.SOPInstanceUID, presentation_state_uid="1.2.3"))


def test_an_image_is_no_presentation_state(hub: Hub) -> None:
    dataset, second = image(), image()
    hub.store(dataset, second)
    asked = RenderRequest(dataset.SOPInstanceUID, presentation_state_uid=second.SOPInstanceUID)
    with pytest.raises(UnrenderableInstanceError):
        hub.service.rendered(asked)
