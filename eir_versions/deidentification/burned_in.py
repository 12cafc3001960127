"""Pictures that carry text in their pixels: the words of the desk, and the rule what is held."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from eir_versions.deidentification.boxes import Box, TextBox
from eir_versions.recipes import BurnedIn, Exclusion

_MARGIN = 4


class CaseState(StrEnum):
    """Where a frame stands. The public sees one that is clean, cleared or masked, and no other."""

    HELD = "held"
    CLEAN = "clean"
    CLEARED = "cleared"
    MASKED = "masked"
    KEPT = "kept"


class Cause(StrEnum):
    """Why a frame is held."""

    NONE = ""
    STATED = "stated"
    KIND = "kind"
    TEXT = "text"
    FAILED = "failed"


class Verdict(StrEnum):
    """What a person decides about a frame."""

    CLEAR = "clear"
    MASK = "mask"
    KEEP = "keep"


DECIDED = {
    Verdict.CLEAR: CaseState.CLEARED,
    Verdict.MASK: CaseState.MASKED,
    Verdict.KEEP: CaseState.KEPT,
}


@dataclass(frozen=True)
class FrameFacts:
    """One frame and what its object says about text in it."""

    sop_instance_uid: str
    frame_number: int
    dataset_sha256: str
    study_instance_uid: str
    site_id: str
    modality: str
    sop_class_uid: str
    burned_in_annotation: str
    rows: int
    columns: int
    regions: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Case:
    """A frame on the desk. `proposed` is what masking it would blacken unless told otherwise."""

    case_id: str
    sop_instance_uid: str
    frame_number: int
    study_instance_uid: str
    site_id: str
    modality: str
    cause: Cause
    state: CaseState
    rows: int
    columns: int
    lines: tuple[TextBox, ...]
    proposed: tuple[Box, ...]
    masks: tuple[Box, ...]
    found_at: datetime
    decided_by: str
    decided_at: datetime | None
    reason: str


def stated_cause(facts: FrameFacts, rule: Exclusion) -> Cause:
    """Return why a frame is suspect before anybody has looked at its pixels.

    What the object states counts against it, never for it: false statements are common.
    """
    if facts.burned_in_annotation == "YES":
        return Cause.STATED
    suspect = facts.modality in rule.text_modalities or facts.sop_class_uid in rule.text_sop_classes
    return Cause.KIND if suspect else Cause.NONE


def scan_suffices(facts: FrameFacts, cause: Cause, rule: Exclusion, scan: BurnedIn) -> bool:
    """Say whether a scan that finds nothing frees the frame; else a person must look at it.

    Handwriting on scanned paper is beyond a recogniser, and a stated YES is beyond doubt.
    """
    if cause is Cause.NONE:
        return True
    stated_no = facts.burned_in_annotation == "NO"
    trusted = stated_no or facts.modality in scan.scan_suffices
    return (
        cause is Cause.KIND
        and trusted
        and (stated_no or facts.sop_class_uid not in rule.text_sop_classes)
    )


def telling(lines: Iterable[TextBox], scan: BurnedIn) -> tuple[TextBox, ...]:
    """Return the lines that may name somebody: not a side marker, not a speck read as a letter."""
    harmless = {word.casefold() for word in scan.harmless}
    return tuple(line for line in lines if _tells(line, scan, harmless))


def proposed_masks(lines: Sequence[TextBox], bands: Sequence[Box]) -> tuple[Box, ...]:
    """Return what to blacken: around every line, and all outside of the ultrasound regions."""
    return (*(line.box.grown(_MARGIN) for line in lines), *bands)


def lines_to_json(lines: Sequence[TextBox]) -> str:
    """Return lines as they are kept."""
    return json.dumps([[*vars(line.box).values(), line.text, line.score] for line in lines])


def lines_from_json(text: str) -> tuple[TextBox, ...]:
    """Return the lines that `lines_to_json` wrote."""
    return tuple(
        TextBox(Box(left, top, width, height), words, score)
        for left, top, width, height, words, score in json.loads(text)
    )


def boxes_to_json(boxes: Sequence[Box]) -> str:
    """Return rectangles as they are kept."""
    return json.dumps([list(vars(box).values()) for box in boxes])


def boxes_from_json(text: str) -> tuple[Box, ...]:
    """Return the rectangles that `boxes_to_json` wrote."""
    return tuple(Box(*edges) for edges in json.loads(text))


def _tells(line: TextBox, scan: BurnedIn, harmless: set[str]) -> bool:
    words = line.text.strip()
    if line.score < scan.least_score or words.casefold() in harmless:
        return False
    letters = sum(1 for letter in words if letter.isalnum())
    return letters >= 2 or any("\u3400" <= letter <= "\u9fff" for letter in words)
