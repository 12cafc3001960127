"""Person names: read from DICOM PN bytes, shown, and folded into search keys (PS3.5 6.2.1)."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from hub_kernel.pinyin import fold_pinyin, segment, syllables
from hub_kernel.text_decoding import (
    DecodedText,
    decode_groups,
    decode_text,
    encodable,
    encode_text,
)

__all__ = [
    "DecodedText",
    "NameKeys",
    "PersonName",
    "decode_person_name",
    "decode_text",
    "encodable",
    "encode_text",
    "name_keys",
    "parse_person_name",
    "query_keys",
]


@dataclass(frozen=True)
class PersonName:
    """A name as sent: three component groups, components separated by "^" (PS3.5 6.2.1.1).

    Nothing is moved between groups: Hanzi that a device put into the first stay there. `confident`
    says whether the reading of the bytes may be acted on unattended, `rule` what decided it.
    """

    alphabetic: str = ""
    ideographic: str = ""
    phonetic: str = ""
    confident: bool = True
    rule: str = "declared"

    @property
    def display(self) -> str:
        """The name for a reader: ideographic if there is one, Hanzi joined, other words spaced.

        Right-to-left text and direction controls are isolated, so that they cannot reorder what
        stands beside them.
        """
        return _isolated(_spaced(self.ideographic or self.alphabetic or self.phonetic))

    @property
    def dicom(self) -> str:
        """The name as a PN value, without empty groups at the end: "Wang^XiaoDong=王^小东"."""
        return "=".join((self.alphabetic, self.ideographic, self.phonetic)).rstrip("=")


@dataclass(frozen=True)
class NameKeys:
    """What a name is found by: casefolded, without separators, marks or invisible characters.

    For "Wang^XiaoDong=王^小东": "王小东", "wangxiaodong", "wxd", "wangxiaodong". A key that the
    name does not have is empty.
    """

    hanzi: str
    pinyin: str
    initials: str
    alphabetic: str


def decode_person_name(raw: bytes, declared: Sequence[str], habit: str = "") -> PersonName:
    """Decode one PN value declared to be in these sets (values of Specific Character Set).

    `habit` is the set the sending site is known to use; it breaks ties. Never raises. A name cut in
    a character, full of "?", or longer than any honest name is returned, not confident.
    """
    value = bytes(raw[: _LONGEST_RAW + 1])
    decoded = decode_groups(value[:_LONGEST_RAW], declared, habit)
    over_long = len(value) > _LONGEST_RAW
    return _from_decoded(decoded, over_long=over_long)


def parse_person_name(text: str) -> PersonName:
    """Return the name of a PN value that is already text, such as one typed by a person."""
    return _from_decoded(DecodedText(text, confident=True, rule="declared"), over_long=False)


@lru_cache(maxsize=8192)
def name_keys(name: PersonName) -> NameKeys:
    """Return the search keys of a name.

    Pinyin and initials come from the Hanzi, in whichever group they are; a name without Hanzi has
    its letters as pinyin, and initials by syllable ("Wang^Xiaodong", "WANG^XIAODONG" and
    "Wang^XiaoDong" give "wxd") or, where the letters are no pinyin, by capital and component.
    """
    ideographic = next(
        (group for group in (name.ideographic, name.alphabetic) if _holds_cjk(group)), ""
    )
    alphabetic = "" if _holds_cjk(name.alphabetic) else name.alphabetic
    latin = _latin_components(alphabetic)
    if _holds_hanzi(ideographic):
        read = _read_components(ideographic)
    else:
        read = tuple(part for component in latin for part in _latin_syllables(component))
    return NameKeys(
        hanzi=_folded(ideographic),
        pinyin="".join(read),
        initials="".join(part[0] for part in read),
        alphabetic="".join(map(_letters, latin)),
    )


@lru_cache(maxsize=1024)
def query_keys(text: str) -> NameKeys:
    """Return the keys to look for when a person or a C-FIND asks for this name.

    Compare each key that is not empty with the same key of the names, and join the comparisons by
    OR. Letters ("wang xiaodong", "wxd", "WANG*") may be pinyin, initials or the alphabetic name.
    Hanzi are looked for as Hanzi and, for people known by letters alone, as alphabetic name. A
    value with component groups ("Wang^XiaoDong=王^小东") is looked for by each. Wildcards at the
    ends are dropped; empty text gives four empty keys.
    """
    name = parse_person_name(text.strip("*? \t"))
    if _holds_cjk(name.alphabetic) or _holds_cjk(name.ideographic):
        keys = name_keys(name)
        return NameKeys(
            hanzi=keys.hanzi, pinyin="", initials="", alphabetic=keys.alphabetic or keys.pinyin
        )
    components = _latin_components(name.alphabetic or name.ideographic or name.phonetic)
    letters = "".join(map(_letters, components))
    return NameKeys(hanzi="", pinyin=letters, initials=letters, alphabetic=letters)


# PS3.5 6.2: 64 characters a group; four bytes each and escape sequences leave room for the honest.
_LONGEST_RAW = 2048
_LONGEST_GROUP = 255

_COMPONENT_BREAK = re.compile(r"[\^\s,，]+")
_HANZI = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff〇々]")
_CJK = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9d"
    r"\U00020000-\U0003ffff〇々]"
)
_CAPITALISED = re.compile(r"[A-Z][^A-Z]*|[^A-Z]+")
_BARE_INITIALS = re.compile(r"[B-DF-HJ-NP-TW-Z]{2,3}")
_LOST = re.compile(r"[?\ufffd]")

_DIRECTED = re.compile(
    r"[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    r"\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_INVISIBLE = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_ISOLATES = frozenset("\u2066\u2067\u2068")


def _from_decoded(decoded: DecodedText, *, over_long: bool) -> PersonName:
    text = decoded.text.translate(_LINE_CONTROLS)
    groups = [group.strip().rstrip("^ ") for group in text.split("=")[:3]]
    alphabetic, ideographic, phonetic = [*groups, "", ""][:3]
    rule = decoded.rule
    if over_long or any(len(group) > _LONGEST_GROUP for group in groups):
        rule = "over-long"
    elif rule != "damaged" and _LOST.search(text):
        rule = "lost-characters"
    return PersonName(
        alphabetic[:_LONGEST_GROUP],
        ideographic[:_LONGEST_GROUP],
        phonetic[:_LONGEST_GROUP],
        confident=decoded.confident and rule == decoded.rule,
        rule=rule,
    )


_LINE_CONTROLS = str.maketrans(dict.fromkeys("\t\n\f\r\v\u2028\u2029", " "))


def _spaced(group: str) -> str:
    components = [component.strip() for component in group.split("^") if component.strip()]
    together = all(_HANZI.match(_INVISIBLE.sub("", component)) for component in components)
    return ("" if together else " ").join(components)


def _isolated(text: str) -> str:
    if not _DIRECTED.search(text):
        return text
    depth, kept = 0, []
    for char in text:
        if char == _POP_ISOLATE:
            if not depth:
                continue  # it would end the isolation from within
            depth -= 1
        elif char in _ISOLATES:
            depth += 1
        kept.append(char)
    return _FIRST_STRONG_ISOLATE + "".join(kept) + _POP_ISOLATE * (depth + 1)


def _holds_hanzi(text: str) -> bool:
    return not text.isascii() and _HANZI.search(text) is not None


def _holds_cjk(text: str) -> bool:
    return not text.isascii() and _CJK.search(text) is not None


def _folded(text: str) -> str:
    """Letters and digits alone, compatibility forms unified, casefolded."""
    if text.isascii():
        return "".join(filter(str.isalnum, text)).lower()
    unified = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(_is_kept, unified))


def _letters(text: str) -> str:
    """Like `_folded`, with accents removed (after pinyin has told "lü" from "lu")."""
    if text.isascii():
        return "".join(filter(str.isalnum, fold_pinyin(text)))
    kept = fold_pinyin(unicodedata.normalize("NFKC", text))
    bare = unicodedata.normalize("NFKD", kept)
    return "".join(filter(_is_kept, bare))


def _is_kept(char: str) -> bool:
    """Letters and digits; also the vowel signs of Tibetan and its neighbours: no mere accents."""
    return char.isalnum() or ("\u0900" <= char <= "\u1cff" and unicodedata.category(char)[0] == "M")


def _latin_components(group: str) -> tuple[str, ...]:
    return tuple(filter(None, _COMPONENT_BREAK.split(group)))


def _read_components(group: str) -> tuple[str, ...]:
    """Syllables of a name in Hanzi; the first component, or the first character, is the surname."""
    read: list[str] = []
    for component in _latin_components(unicodedata.normalize("NFKC", group)):
        read.extend(syllables(_folded(component), surname_first=not read))
    return tuple(read)


def _latin_syllables(component: str) -> tuple[str, ...]:
    """The parts of one component that each give an initial; together they are its letters."""
    letters = _letters(component)
    capitalised = _CAPITALISED.findall(component)
    if 1 < len(capitalised) < len(component):
        parts = tuple(filter(None, map(_letters, capitalised)))
        if "".join(parts) == letters:
            return parts
    if _BARE_INITIALS.fullmatch(component):
        return tuple(letters)
    return segment(letters) or ((letters,) if letters else ())
