"""The version ledger follows what happens: each cause with a control that changes nothing."""

import pytest
from sqlalchemy import update

from eir_versions import reasons
from eir_versions.ledger import version_history
from eir_versions.model import Version
from hub_kernel.events import (
    ConsentRecorded,
    InstancesRejected,
    LinkChanged,
    ReportReceived,
    StudyCompleted,
    VersionRendered,
    new_event,
)
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from image_archive.model import StudyState
from image_archive.tables import INSTANCE
from tests.eir_versions.documents import key_object, report
from tests.eir_versions.hubs import STUDY, Hub, slice_of

EAST = AssigningAuthority("EAST", "1.2.3.4")
NAMES = ("diagnostic", "clinical", "public")


def patient(hub: Hub) -> PatientIdentifier:
    study = hub.parts.index.study(STUDY)
    assert study is not None
    return study.patient


def versions(hub: Hub) -> dict[str, Version | None]:
    return {name: hub.service.version(STUDY, name) for name in NAMES}


def told(hub: Hub, kind: type, **fields: object) -> None:
    hub.tell(new_event(kind, hub.clock, **fields))


def test_a_rejection_is_followed_at_once(hub: Hub) -> None:
    hub.store(*(slice_of(number) for number in range(3)))
    hub.complete()
    before = versions(hub)
    told(hub, InstancesRejected, study_instance_uid=STUDY)
    assert versions(hub) == before, "nothing has been taken back yet"
    hub.store(key_object(1, "113001", f"{STUDY}.1.2"))
    hub.rejections.mark(
        new_event(StudyCompleted, hub.clock, study_instance_uid=STUDY, site_id="east", generation=1)
    )
    (rejected,) = [one for one in hub.published if isinstance(one, InstancesRejected)]
    hub.tell(rejected)
    for name in NAMES:
        version = hub.version(name)
        assert version.cause == "InstancesRejected"
        shown = {one.sop_instance_uid for one in version.pictures}
        listed = {one.sop_instance_uid for one in hub.service.sources(version.version_id)}
        assert f"{STUDY}.1.2" not in shown | listed
    after = versions(hub)
    hub.tell(rejected)
    assert versions(hub) == after, "the same event again changes nothing"


def shown(hub: Hub) -> set[str]:
    version = hub.service.shown_version(STUDY, "public")
    return {one.sop_instance_uid for one in version.pictures} if version else set()


def test_what_is_rejected_is_not_shown_before_the_versions_follow(hub: Hub) -> None:
    hub.store(*(slice_of(number) for number in range(3)))
    hub.complete()
    middle = f"{STUDY}.1.2"
    small = hub.service.thumbnail(study_uid=STUDY)
    assert shown(hub) == {one.sop_instance_uid for one in hub.version("public").pictures}
    assert middle in shown(hub)
    hub.store(key_object(1, "113001", middle))
    hub.rejections.mark(
        new_event(StudyCompleted, hub.clock, study_instance_uid=STUDY, site_id="east", generation=1)
    )
    assert middle in {one.sop_instance_uid for one in hub.version("public").pictures}
    assert middle not in shown(hub)
    assert hub.service.thumbnail(study_uid=STUDY).sha256 != small.sha256


def test_bytes_that_gave_way_to_others_are_not_shown_before_the_versions_follow(hub: Hub) -> None:
    hub.store(slice_of(0), slice_of(1, series=2))
    hub.complete()
    first, second = f"{STUDY}.1.1", f"{STUDY}.2.2"
    assert shown(hub) == {first, second}
    with hub.database.unit_of_work() as work:
        work.session.execute(
            update(INSTANCE)
            .where(INSTANCE.c.sop_instance_uid == first)
            .values(dataset_sha256="0" * 64)
        )
    assert shown(hub) == {second}


