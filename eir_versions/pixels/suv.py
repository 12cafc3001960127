"""PET activity to SUV by body weight, by the vendor-neutral formula of QIBA (PS3.3 C.8.9.1).

SUVbw = modality value · patient weight in grams / activity that was left when the scan began.
"""

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

GRAMS_PER_ML, BECQUEREL_PER_ML = "GML", "BQML"
_START, _ADMINISTRATION = "START", "ADMIN"
_NEEDED_CORRECTIONS = frozenset({"ATTN", "DECY"})
_LONGEST_WAIT = timedelta(days=10)


@dataclass(frozen=True)
class PetActivity:
    """What an instance says; None or empty for what it does not. Times are those of the scanner.

    `scan_began_at` is the time the values are decay corrected to, see `scan_start`.
    """

    units: str
    decay_correction: str
    corrections: frozenset[str]
    weight_kg: float | None
    dose_bq: float | None
    half_life_s: float | None
    injected_at: datetime | None
    scan_began_at: datetime | None


@dataclass(frozen=True)
class SuvScale:
    """`factor` turns modality values into SUVbw; None where that cannot be, and `missing` says why.

    `missing` is one of units, corrections, weight, dose, half_life, injection_time, scan_time.
    """

    factor: float | None
    missing: str = ""


def suv_scale(activity: PetActivity) -> SuvScale:
    """Return the factor from modality values to SUVbw, in g/ml."""
    if activity.units == GRAMS_PER_ML:
        return SuvScale(1.0)
    missing = _missing(activity)
    if missing:
        return SuvScale(None, missing)
    weight, dose = activity.weight_kg or 0.0, activity.dose_bq or 0.0
    left = 1.0 if activity.decay_correction == _ADMINISTRATION else _share_left(activity)
    return SuvScale(weight * 1000.0 / (dose * left))


def scan_start(
    series_at: datetime | None,
    acquired_at: datetime | None,
    frame: tuple[float, float] | None,
    half_life_s: float | None,
) -> datetime | None:
    """Return the time that decay correction START refers to.

    It is the series' time, unless that lies after the acquisition (a series made anew): then it is
    worked back from the acquisition and `frame` = (Frame Reference Time, Actual Frame Duration) in
    milliseconds. None where neither can be told.
    """
    if series_at is None or acquired_at is None:
        return None
    if series_at <= acquired_at:
        return series_at
    if frame is None or half_life_s is None or not half_life_s > 0:
        return None
    reference_s, duration_s = frame[0] / 1000.0, frame[1] / 1000.0
    decay = math.log(2.0) / half_life_s * duration_s
    mean_s = duration_s * math.log(decay / -math.expm1(-decay)) / decay if decay > 0 else 0.0
    return acquired_at - timedelta(seconds=reference_s - mean_s)


def _missing(activity: PetActivity) -> str:
    start = activity.decay_correction == _START
    checks = (
        ("units", activity.units == BECQUEREL_PER_ML),
        ("corrections", start or activity.decay_correction == _ADMINISTRATION),
        ("corrections", activity.corrections >= _NEEDED_CORRECTIONS),
        ("weight", _is_positive(activity.weight_kg)),
        ("dose", _is_positive(activity.dose_bq)),
        ("half_life", not start or _is_positive(activity.half_life_s)),
        ("injection_time", not start or activity.injected_at is not None),
        ("scan_time", not start or _waited(activity) is not None),
    )
    return next((word for word, holds in checks if not holds), "")


def _waited(activity: PetActivity) -> timedelta | None:
    """The time from injection to scan; one below zero or beyond ten days is no such time."""
    if activity.injected_at is None or activity.scan_began_at is None:
        return None
    waited = activity.scan_began_at - activity.injected_at
    return waited if timedelta(0) <= waited <= _LONGEST_WAIT else None


def _share_left(activity: PetActivity) -> float:
    waited = _waited(activity) or timedelta(0)
    return float(2.0 ** (-waited.total_seconds() / (activity.half_life_s or 1.0)))


def _is_positive(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0
