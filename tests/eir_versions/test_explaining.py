"""Every claim of the ledger is tried again; what was changed behind its back is found."""

import shutil
from pathlib import Path

import pytest
from sqlalchemy import update

from eir_versions.decoding import DecoderPool
from eir_versions.explaining import Explanation, FindingKind
from eir_versions.recipes import load_recipes
from eir_versions.service import EirService
from eir_versions.tables import EirVersionPictureRow, EirVersionRow
from hub_kernel.config_files import shipped_config
from tests.eir_versions.hubs import Hub, slice_of


def explained(hub: Hub, recipe: str = "clinical") -> Explanation:
    return hub.service.explain(hub.version(recipe))


def kinds(found: Explanation) -> set[FindingKind]:
    return {one.kind for one in found.findings}


def flip(hub: Hub, key: str, place: int) -> None:
    path = Path(hub.backend.folder_of(key)) / Path(key).name
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.fixture
def rendered(hub: Hub) -> Hub:
    hub.store(*(slice_of(number) for number in range(3)))
    hub.complete()
    return hub


def test_each_version_is_proved(rendered: Hub) -> None:
    for recipe in ("diagnostic", "clinical", "public"):
        found = explained(rendered, recipe)
        assert found.proved, found.findings
        assert all(one.proved and one.steps for one in found.pictures)
    assert len(explained(rendered, "diagnostic").sources) == 3


def test_the_steps_say_what_was_done(rendered: Hub) -> None:
    (picture, *_) = explained(rendered).pictures
    told = "\n".join(picture.steps)
    assert "VOI: LINEAR centre 250 width 600" in told
    assert "128 x 128" in told
    assert "ratio at most 8" in told
    assert "watermark" in "\n".join(explained(rendered, "public").pictures[0].steps)


def test_a_flipped_byte_of_an_instance_is_found(rendered: Hub) -> None:
    (instance, *_) = rendered.parts.index.instances_of("1.2.826.0.1.3680043.10.7.1")
    flip(rendered, instance.storage_key, -9_000)
    assert FindingKind.SOURCE_DAMAGED in kinds(explained(rendered, "diagnostic"))
    assert {FindingKind.SOURCE_DAMAGED, FindingKind.PICTURE_DIFFERS} & kinds(explained(rendered))


def test_a_flipped_byte_of_a_picture_is_found(rendered: Hub) -> None:
    picture = rendered.version("clinical").pictures[0]
    flip(rendered, picture.storage_key, -20)
    assert kinds(explained(rendered)) == {FindingKind.PICTURE_DAMAGED}


def test_another_recipe_is_found(rendered: Hub, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shipped_config("recipes"), tmp_path / "recipes"))
    path = folder / "clinical.toml"
    path.write_text(path.read_text("utf-8").replace("quality = 80", "quality = 79"), "utf-8")
    rendered.service = EirService(rendered.parts, load_recipes(folder))
    found = kinds(explained(rendered))
    assert found == {FindingKind.RECIPE_CHANGED, FindingKind.INPUTS_CHANGED}
    assert explained(rendered, "public").proved


def test_a_job_changed_in_the_ledger_is_found(rendered: Hub) -> None:
    picture = rendered.version("clinical").key_pictures[0]
    with rendered.database.unit_of_work() as work:
        row = work.session.get_one(EirVersionPictureRow, picture.picture_id)
        row.job = row.job.replace('"quality": 80', '"quality": 81')
    assert FindingKind.JOB_CHANGED in kinds(explained(rendered))


def test_another_renderer_is_found(rendered: Hub) -> None:
    with rendered.database.unit_of_work() as work:
        work.session.execute(update(EirVersionRow).values(renderer_version="eir-0"))
    assert FindingKind.RENDERER_CHANGED in kinds(explained(rendered))


def test_a_new_instance_is_found_before_it_is_rendered(rendered: Hub, pool: DecoderPool) -> None:
    rendered.store(slice_of(4))
    assert kinds(explained(rendered)) == {FindingKind.INPUTS_CHANGED}
    assert pool.process_ids()