def test_a_study_taken_back_whole_leaves_no_version_in_force(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete()
    hub.store(key_object(1, "113001", f"{STUDY}.1.1"))
    completed = new_event(
        StudyCompleted, hub.clock, study_instance_uid=STUDY, site_id="east", generation=2
    )
    hub.rejections.mark(completed)
    hub.tell(completed)
    assert list(versions(hub).values()) == [None] * 3


def test_a_merge_gives_the_versions_to_the_other_person_and_draws_nothing_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.store(slice_of(0))
    identifier = patient(hub)
    hub.people.persons[identifier.value] = "P1"
    hub.complete()
    before = versions(hub)
    changed = {"identifier": identifier, "global_id": "P2"}
    told(hub, LinkChanged, **changed)
    assert versions(hub) == before, "the person is still the same"
    hub.people.persons[identifier.value] = "P2"
    monkeypatch.setattr(hub.parts.pool, "picture", _not_drawn)
    told(hub, LinkChanged, **changed)
    for name, earlier in before.items():
        now = hub.version(name)
        assert earlier is not None
        assert (now.global_id, now.cause) == ("P2", "LinkChanged")
        assert [one.sha256 for one in now.pictures] == [one.sha256 for one in earlier.pictures]
    hub.people.persons[identifier.value] = "P1"
    told(hub, LinkChanged, identifier=identifier, global_id="P1")
    assert hub.version("public").global_id == "P1", "and back, when the merge is taken back"
    assert len(history(hub, "public")) == 3
    hub.store(slice_of(1))
    with pytest.raises(NotImplementedError):  # the control: a new slice has to be drawn
        hub.complete(generation=2)


def test_a_link_that_comes_late_makes_no_version_anew(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete()
    identifier, before = patient(hub), versions(hub)
    hub.people.persons[identifier.value] = "P1"
    changed = {"identifier": identifier, "global_id": "P1"}
    told(hub, LinkChanged, **changed)
    told(hub, ReportReceived, study_instance_uid=STUDY, report_id="of another study")
    assert versions(hub) == before
    for name in NAMES:
        found = hub.service.explain(hub.version(name))
        assert found.proved, found.findings
    hub.people.refusing.add(identifier.value)
    told(hub, LinkChanged, **changed)
    public = hub.version("public")
    assert (public.pictures, public.global_id) == ((), "P1"), "the control: this person refuses"
    assert versions(hub)["clinical"] == before["clinical"]


def _not_drawn(*_asked: object) -> None:
    raise NotImplementedError


def test_a_refusal_empties_the_public_version_alone_until_it_is_taken_back(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete()
    identifier = patient(hub)
    before = versions(hub)
    fields = {"global_id": "P1", "identifiers": (identifier,), "sharing_ends": True}
    told(hub, ConsentRecorded, **fields)
    assert versions(hub) == before, "the control: a statement that refuses nothing here"
    hub.people.refusing.add(identifier.value)
    told(hub, ConsentRecorded, **fields)
    public = hub.version("public")
    assert (public.pictures, public.reason) == ((), reasons.CONSENT_REFUSED)
    assert versions(hub)["clinical"] == before["clinical"]
    hub.people.refusing.clear()
    told(hub, ConsentRecorded, **fields)
    assert hub.version("public").pictures


def test_a_presentation_state_makes_versions_of_the_next_generation(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete()
    first = hub.version("clinical")
    state = report(7, "a presentation state in the place of a report")
    state.SOPClassUID, state.Modality = "1.2.840.10008.5.1.4.1.1.11.1", "PR"
    hub.store(state)
    hub.complete(generation=2)
    second = hub.version("clinical")
    assert (second.generation, first.generation) == (2, 1)
    assert second.inputs_sha256 != first.inputs_sha256


def test_an_event_about_a_study_that_was_never_rendered_renders_nothing(hub: Hub) -> None:
    hub.store(slice_of(0))
    told(hub, InstancesRejected, study_instance_uid=STUDY)
    told(hub, ReportReceived, study_instance_uid=STUDY, report_id="1")
    assert list(versions(hub).values()) == [None] * 3
    study = hub.parts.index.study(STUDY)
    assert study is not None
    assert study.state is StudyState.RECEIVING


def test_every_version_is_announced_with_its_description(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete()
    for event in (one for one in hub.published if isinstance(one, VersionRendered)):
        with hub.backend.open(event.document_key) as stream:
            assert event.version_id.encode() in stream.read()


def test_a_key_object_selection_chooses_the_pictures(hub: Hub) -> None:
    hub.store(*(slice_of(number) for number in range(9)))
    hub.store(key_object(1, "113000", f"{STUDY}.1.2", f"{STUDY}.1.9"))
    hub.complete()
    clinical = hub.version("clinical")
    assert [one.sop_instance_uid for one in clinical.key_pictures] == [
        f"{STUDY}.1.2",
        f"{STUDY}.1.9",
    ]
    assert clinical.selection == f"kos 113000 {STUDY}.9.1"
    assert len(clinical.thumbnails) == 1


@pytest.mark.parametrize(
    ("title", "selected"),
    [("113010", f"{STUDY}.1.2"), ("113000", "1.2.3.4.5")],
    ids=["another-title", "nothing-of-this-study"],
)
def test_without_a_usable_selection_the_rule_chooses(hub: Hub, title: str, selected: str) -> None:
    hub.store(*(slice_of(number) for number in range(9)), key_object(1, title, selected))
    hub.complete()
    clinical = hub.version("clinical")
    assert clinical.selection == "rule"
    assert [one.sop_instance_uid for one in clinical.key_pictures] == [
        f"{STUDY}.1.{number}" for number in (3, 5, 7)
    ]


def test_the_patients_selection_wins_for_the_public(hub: Hub) -> None:
    hub.store(*(slice_of(number) for number in range(4)))
    hub.store(key_object(1, "113000", f"{STUDY}.1.2"), key_object(2, "113007", f"{STUDY}.1.4"))
    hub.complete()
    (shown,) = hub.version("public").pictures
    assert shown.sop_instance_uid == f"{STUDY}.1.4"
    assert hub.version("clinical").selection.startswith("kos 113000")


def test_every_key_picture_has_its_figures(hub: Hub) -> None:
    hub.store(slice_of(0))
    hub.complete()
    for name in ("clinical", "public"):
        for picture in hub.version(name).key_pictures:
            assert picture.compression_ratio
            assert picture.ssim is not None
            assert picture.psnr_db or picture.quality is None


def history(hub: Hub, recipe: str) -> tuple[Version, ...]:
    with hub.database.read() as session:
        return version_history(session, STUDY, recipe)
