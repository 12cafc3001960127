"""Text in pixels: found offline, held until a person decides, and gone once it is masked."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import deid_data
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pydicom import dcmread
from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from eir_versions import reasons
from eir_versions.decoding import DecoderPool
from eir_versions.deidentification.boxes import Box, TextBox, outside, parse_boxes
from eir_versions.deidentification.burned_in import Case, CaseState, Cause, Verdict, telling
from eir_versions.deidentification.desk import BurnedInDesk, Decision
from eir_versions.deidentification.gate import TextGate
from eir_versions.deidentification.text_finder import TextFinder
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.recipes import PUBLIC, BurnedIn, load_recipes
from eir_versions.service import EirParts, EirService
from hub_kernel.database import Database
from hub_kernel.errors import InvalidValueError, NotFoundError
from hub_kernel.events import BurnedInDecided, Event, StudyCompleted, new_event
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.outbox import Outbox
from image_archive.backends.filesystem import FilesystemBackend
from image_archive.index import ArchiveIndex
from image_archive.model import InstanceOrigin
from image_archive.service import ArchiveService
from tests.eir_versions.builders import image_dataset, part10
from tests.support.clock import FixedClock

ORIGIN = InstanceOrigin(
    "east", AssigningAuthority("EAST", "1.2.3.4"), "EASTCT", "EIRHUB", "127.0.0.1"
)
CHINESE = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SCAN = load_recipes().get(PUBLIC).burned_in or BurnedIn()


def written(text: str = "", size: int = 24, at: tuple[int, int] = (24, 30)) -> Dataset:
    """A CT of 384 x 384 with `text` in its pixels."""
    noise = np.random.default_rng(7).integers(30, 90, (384, 384), np.uint8)
    picture = Image.fromarray(noise)
    if text:
        font = ImageFont.truetype(CHINESE, size)
        ImageDraw.Draw(picture).text(at, text, fill=255, font=font)
    dataset = image_dataset(np.asarray(picture))
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    return dataset


@dataclass
class Room:
    """An archive with its versions and the desk."""

    archive: ArchiveService
    eir: EirService
    desk: BurnedInDesk
    clock: FixedClock

    def render(self, dataset: Dataset) -> str:
        """Archive one image and render its study; return the study's UID."""
        self.archive.store_file(part10(dataset), ORIGIN)
        self.clock.advance(seconds=120)
        self.archive.complete_quiet_studies()
        self.tell(
            new_event(
                StudyCompleted,
                self.clock,
                study_instance_uid=str(dataset.StudyInstanceUID),
                site_id="east",
                generation=1,
            )
        )
        return str(dataset.StudyInstanceUID)

    def shown(self, study: str) -> bytes | None:
        """The public picture, None where there is none."""
        version = self.eir.version(study, "public")
        assert version is not None
        pictures = version.key_pictures
        if not pictures:
            assert version.reason == reasons.BURNED_IN_TEXT
            return None
        return self.eir.picture_bytes(pictures[0])

    def case_of(self, study: str, state: CaseState = CaseState.HELD) -> Case:
        (found,) = [one for one in self.desk.cases(state, None) if one.study_instance_uid == study]
        return found

    def decide(self, case: Case, verdict: Verdict, *masks: Box) -> None:
        self.desk.decide(case, Decision(verdict, "Wu", "looked at it", masks), self.on_record)
        self.tell(
            new_event(BurnedInDecided, self.clock, study_instance_uid=case.study_instance_uid)
        )

    def tell(self, event: Event) -> None:
        for subscriber in self.eir.subscribers():
            if isinstance(event, subscriber.event_type):
                subscriber.handle(event)

    def on_record(self, _session: Session) -> None:
        """Stands where the audit trail stands."""


@pytest.fixture(scope="module")
def finder() -> Iterator[TextFinder]:
    finder = TextFinder()
    yield finder
    finder.stop()


@contextmanager
def opened_room(folder: Path, finder: TextFinder, pool: DecoderPool) -> Iterator[Room]:
    clock = FixedClock()
    database = Database(f"sqlite:///{folder / 'hub.sqlite'}", outbox=Outbox(), clock=clock)
    database.create_all()
    backend = FilesystemBackend(folder / "archive")
    archive, index = ArchiveService(database, backend, clock), ArchiveIndex(database)
    gate = TextGate(database, finder)
    eir = EirService(EirParts(database, archive, index, backend, pool, gate), load_recipes())
    yield Room(archive, eir, BurnedInDesk(database, gate, SCAN, eir.draw), clock)
    database.dispose()


@pytest.fixture(scope="module")
def room(
    tmp_path_factory: pytest.TempPathFactory, finder: TextFinder, pool: DecoderPool
) -> Iterator[Room]:
    with opened_room(tmp_path_factory.mktemp("room"), finder, pool) as made:
        yield made


@pytest.fixture
def bare_room(tmp_path: Path, pool: DecoderPool) -> Iterator[Room]:
    """A hub without the recogniser."""
    with opened_room(tmp_path, TextFinder(wanted=False), pool) as made:
        yield made


def ultrasound(name: str) -> Dataset:
    return dcmread(Path(deid_data.__file__).parent / "data" / "ultrasounds" / name)


def test_a_picture_without_text_is_shown(room: Room) -> None:
    study = room.render(written())
    assert room.shown(study)
    assert room.case_of(study, CaseState.CLEAN).cause is Cause.NONE


