"""Two people side by side: what agrees, what differs, and what each field is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from patient_index import candidates, queries
from patient_index.model import Explanation, FieldNote
from viewer_api.pages.identity_words import AGREES, DIFFERS, SILENT, field_word, level_word, tone_of
from viewer_api.pages.language import day
from viewer_api.pages.people import person_line, site_book
from viewer_api.pages.vocabulary import sex_word
from viewer_api.services import services

if TYPE_CHECKING:
    from patient_index.model import Person
    from viewer_api.pages.people import PersonLine

_HALF_WIDTH = 48
_MOST_BITS = 20.0
# Which rule spoke and why a person was asked: said in words above the fields.
_NO_FIELDS = frozenset({"identifier", "decision"})


@dataclass(frozen=True)
class CompareRow:
    """One field of both; `bits` is None where nothing was weighed."""

    field: str
    mine: str
    theirs: str
    words: str
    tone: str
    bits: float | None

    @property
    def nothing_said(self) -> bool:
        """True when a side does not know the field, so that it says nothing."""
        return not self.bits and not (self.mine and self.theirs) and self.tone == SILENT

    @property
    def bar(self) -> tuple[int, int]:
        """Where the bar of the weight begins and how long it is; the middle is nothing."""
        bits = max(-_MOST_BITS, min(_MOST_BITS, self.bits or 0.0))
        length = round(abs(bits) / _MOST_BITS * _HALF_WIDTH)
        return (_HALF_WIDTH if bits >= 0 else _HALF_WIDTH - length), length


@dataclass(frozen=True)
class Comparison:
    """What the page shows of two people."""

    mine: PersonLine
    theirs: PersonLine
    rows: tuple[CompareRow, ...]
    silent: tuple[str, ...]
    score: float | None
    weights: str
    thresholds: tuple[float, float] | None


def compared(mine: Person, theirs: Person, explanation: Explanation | None = None) -> Comparison:
    """Return both people field by field; without an explanation they are weighed now."""
    used = explanation or Explanation()
    if used.score is None:
        used = _weighed_now(mine, theirs, used)
    rows = weighed_rows(used)
    weighed = {note.field for note in used.fields}
    rows = [*_plain_rows(mine, theirs, weighed), *rows]
    book = site_book()
    studies = services().index.studies_of([*mine.identifiers, *theirs.identifiers])
    lines = [
        person_line(one, book, [s for s in studies if s.patient in set(one.identifiers)])
        for one in (mine, theirs)
    ]
    return Comparison(
        mine=lines[0],
        theirs=lines[1],
        rows=tuple(row for row in rows if not row.nothing_said),
        silent=tuple(row.field for row in rows if row.nothing_said),
        score=used.score,
        weights=used.weights,
        thresholds=_thresholds(),
    )


def weighed_rows(explanation: Explanation) -> list[CompareRow]:
    """Return what each field was worth; what concerns no field of the two comes last."""
    rows = [_row(note) for note in explanation.fields if note.field not in _NO_FIELDS]
    return sorted(rows, key=lambda row: not (row.mine or row.theirs))


def _thresholds() -> tuple[float, float] | None:
    """Return from how many bits on a person is asked, and from how many the hub links by itself."""
    matcher = services().patients.matcher
    if matcher is None:
        return None
    used = matcher.weights.thresholds
    return used.review, used.link


def _weighed_now(mine: Person, theirs: Person, before: Explanation) -> Explanation:
    """Weigh the newest records of both by the weights in use; the best pair of them speaks."""
    matcher = services().patients.matcher
    if matcher is None:
        return before
    with services().database.read() as session:
        rows = queries.identifiers_by_person(session, [mine.global_id, theirs.global_id])
        known = candidates.records(
            session, matcher, [row.id for group in rows.values() for row in group]
        )
    others = [one for one in known if one.global_id == theirs.global_id]
    found = [
        pair
        for one in known
        if one.global_id == mine.global_id
        for pair in matcher.compared(one.record, others)[:1]
    ]
    if not found:
        return before
    best = max(found, key=lambda pair: pair.comparison.score)
    weighed = matcher.explanation(best.comparison)
    return Explanation(weighed.score, (*before.fields, *weighed.fields), weighed.weights)


def _row(note: FieldNote) -> CompareRow:
    mine, theirs = note.mine, note.theirs
    if note.field == "sex":
        mine, theirs = (sex_word(value) if value else "" for value in (mine, theirs))
    return CompareRow(
        field=field_word(note.field),
        mine=mine,
        theirs=theirs,
        words=level_word(note.level),
        tone=tone_of(note.level),
        bits=note.weight or None,
    )


def _plain_rows(mine: Person, theirs: Person, weighed: set[str]) -> list[CompareRow]:
    """The fields every registrar looks at first, when no weight speaks of them."""
    plain = (
        ("name", ("family_name", "given_name"), mine.name.display, theirs.name.display),
        ("birth_date", ("birth_date",), _day(mine), _day(theirs)),
        ("sex", ("sex",), sex_word(mine.sex), sex_word(theirs.sex)),
    )
    return [
        _plain(name, left, right)
        for name, instead, left, right in plain
        if not weighed & set(instead)
    ]


def _plain(field: str, mine: str, theirs: str) -> CompareRow:
    level = "same" if mine == theirs else "different"
    tone = {"same": AGREES, "different": DIFFERS}[level]
    if not (mine and theirs):
        level, tone = "unknown", SILENT
    return CompareRow(field_word(field), mine, theirs, level_word(level), tone, None)


def _day(person: Person) -> str:
    return day(person.birth_date) if person.birth_date else ""
