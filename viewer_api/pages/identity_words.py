"""The words of identity in the reader's language: fields, how well they agree, rules, decisions.

What the tables do not know is shown as it came: nothing is hidden because a table is short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from viewer_api.pages.words import gettext, lazy_gettext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from patient_index.model import Review
    from viewer_api.pages.words import LazyText

FIELD_WORDS: Mapping[str, LazyText] = {
    "prior": lazy_gettext("Starting point"),
    "identifier": lazy_gettext("Number in common"),
    "name": lazy_gettext("Name"),
    "family_name": lazy_gettext("Family name"),
    "given_name": lazy_gettext("Given name"),
    "birth_date": lazy_gettext("Birth date"),
    "sex": lazy_gettext("Sex"),
    "resident_number": lazy_gettext("Resident ID number"),
    "card": lazy_gettext("Card number"),
    "local_number": lazy_gettext("Local number"),
    "phone": lazy_gettext("Telephone"),
    "mother": lazy_gettext("Mother"),
    "province": lazy_gettext("Province"),
    "city": lazy_gettext("Town or district"),
    "street": lazy_gettext("Street"),
    "house": lazy_gettext("House number"),
    "second_line": lazy_gettext("Address, second line"),
    "postal_code": lazy_gettext("Postal code"),
    "address": lazy_gettext("Address as a whole"),
    "birth_order": lazy_gettext("Order of birth"),
}

LEVEL_WORDS: Mapping[str, LazyText] = {
    "same": lazy_gettext("the same"),
    "variant": lazy_gettext("variant characters"),
    "same_sound": lazy_gettext("sounds the same"),
    "same_pinyin": lazy_gettext("same pinyin"),
    "similar_sound": lazy_gettext("sounds alike"),
    "swapped": lazy_gettext("swapped"),
    "close": lazy_gettext("one slip apart"),
    "similar": lazy_gettext("similar"),
    "part": lazy_gettext("a part of it"),
    "lost_character": lazy_gettext("a character was lost"),
    "only_initial": lazy_gettext("only an initial"),
    "initials": lazy_gettext("only initials"),
    "shares_character": lazy_gettext("one character in common"),
    "same_unnamed": lazy_gettext("newborn, not named yet"),
    "unnamed": lazy_gettext("newborn, not named yet"),
    "named_since": lazy_gettext("named since"),
    "other_child": lazy_gettext("another child of the same mother"),
    "same_year": lazy_gettext("same year"),
    "same_month_and_day": lazy_gettext("same month and day"),
    "same_year_and_month": lazy_gettext("same year and month"),
    "two_digits": lazy_gettext("two digits differ"),
    "one_digit": lazy_gettext("one digit differs"),
    "one_slip": lazy_gettext("one slip apart"),
    "only_year": lazy_gettext("only the year is known"),
    "day_month_swapped": lazy_gettext("day and month swapped"),
    "neighbours_swapped": lazy_gettext("two digits swapped"),
    "other_site": lazy_gettext("given by different sites"),
    "same_number": lazy_gettext("same number"),
    "same_unverified": lazy_gettext("the same, check digit unknown"),
    "different_unverified": lazy_gettext("different, check digit unknown"),
    "moved_line": lazy_gettext("in another line"),
    "limited": lazy_gettext("its parts hang together, counted once"),
    "different": lazy_gettext("different"),
    "unknown": lazy_gettext("not known on both sides"),
    "stranger": lazy_gettext("else it is somebody else"),
    "relative": lazy_gettext("else it is a relative"),
    "twin": lazy_gettext("else it is a twin"),
}

RULE_WORDS: Mapping[str, LazyText] = {
    "unverified-number": lazy_gettext("Same old ID number without a check digit"),
    "several-numbers": lazy_gettext("Two different resident ID numbers are known"),
    "birth-date-contradicts": lazy_gettext("Same resident ID number, different birth dates"),
    "sex-contradicts": lazy_gettext("Same resident ID number, different sexes"),
    "name-uncertain": lazy_gettext("Same resident ID number, a name could not be read"),
    "name-contradicts": lazy_gettext("Same resident ID number, different names: a borrowed card?"),
    "nothing-confirms": lazy_gettext("Same resident ID number, nothing else to confirm it"),
    "verified-number": lazy_gettext("Same verified resident ID number, nothing contradicts"),
    "several-persons": lazy_gettext("One resident ID number, several persons"),
    "separated-before": lazy_gettext("A person has taken these two apart before"),
    "explicit-several-numbers": lazy_gettext(
        "The other's number was given, but the resident ID numbers differ"
    ),
    "explicit-contradicted": lazy_gettext(
        "The other's number was given, but it looks like somebody else"
    ),
    "explicit-identifier": lazy_gettext("The other's number was given"),
    "card-several-numbers": lazy_gettext("Same card, different resident ID numbers"),
    "card-birth-date-contradicts": lazy_gettext("Same card, different birth dates"),
    "card-sex-contradicts": lazy_gettext("Same card, different sexes"),
    "card-name-uncertain": lazy_gettext("Same card, a name could not be read"),
    "card-name-contradicts": lazy_gettext("Same card, different names: a borrowed card?"),
    "card-nothing-confirms": lazy_gettext("Same card, nothing else to confirm it"),
    "shared-card": lazy_gettext("Same card, nothing contradicts"),
    "similar-record": lazy_gettext("The records are alike, but not enough to link by themselves"),
    "matched-record": lazy_gettext("The records agree beyond doubt"),
    "new-identifier": lazy_gettext("Seen for the first time"),
    "person": lazy_gettext("Decided by a person"),
}

LOG_WORDS: Mapping[str, LazyText] = {
    "REGISTER": lazy_gettext("First seen"),
    "LINK": lazy_gettext("Linked"),
    "UNLINK": lazy_gettext("Taken apart"),
    "MERGE": lazy_gettext("Merged"),
    "UNMERGE": lazy_gettext("Merge undone"),
    "IGNORED": lazy_gettext("Ignored"),
}

# Why records that are alike were asked about and not linked; the score alone is the usual reason.
ASKED_WORDS: Mapping[str, LazyText] = {
    "margin": lazy_gettext("Alike enough to link, but another person is about as close"),
    "name-uncertain": lazy_gettext("The records are alike, but a name could not be read for sure"),
    "name-unknown": lazy_gettext("The records are alike, but one has no name"),
    "several-numbers": lazy_gettext("The records are alike, but their resident ID numbers differ"),
    "another-child": lazy_gettext("The records are alike, but it may be a child of the same birth"),
}

# How a field is shown: grey when it agrees, coloured when it does not, quiet when nothing is known.
AGREES, NEAR, DIFFERS, SILENT = "agrees", "near", "differs", "silent"
_AGREEING = frozenset({"same", "variant", "same_number"})
_DIFFERING = frozenset({"different", "other_child", "different_unverified", "shares_character"})
_SILENT = frozenset({"unknown", "limited", "other_site", "stranger", "relative", "twin", ""})


def field_word(field: str) -> str:
    """Return what a registrar calls `field`."""
    return str(FIELD_WORDS.get(field, field))


def level_word(level: str) -> str:
    """Return how well a field agrees, in words; a rule says what it found."""
    return str(LEVEL_WORDS.get(level) or RULE_WORDS.get(level) or level)


def rule_word(rule: str, reason: str = "") -> str:
    """Return why a question was asked or a link was made; `reason` stands in for unknown rules."""
    return str(RULE_WORDS.get(rule, reason or rule))


def log_word(action: str) -> str:
    """Return what happened in one line of the link log."""
    return str(LOG_WORDS.get(action, action))


def tone_of(level: str) -> str:
    """Return how a field of this level is shown."""
    if level in _SILENT:
        return SILENT
    if level in _AGREEING:
        return AGREES
    return DIFFERS if level in _DIFFERING else NEAR


def asked_word(review: Review) -> str:
    """Return why a question was asked."""
    for note in review.explanation.fields:
        if note.field == "decision" and note.level in ASKED_WORDS:
            return str(ASKED_WORDS[note.level])
    return rule_word(review.rule, review.reason)


def decider_word(by: str, names: Mapping[str, str]) -> str:
    """Return who decided: a user by name, a rule as such, anything else as it was written."""
    if by == "rule":
        return gettext("the hub, by rule")
    return names.get(by, by)
