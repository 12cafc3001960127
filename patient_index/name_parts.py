"""The family name and the given names in a name, as keys to look for (FHIR R4 patient.html#search).

A site that knows the parts writes them apart ("王^小东"). Where only the whole is known ("王小东"),
the table of compound surnames tells where the surname ends; of a whole name in letters every word
may be either part.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from hub_kernel.person_names import PersonName, name_keys, parse_person_name, query_keys
from hub_kernel.pinyin import segment, syllables
from patient_index.matching.names import read_name
from patient_index.text_keys import folded

_WORD_BREAK = re.compile(r"[\s,，]+")
_GIVEN_COMPONENTS = 2  # after the family name, PS3.5 6.2.1.1: given, middle; prefix, suffix


@dataclass(frozen=True)
class NameParts:
    """Keys of each part: as written, and as it sounds; a key asked for is where one begins."""

    family: frozenset[str]
    given: frozenset[str]


@lru_cache(maxsize=8192)
def name_parts(name: PersonName) -> NameParts:
    """Return the parts of a name in all its scripts. Never raises."""
    family: set[str] = set()
    given: set[str] = set()
    for group in (name.ideographic, name.alphabetic, name.phonetic):
        if group.strip("^ "):
            parts = _apart(group) if "^" in group else _whole(group)
            family |= parts.family
            given |= parts.given
    return NameParts(frozenset(family - {""}), frozenset(given - {""}))


def given_keys(text: str) -> frozenset[str]:
    """Return what a given name that is asked for is written and sounds like; empty for nothing."""
    keys = query_keys(text)
    if not keys.hanzi:
        return frozenset({keys.alphabetic} - {""})
    # Not read as a surname, as `query_keys` would: 单 is Dan in a given name.
    return frozenset({keys.hanzi, "".join(syllables(keys.hanzi, surname_first=False))} - {""})


def _apart(group: str) -> NameParts:
    """The parts stand apart already; each word of the given names may be asked for."""
    family, *others = group.split("^")
    words = [
        word
        for component in others[:_GIVEN_COMPONENTS]
        for word in (component, *_WORD_BREAK.split(component))
    ]
    given = frozenset(key for word in words for key in (*given_keys(word), folded(word)))
    if not family.strip():
        return NameParts(frozenset(), given)
    read = _read(group)
    return NameParts(read.family | _written(family), read.given | given)


def _whole(group: str) -> NameParts:
    words = [word for word in _WORD_BREAK.split(group) if word]
    read = _read(group)
    keys = name_keys(parse_person_name(group))
    if keys.hanzi:
        # Whoever asks for the family name as the site wrote it asks for all of it.
        return NameParts(read.family | {keys.hanzi, keys.pinyin}, read.given)
    if len(words) > 1:
        either = frozenset(key for word in words for key in _written(word))
        return NameParts(read.family | either, read.given | either)
    spelled = segment(keys.pinyin) or (keys.pinyin,)
    return NameParts(read.family | {keys.pinyin}, frozenset({"".join(spelled[1:])}))


def _read(group: str) -> NameParts:
    """The two parts as records are compared by them; of nameless people there are none."""
    read = read_name(PersonName(alphabetic=group)).name
    if read is None:
        return NameParts(frozenset(), frozenset())
    return NameParts(
        frozenset({read.family_written, read.family_sound}),
        frozenset({read.given_written, read.given_sound}),
    )


def _written(text: str) -> frozenset[str]:
    return frozenset({folded(text), name_keys(parse_person_name(text)).alphabetic} - {""})
