"""Read what the index needs from a dataset, up to its pixels (DICOM PS3.3 C.7.1 to C.7.6.3).

A value that is odd but harmless is left empty and the instance is kept; a value that would make
every later reader allocate or compute without bound refuses the instance.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from hub_kernel.identifiers import require_uid
from hub_kernel.person_names import PersonName, decode_person_name, decode_text
from image_archive.elements import Element, Elements, Wanted
from image_archive.errors import UnreadableInstanceError
from image_archive.keys import InstanceNames
from image_archive.urgency import PRIORITIES, is_emergency

_NESTED_PATIENT_ID = 0x00100020
_SCHEDULED_STEP_ID = 0x00400009
_REQUESTED_PROCEDURE_ID = 0x00401001
_REQUEST_ATTRIBUTES_SEQUENCE = 0x00400275
_TIMEZONE_OFFSET = 0x00080201
_OTHER_PATIENT_IDS = 0x00101000
_OTHER_PATIENT_IDS_SEQUENCE = 0x00101002
_MOST_OTHER_IDS = 16
_MOST_FRAMES = 2**31 - 1

_SPECIFIC_CHARACTER_SET = 0x00080005
_NUMBER_OF_FRAMES = 0x00280008

# Attributes of the image pixel module that must be US (PS3.3 C.7.6.3); UN is how a gateway that
# does not know an attribute passes it on.
_UNSIGNED_SHORTS = {
    0x00280002: "Samples per Pixel",
    0x00280010: "Rows",
    0x00280011: "Columns",
    0x00280100: "Bits Allocated",
}

_PATIENT = (0x00100010, 0x00100020, 0x00100030, 0x00100040, _OTHER_PATIENT_IDS)
_STUDY = (
    0x00080020, 0x00080030, 0x00080050, 0x00080090, 0x00081030, 0x0020000D, 0x00200010,
    _TIMEZONE_OFFSET,
)  # fmt: skip
_SERIES = (
    0x00080021, 0x00080031, 0x00080060, 0x00080080, 0x00081010, 0x0008103E, 0x00180015, 0x0020000E,
    0x00200011, 0x00400244, 0x00400245,
)  # fmt: skip

WANTED = Wanted(
    top=frozenset(
        {
            _SPECIFIC_CHARACTER_SET, 0x00080016, 0x00080018, 0x00200013, _NUMBER_OF_FRAMES,
            *_PATIENT, *_STUDY, *_SERIES, *_UNSIGNED_SHORTS, *PRIORITIES,
        }
    ),
    nested=frozenset(
        {_NESTED_PATIENT_ID, _SCHEDULED_STEP_ID, _REQUESTED_PROCEDURE_ID, *PRIORITIES}
    ),
    sequences=frozenset({_OTHER_PATIENT_IDS_SEQUENCE, _REQUEST_ATTRIBUTES_SEQUENCE}),
)  # fmt: skip


@dataclass(frozen=True)
class PatientAttributes:
    """The patient as sent. `patient_id` is empty where the dataset has none."""

    patient_id: str
    name: PersonName
    birth_date: date | None
    sex: str
    other_ids: tuple[str, ...]


@dataclass(frozen=True)
class StudyAttributes:
    """Attributes of the study level; `timezone_offset` as `+0800`, empty where none was sent."""

    study_instance_uid: str
    study_id: str
    study_date: date | None
    study_time: str
    accession_number: str
    description: str
    referring_physician_name: PersonName
    timezone_offset: str = ""


@dataclass(frozen=True)
class SeriesAttributes:
    """Attributes of the series level; the two IDs are those of the first request it answers."""

    series_instance_uid: str
    modality: str
    series_number: int | None
    description: str
    body_part_examined: str
    series_date: date | None
    series_time: str
    institution_name: str
    station_name: str
    performed_start_date: date | None = None
    performed_start_time: str = ""
    scheduled_step_id: str = ""
    requested_procedure_id: str = ""


@dataclass(frozen=True)
class InstanceHeader:
    """Everything the index knows of one dataset; `rows` and `columns` are 0 without pixels."""

    sop_class_uid: str
    sop_instance_uid: str
    patient: PatientAttributes
    study: StudyAttributes
    series: SeriesAttributes
    instance_number: int | None
    rows: int
    columns: int
    number_of_frames: int
    bits_allocated: int = 0
    emergency: bool = False

    @property
    def names(self) -> InstanceNames:
        """What it is told from all others by."""
        return InstanceNames(
            self.patient.patient_id,
            self.study.study_instance_uid,
            self.series.series_instance_uid,
            self.sop_instance_uid,
        )


def interpret(elements: Elements, *, big_endian: bool, charset_habit: str) -> InstanceHeader:
    """Return the typed header of a walked dataset.

    Raises:
        UnreadableInstanceError: a UID that identifies the instance is missing, or its pixel
            description is impossible.
        InvalidUidError: such a UID breaks PS3.5 9.1.
    """
    values = _Values(_Level(tuple(elements.top.items()), _declared(elements), charset_habit))
    pixels = _checked_pixels(values, elements, big_endian=big_endian)
    return InstanceHeader(
        sop_class_uid=values.uid(0x00080016, "SOP Class UID"),
        sop_instance_uid=values.uid(0x00080018, "SOP Instance UID"),
        patient=_patient(values.level(_PATIENT), _nested_ids(elements)),
        study=_study(values.level(_STUDY)),
        series=_series(values.level(_SERIES), _request_ids(elements)),
        instance_number=values.integer(0x00200013),
        rows=pixels.rows,
        columns=pixels.columns,
        number_of_frames=pixels.frames,
        bits_allocated=pixels.bits or 0,
        emergency=is_emergency(elements),
    )


def _declared(elements: Elements) -> tuple[str, ...]:
    """Return Specific Character Set; an empty first value stands for the default repertoire."""
    element = elements.top.get(_SPECIFIC_CHARACTER_SET)
    raw = element.value.strip(b" \0") if element else b""
    return tuple([term.strip() for term in raw.decode("ascii", "replace").split("\\")])


class _Level(NamedTuple):
    """The elements of one level as sent, which many instances have in common."""

    elements: tuple[tuple[int, Element], ...]
    declared: tuple[str, ...]
    habit: str


class _Values:
    """Typed reading of raw element values."""

    def __init__(self, level: _Level) -> None:
        self._top = dict(level.elements)
        self._declared = level.declared
        self._habit = level.habit

    def level(self, tags: tuple[int, ...]) -> _Level:
        """Return those elements, as they are compared and remembered."""
        top = self._top
        found = tuple([(tag, top[tag]) for tag in tags if tag in top])
        return _Level(found, self._declared, self._habit)

    def raw(self, tag: int) -> bytes:
        element = self._top.get(tag)
        return element.value.strip(b" \0") if element else b""

    def uid(self, tag: int, what: str) -> str:
        raw = self.raw(tag)
        if not raw:
            raise UnreadableInstanceError(f"dataset has no {what}")
        return require_uid(raw.decode("ascii", "replace"), what)

    def text(self, tag: int, limit: int) -> str:
        """Return the text, at most `limit` characters of it, without NUL."""
        return self.decode(self.raw(tag))[:limit]

    def decode(self, raw: bytes) -> str:
        if raw.isascii() and b"\x1b" not in raw:
            return raw.decode("ascii").replace("\0", "")
        return _decode(raw, self._declared, self._habit).replace("\0", "").strip()

    def name(self, tag: int) -> PersonName:
        return _decode_name(self.raw(tag), self._declared, self._habit)

    def date(self, tag: int) -> date | None:
        return _date(self.raw(tag))

    def integer(self, tag: int) -> int | None:
        """Return an IS value, None where it is none that 32 bits hold."""
        raw = self.raw(tag)
        found = re.fullmatch(rb"[+-]?[0-9]{1,10}", raw)
        number = int(raw) if found else None
        return number if number is not None and -(2**31) <= number < 2**31 else None

    def unsigned_short(self, tag: int, what: str, *, big_endian: bool) -> int | None:
        """Return a US value, None where it is absent or empty."""
        element = self._top.get(tag)
        if element is None or not element.value:
            return None
        if element.vr not in {b"", b"US", b"UN", b"SS"} or len(element.value) != 2:
            raise UnreadableInstanceError(f"{what} must be one value of VR US")
        return int.from_bytes(element.value, "big" if big_endian else "little")


@lru_cache(maxsize=2048)
def _decode(raw: bytes, declared: tuple[str, ...], habit: str) -> str:
    return decode_text(raw, declared, habit).text


@lru_cache(maxsize=2048)
def _decode_name(raw: bytes, declared: tuple[str, ...], habit: str) -> PersonName:
    """Decode a name once for the many instances of a study; what does not fit a column is cut."""
    name = decode_person_name(raw, declared, habit)
    return PersonName(
        alphabetic=name.alphabetic.replace("\0", "")[:200],
        ideographic=name.ideographic.replace("\0", "")[:200],
        phonetic=name.phonetic.replace("\0", "")[:200],
        confident=name.confident,
        rule=name.rule,
    )


@lru_cache(maxsize=1024)
def _date(raw: bytes) -> date | None:
    """Read DA, and the form with dots of ACR-NEMA 2.0."""
    digits = raw.replace(b".", b"")
    if not re.fullmatch(rb"[0-9]{8}", digits):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


# A study's instances come one after the other, so a few levels of each kind are enough.
@lru_cache(maxsize=128)
def _patient(level: _Level, nested_ids: tuple[bytes, ...]) -> PatientAttributes:
    values = _Values(level)
    return PatientAttributes(
        patient_id=values.text(0x00100020, 64),
        name=values.name(0x00100010),
        birth_date=values.date(0x00100030),
        sex=values.text(0x00100040, 16),
        other_ids=_other_ids(values, nested_ids),
    )


@lru_cache(maxsize=128)
def _study(level: _Level) -> StudyAttributes:
    values = _Values(level)
    return StudyAttributes(
        study_instance_uid=values.uid(0x0020000D, "Study Instance UID"),
        study_id=values.text(0x00200010, 64),
        study_date=values.date(0x00080020),
        study_time=values.text(0x00080030, 28),
        accession_number=values.text(0x00080050, 64),
        description=values.text(0x00081030, 256),
        referring_physician_name=values.name(0x00080090),
        timezone_offset=_timezone_offset(values.raw(_TIMEZONE_OFFSET)),
    )


@lru_cache(maxsize=128)
def _series(level: _Level, request_ids: tuple[bytes, bytes]) -> SeriesAttributes:
    values = _Values(level)
    step, procedure = (values.decode(raw.strip(b" \0"))[:64] for raw in request_ids)
    return SeriesAttributes(
        series_instance_uid=values.uid(0x0020000E, "Series Instance UID"),
        modality=values.text(0x00080060, 16),
        series_number=values.integer(0x00200011),
        description=values.text(0x0008103E, 256),
        body_part_examined=values.text(0x00180015, 64),
        series_date=values.date(0x00080021),
        series_time=values.text(0x00080031, 28),
        institution_name=values.text(0x00080080, 256),
        station_name=values.text(0x00081010, 64),
        performed_start_date=values.date(0x00400244),
        performed_start_time=values.text(0x00400245, 28),
        scheduled_step_id=step,
        requested_procedure_id=procedure,
    )


def _timezone_offset(raw: bytes) -> str:
    """Return an offset from UTC as PS3.3 C.12.1.1.8 writes it, empty where it is none."""
    return raw.decode("ascii") if re.fullmatch(rb"[+-](0[0-9]|1[0-4])[0-5][0-9]", raw) else ""


def _request_ids(elements: Elements) -> tuple[bytes, bytes]:
    """Return Scheduled Procedure Step ID and Requested Procedure ID of the first request."""
    step = elements.nested.get(_SCHEDULED_STEP_ID, ())
    procedure = elements.nested.get(_REQUESTED_PROCEDURE_ID, ())
    return (step[0].value if step else b"", procedure[0].value if procedure else b"")


def _nested_ids(elements: Elements) -> tuple[bytes, ...]:
    return tuple([found.value for found in elements.nested.get(_NESTED_PATIENT_ID, ())])


def _other_ids(values: _Values, nested_ids: tuple[bytes, ...]) -> tuple[str, ...]:
    raw = [*values.raw(_OTHER_PATIENT_IDS).split(b"\\"), *nested_ids]
    texts = (values.decode(value.strip(b" \0"))[:64] for value in raw)
    return tuple(dict.fromkeys(text for text in texts if text))[:_MOST_OTHER_IDS]


@dataclass(frozen=True)
class _Pixels:
    rows: int
    columns: int
    frames: int
    samples: int | None
    bits: int | None
    data_bytes: int | None
    integer: bool

    @property
    def declared_bits(self) -> int:
        return self.rows * self.columns * self.frames * (self.samples or 1) * (self.bits or 1)


def _fits(pixels: _Pixels) -> bool:
    """Let a truncated last frame through, but not a description far beyond the data.

    Encapsulated pixels compress at most about 1:1000 in practice, but a frame takes at least a
    byte, so there only the number of frames is judged.
    """
    if pixels.data_bytes is None:
        return True
    return pixels.declared_bits <= 64 * 8 * max(pixels.data_bytes, 1024)


# What is refused when the dataset holds pixels; each rule lets every legitimate object through.
_PIXEL_RULES: tuple[tuple[str, Callable[[_Pixels], bool]], ...] = (
    ("Bits Allocated must be 1, 8, 12, 16, 24 or 32",
     lambda p: p.bits is None or not p.integer or p.bits in {1, 8, 12, 16, 24, 32}),
    ("Samples per Pixel must be 1 to 4", lambda p: p.samples is None or 1 <= p.samples <= 4),
    ("Rows, Columns and Number of Frames describe far more pixels than there are", _fits),
)  # fmt: skip


def _checked_pixels(values: _Values, elements: Elements, *, big_endian: bool) -> _Pixels:
    shorts = {
        tag: values.unsigned_short(tag, what, big_endian=big_endian)
        for tag, what in _UNSIGNED_SHORTS.items()
    }
    found = elements.pixels
    pixels = _Pixels(
        rows=shorts[0x00280010] or 0,
        columns=shorts[0x00280011] or 0,
        frames=_frames(values),
        samples=shorts[0x00280002],
        bits=shorts[0x00280100],
        data_bytes=found.length if found else None,
        integer=bool(found and found.tag == 0x7FE00010),
    )
    if found:
        for rule, holds in _PIXEL_RULES:
            if not holds(pixels):
                raise UnreadableInstanceError(rule)
    return pixels


def _frames(values: _Values) -> int:
    """Return Number of Frames, 1 where it is absent or empty."""
    raw = values.raw(_NUMBER_OF_FRAMES)
    if not raw:
        return 1
    found = re.fullmatch(rb"\+?([0-9]{1,10})(\.0*)?", raw)
    if not found or int(found.group(1)) > _MOST_FRAMES:
        raise UnreadableInstanceError("Number of Frames is not a number that 31 bits hold")
    return max(int(found.group(1)), 1)
