"""Turns the bytes of DICOM text into text, whatever set they were labelled with (PS3.5 6.1).

The declared set comes first; where its reading is implausible, the set that decodes cleanly to
plausible text wins; the site's habit breaks ties. The rule that decided is part of the answer.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from hub_kernel.character_sets import (
    ASCII,
    UTF_8,
    CharacterSet,
    character_set,
    character_sets,
    decode_iso_2022,
    encode,
)
from hub_kernel.text_plausibility import implausibility

RULES: dict[str, str] = {
    "ascii": "only ASCII: every set reads it alike",
    "declared": "the declared set reads it cleanly and plausibly",
    "escape-sequences": "the bytes carry ISO 2022 escape sequences that were not declared",
    "site-habit": "the set that the site is known to use reads it cleanly and plausibly",
    "repaired": "the label is wrong or missing; this set reads it cleanly and plausibly",
    "double-encoded": "text read in a wrong set by an earlier system and stored as UTF-8",
    "mixed-groups": "the component groups of the name are in different sets",
    "damaged": "no set reads it; the nearest reading, with U+FFFD for what is lost",
    "lost-characters": "an earlier system has replaced characters by '?'",
    "over-long": "longer than any honest value; cut",
}
"""Every rule an answer can name (before a colon; the set follows), and what it means."""


@dataclass(frozen=True)
class DecodedText:
    """Text, whether its reading is certain enough to act on unattended, and the deciding rule."""

    text: str
    confident: bool
    rule: str


def decode_text(raw: bytes, declared: Sequence[str], habit: str = "") -> DecodedText:
    """Decode one DICOM text value declared to be in these sets (Specific Character Set values).

    `habit` is the set the sending site is known to use. Never raises: unknown sets, damaged and
    hostile bytes give the nearest reading, not confident. Trailing padding and control characters
    other than tab and line ends are not part of the text; no escape byte survives.
    """
    value = bytes(raw).rstrip(b"\0 ")
    if value.isascii() and b"\x1b" not in value:
        return DecodedText(_scrubbed(value.decode("ascii")), confident=True, rule="ascii")
    labels = declared.split("\\") if isinstance(declared, str) else declared[:_MOST_LABELS]
    decode = _decode if len(value) > _CACHED_LENGTH else _decode_cached
    return decode(value, tuple(map(str, labels)), habit)


def decode_groups(raw: bytes, declared: Sequence[str], habit: str = "") -> DecodedText:
    """Decode a PN value: as one text, else each component group by itself (PS3.5 6.2.1.2).

    Neither GBK, GB18030, Big5 nor Shift-JIS uses the byte of "=" inside a character, so groups in
    different sets can be told apart. Never raises.
    """
    whole = decode_text(raw, declared, habit)
    if whole.rule != "damaged" or b"=" not in raw or b"\x1b" in raw:
        return whole
    groups = [decode_text(group, declared, habit) for group in bytes(raw).split(b"=")]
    if any(group.rule == "damaged" for group in groups):
        return whole
    text = "=".join(group.text for group in groups)
    return DecodedText(text, confident=False, rule="mixed-groups")


def encode_text(text: str, charset: str) -> bytes:
    r"""Return `text` in the set an asker wants, named as in Specific Character Set.

    Several values are separated by "\\": the first that can hold the text is used. What the set
    cannot hold becomes "?"; an unknown set is answered in ASCII. Never raises.
    """
    return encode(text, charset.split("\\"))


def encodable(text: str, charset: str) -> bool:
    """Say whether `encode_text` loses nothing of `text` in that set."""
    written = encode_text(text, charset)
    return "?" in text or b"?" not in written


# The same patient's name comes with every one of 500 slices; long texts are not worth the memory.
_CACHED_LENGTH = 512
_MOST_LABELS = 16

# Mean implausibility up to which a reading is trusted (see hub_kernel.text_plausibility).
_PLAUSIBLE_DECLARED = 6.0
_PLAUSIBLE_OTHER = 2.0
_PLAUSIBLE_SHORT = 1.0
_FEW = 4
_THREE_BYTES = "\u0800"

# What a reading must be better by than the next different one.
_MARGIN = 1.0
_MARGIN_WITH_HABIT = 0.5

_LOST = "\ufffd"
_LOST_RUN = re.compile("\ufffd+")
_COST_OF_LOSS = 8.0

_CONTROLS = dict.fromkeys(
    code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\f\r"
)

# GB 18030-2022, annex: what Python's codec, made after the first edition, still reads as private.
_GB18030_OF_2022 = dict(
    zip(
        (0xE81E, 0xE826, 0xE82B, 0xE82C, 0xE832, 0xE843, 0xE854, 0xE864),
        range(0x9FB4, 0x9FBC),
        strict=True,
    )
)


@dataclass(frozen=True)
class _Reading:
    """One way to read the bytes; `cost` is its implausibility, `handicap` its distance as guess."""

    text: str
    cost: float
    handicap: float
    rule: str

    @property
    def score(self) -> float:
        return self.cost + self.handicap


def _decode(value: bytes, labels: tuple[str, ...], habit: str) -> DecodedText:
    declared = tuple(entry for entry in character_sets(labels) if entry is not ASCII)
    if b"\x1b" in value:
        return _decode_escaped(value, declared)
    if declared and declared[0] is UTF_8:
        accepted = _self_checked(value)
        if accepted is not None:
            return accepted
    readings = sorted(_readings(value, declared, habit), key=lambda reading: reading.score)
    best = readings[0]
    clean_as_declared = best.rule == "declared" and declared[0].script == "CJK"
    if best.cost >= _PLAUSIBLE_DECLARED and not clean_as_declared:
        least_damaged = _damaged(value, declared, habit)
        if least_damaged.cost < best.cost:
            best = least_damaged
    rivals = [reading.score for reading in readings[1:] if reading.text != best.text]
    margin = min(rivals, default=float("inf")) - best.score
    return DecodedText(
        _scrubbed(best.text),
        confident=_trusted(best, margin, declared),
        rule=best.rule,
    )


_decode_cached = lru_cache(maxsize=8192)(_decode)


def _decode_escaped(value: bytes, declared: tuple[CharacterSet, ...]) -> DecodedText:
    """Escape sequences say by themselves what follows; the label only gives the initial set."""
    announced = any(entry.designation and entry.designation in value for entry in declared)
    text, clean = decode_iso_2022(value, _initial_codec(declared) if announced else "ascii")
    cost = implausibility(text, declared[-1].script if announced else "CJK")
    if cost >= _PLAUSIBLE_DECLARED:
        # Devices that announce the Chinese set once, with another set declared as the initial one.
        text, clean = decode_iso_2022(value, "ascii")
        cost = implausibility(text, "CJK")
    rule = ("declared" if announced else "escape-sequences") if clean else "damaged"
    trusted = clean and cost < _PLAUSIBLE_DECLARED
    return DecodedText(_scrubbed(text), confident=trusted, rule=rule)


def _initial_codec(declared: tuple[CharacterSet, ...]) -> str:
    """Return what bytes mean before any escape sequence: the first value, if it is single-byte."""
    several_bytes = declared[0].designation.startswith(b"\x1b$")
    return "ascii" if several_bytes else declared[0].codec


def _self_checked(value: bytes) -> DecodedText | None:
    """Accept declared UTF-8 at once when it decodes: bytes of another set hardly ever do."""
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    cost = implausibility(text, "CJK")
    if cost >= _PLAUSIBLE_DECLARED or (cost > _PLAUSIBLE_SHORT and _could_be_gbk(text)):
        return None
    return DecodedText(_scrubbed(text), confident=True, rule="declared")


def _could_be_gbk(text: str) -> bool:
    """A few two-byte sequences of UTF-8 are as often two-byte characters of GBK (谢^雪 is л^ѩ)."""
    beyond = [char for char in text if not char.isascii()]
    return len(beyond) <= _FEW and max(beyond) < _THREE_BYTES


def _utf_8_handicap(text: str) -> float:
    """Sequences of three bytes hardly ever are UTF-8 by accident, and two of them never."""
    return 0.5 - 1.5 * min(2, sum(char >= _THREE_BYTES for char in text[:_FEW]))


def _readings(value: bytes, declared: tuple[CharacterSet, ...], habit: str) -> Iterator[_Reading]:
    """Every clean reading, each codec once, under the best of the reasons to try it."""
    tried: set[str] = set()
    for entry, expected, rule in _attempts(declared, habit):
        handicap = expected
        if entry.codec in tried:
            continue
        tried.add(entry.codec)
        try:
            text = value.decode(entry.codec).translate(_GB18030_OF_2022)
        except UnicodeDecodeError:
            if entry is UTF_8:
                yield from _joined_surrogates(value)
            continue
        if entry is UTF_8:
            handicap = min(handicap, _utf_8_handicap(text))
            yield from _undone(text)
        yield _Reading(text, implausibility(text, entry.script), handicap, rule)


def _attempts(
    declared: tuple[CharacterSet, ...], habit: str
) -> Iterator[tuple[CharacterSet, float, str]]:
    """The sets to try, the handicap of each, and the rule that its victory would be called."""
    for entry in declared:
        yield entry, 0.0, "declared"
    known = character_set(habit) if habit else None
    if known is not None and known is not ASCII:
        yield known, 0.0, f"site-habit:{known.codec}"
    yield UTF_8, 0.5, "repaired:utf-8"
    yield CharacterSet("gb18030", "CJK"), 1.0, "repaired:gb18030"
    yield CharacterSet("latin_1", "LATIN"), 1.5, "repaired:latin_1"


def _joined_surrogates(value: bytes) -> Iterator[_Reading]:
    """Read CESU-8: the two halves of a character beyond U+FFFF, each written for itself."""
    try:
        halves = value.decode("utf-8", "surrogatepass")
        text = halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeError:
        return
    # Nothing but a careless converter makes such bytes.
    yield _Reading(text, implausibility(text, "CJK"), -5.0, "repaired:cesu-8")


def _undone(text: str) -> Iterator[_Reading]:
    """Undo an earlier system's reading of GBK as Latin-1, written back as UTF-8."""
    try:
        original = text.encode("latin_1").decode("gb18030")
    except UnicodeError:
        return
    yield _Reading(original, implausibility(original, "CJK"), 2.0, "double-encoded:gb18030")