@pytest.mark.parametrize("text", ["王小东 男 56岁", "WANG XIAODONG 1970-04-27"])
def test_a_name_in_the_pixels_holds_the_picture_whatever_the_tags_say(
    room: Room, text: str
) -> None:
    dataset = written(text)
    dataset.BurnedInAnnotation = "NO"
    study = room.render(dataset)
    assert room.shown(study) is None
    case = room.case_of(study)
    assert case.cause is Cause.TEXT
    assert case.lines[0].text.replace(" ", "")[:3] == text.replace(" ", "")[:3]


def test_a_side_marker_holds_nothing(room: Room) -> None:
    assert room.shown(room.render(written("L", size=40)))


def test_fake_names_in_real_ultrasounds_are_held(room: Room) -> None:
    study = room.render(ultrasound("RGB_IMAGE.dcm"))
    assert room.shown(study) is None
    assert any("MARY" in line.text for line in room.case_of(study).lines)


def test_what_is_masked_is_black_in_the_public_picture_and_then_shown(room: Room) -> None:
    study = room.render(written("张伟 440106199001011234"))
    case = room.case_of(study)
    room.decide(case, Verdict.MASK)
    shown = room.shown(study)
    assert shown is not None
    box = case.lines[0].box
    picture = np.asarray(Image.open(io.BytesIO(shown)).convert("L")).astype(int)
    inner = picture[box.top + 4 : box.top + box.height - 4, box.left + 4 : box.left + box.width - 4]
    assert np.median(inner) < 30
    assert np.median(picture[200:300, 100:300]) > 30


def test_masks_that_leave_text_are_refused(room: Room) -> None:
    study = room.render(written("李四 13800138000", at=(24, 60)))
    with pytest.raises(InvalidValueError, match="still found"):
        room.decide(room.case_of(study), Verdict.MASK, Box(0, 300, 50, 50))
    assert room.shown(study) is None


def test_what_a_person_clears_is_shown_and_what_is_kept_stays_held(room: Room) -> None:
    study = room.render(written("FOV 350 mm", at=(24, 90)))
    case = room.case_of(study)
    room.decide(case, Verdict.KEEP)
    assert room.shown(study) is None
    room.decide(case, Verdict.CLEAR)
    assert room.shown(study)


def test_a_decision_needs_a_reason_and_a_case(room: Room) -> None:
    study = room.render(written("赵六", at=(24, 120)))
    case = room.case_of(study)
    for reason in ("", "  ", "a\nb", "x" * 401):
        with pytest.raises(InvalidValueError):
            room.desk.decide(case, Decision(Verdict.CLEAR, "Wu", reason), room.on_record)
    for case_id in ("nobody", "00000000-0000-0000-0000-000000000000", "\x00"):
        with pytest.raises(NotFoundError):
            room.desk.case(case_id)
    assert room.shown(study) is None


def test_a_stated_yes_and_a_secondary_capture_wait_for_a_person(room: Room) -> None:
    stated, captured = written(), written()
    stated.BurnedInAnnotation = "YES"
    captured.SOPClassUID = SECONDARY_CAPTURE
    causes = [room.case_of(room.render(one)).cause for one in (stated, captured)]
    assert causes == [Cause.STATED, Cause.KIND]


def test_an_ultrasound_in_which_nothing_is_found_is_shown(room: Room) -> None:
    dataset = written()
    dataset.Modality, dataset.SOPClassUID = "US", ULTRASOUND
    assert room.shown(room.render(dataset))


def test_without_the_recogniser_the_kinds_that_carry_text_stay_held(bare_room: Room) -> None:
    plain, kind = written("王小东"), written()
    kind.Modality, kind.SOPClassUID = "US", ULTRASOUND
    study = bare_room.render(kind)
    assert bare_room.shown(study) is None
    # The control: nothing looks, so the name in a CT is not seen.
    assert bare_room.shown(bare_room.render(plain))
    bare_room.decide(bare_room.case_of(study), Verdict.CLEAR)
    assert bare_room.shown(study)


def test_outside_of_the_ultrasound_regions_everything_is_proposed_to_be_masked(
    room: Room,
) -> None:
    dataset = written("NAME 12345", at=(10, 4), size=18)
    dataset.Modality, dataset.SOPClassUID = "US", ULTRASOUND
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 20, 60
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 363, 363
    dataset.SequenceOfUltrasoundRegions = [region]
    case = room.case_of(room.render(dataset))
    assert Box(0, 0, 384, 60) in case.proposed
    assert Box(364, 60, 20, 304) in case.proposed


def test_a_picture_that_breaks_the_recogniser_holds_and_the_next_one_is_looked_at(
    finder: TextFinder,
) -> None:
    with pytest.raises(UnrenderableInstanceError):
        finder.find(b"\x89PNG\r\n\x1a\n" + b"\0" * 400)
    blank = io.BytesIO()
    Image.new("L", (64, 64)).save(blank, "PNG")
    assert finder.find(blank.getvalue()) == ()


def test_specks_and_markers_tell_nothing_and_one_chinese_character_does() -> None:
    def line(text: str, score: float = 0.9) -> TextBox:
        return TextBox(Box(0, 0, 9, 9), text, score)

    assert telling([line("C"), line("R"), line("ap"), line("王小东", 0.2), line("--")], SCAN) == ()
    assert len(telling([line("王"), line("WANG"), line("12")], SCAN)) == 3


def test_rectangles_are_read_as_numbers_and_nothing_else() -> None:
    assert parse_boxes("1,2,3,4 5,6,7,8") == (Box(1, 2, 3, 4), Box(5, 6, 7, 8))
    for text in ("1,2,3", "1,2,0,4", "a,b,c,d", "-1,2,3,4", "1,2,3,99999999999", "1,1,1,1 " * 201):
        with pytest.raises(InvalidValueError):
            parse_boxes(text)
    assert outside((), 100, 100) == ()
