"""What a PET instance says of its activity, for SUV (DICOM PS3.3 C.8.9.1, C.8.9.2, C.8.9.4)."""

import math
from datetime import datetime, timedelta

from pydicom.dataset import Dataset

from eir_versions.headers import items, numbers, text
from eir_versions.pixels.suv import PetActivity, SuvScale, scan_start, suv_scale

_TIME = "%H%M%S"
_AXIS_WORDS = {"DECAY": "DECY"}  # QIBA's text has DECAY, PS3.3 has DECY; both are met


def suv_of(dataset: Dataset) -> SuvScale:
    """Return the factor from modality values to SUVbw, or the word for what is missing."""
    doses = items(dataset, "RadiopharmaceuticalInformationSequence")
    dose = doses[0] if doses else Dataset()
    half_life_s = _positive(dose, "RadionuclideHalfLife")
    frame = (
        _positive(dataset, "FrameReferenceTime"),
        _positive(dataset, "ActualFrameDuration"),
    )
    began = scan_start(
        _moment(dataset, "SeriesDate", "SeriesTime"),
        _moment(dataset, "AcquisitionDate", "AcquisitionTime"),
        (frame[0], frame[1]) if frame[0] is not None and frame[1] is not None else None,
        half_life_s,
    )
    return suv_scale(
        PetActivity(
            units=text(dataset, "Units").upper(),
            decay_correction=text(dataset, "DecayCorrection").upper(),
            corrections=_corrections(dataset),
            weight_kg=_positive(dataset, "PatientWeight"),
            dose_bq=_positive(dose, "RadionuclideTotalDose"),
            half_life_s=half_life_s,
            injected_at=_injected(dataset, dose, began),
            scan_began_at=began,
        )
    )


def _injected(dataset: Dataset, dose: Dataset, began: datetime | None) -> datetime | None:
    """The full date and time where given; else the time of the scan's day, or of the day before."""
    full = _parsed(text(dose, "RadiopharmaceuticalStartDateTime"))
    if full is not None or began is None:
        return full
    injected = _parsed(began.strftime("%Y%m%d") + text(dose, "RadiopharmaceuticalStartTime"))
    if injected is not None and injected > began:
        return injected - timedelta(days=1)
    return injected


def _moment(dataset: Dataset, date: str, time: str) -> datetime | None:
    return _parsed(text(dataset, date) + text(dataset, time))


def _parsed(written: str) -> datetime | None:
    """A date and time of the scanner's own clock; its zone is that of the others, and left out."""
    whole, _, fraction = written.partition(".")
    whole = whole.split("+")[0].split("-")[0]
    try:
        moment = datetime.strptime(whole, f"%Y%m%d{_TIME}")  # noqa: DTZ007 - one clock, differences only
    except ValueError:
        return None
    digits = fraction[:6]
    return moment + timedelta(microseconds=int(digits.ljust(6, "0")) if digits.isdigit() else 0)


def _corrections(dataset: Dataset) -> frozenset[str]:
    said = dataset.get("CorrectedImage") or ()
    words = [said] if isinstance(said, str) else [str(word) for word in said]
    return frozenset(_AXIS_WORDS.get(word.upper(), word.upper()) for word in words)


def _positive(dataset: Dataset, keyword: str) -> float | None:
    values = numbers(dataset, keyword)
    usable = bool(values) and math.isfinite(values[0]) and values[0] > 0
    return values[0] if usable else None