def _trusted(best: _Reading, margin: float, declared: tuple[CharacterSet, ...]) -> bool:
    """Say whether the reading may be acted on unattended.

    A sender that wrote UTF-8 on bytes that are not UTF-8 is wrong about its own software: unless
    the site is known to do so, its repaired text is shown but never trusted.
    """
    if best.rule == "declared":
        return best.cost < _PLAUSIBLE_DECLARED and margin >= _MARGIN
    if best.rule.startswith("site-habit"):
        return best.cost <= _PLAUSIBLE_OTHER and margin >= _MARGIN_WITH_HABIT
    label_contradicted = UTF_8 in declared
    return (
        best.rule.startswith("repaired")
        and not label_contradicted
        and min(best.cost, best.score) <= _PLAUSIBLE_OTHER
        and margin >= _MARGIN
    )


def _damaged(value: bytes, declared: tuple[CharacterSet, ...], habit: str) -> _Reading:
    """Return the most plausible lossy reading. Names cut in the middle of a character end here."""
    readings = []
    for entry, handicap, _ in _attempts(declared, habit):
        text = _LOST_RUN.sub(_LOST, value.decode(entry.codec, "replace"))
        lost = text.count(_LOST)
        cost = implausibility(text.replace(_LOST, ""), entry.script)
        # As if each lost character were one that hardly occurs.
        cost += _COST_OF_LOSS * lost / max(1, sum(not char.isascii() for char in text))
        readings.append(_Reading(text, cost, handicap, "damaged"))
    return min(readings, key=lambda reading: reading.score)


def _scrubbed(text: str) -> str:
    """Without control characters and byte order mark, which no column, log line or page can use."""
    return text if text.isprintable() else text.removeprefix("\ufeff").translate(_CONTROLS)
