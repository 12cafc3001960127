"""Person names made ready for comparison: parts, sound, newborns, people nobody could name."""

import re
from dataclasses import dataclass
from functools import lru_cache

from hub_kernel.person_names import PersonName
from hub_kernel.pinyin import fold_pinyin, segment, syllables
from patient_index.matching.variants import LOST, canonical, plain


@dataclass(frozen=True, slots=True)
class MatchName:
    """One name of a person, ready for comparison; every text is folded (see `canonical`)."""

    family: str
    given: str
    family_written: str
    """As written, widths and case unified: differs from another's when a variant was used."""
    given_written: str
    family_sound: str
    """Pinyin without tones for Hanzi, the letters themselves for other scripts."""
    given_sound: str
    family_blur: str
    """The sound as a dialect or a hasty ear has it: zh/z, n/l, ing/in and the like are one."""
    given_blur: str
    initials: str
    """First letters of the given name's syllables."""
    han: bool

    @property
    def shown(self) -> str:
        """The name for a person to read."""
        if self.han:
            return self.family_written + self.given_written
        return f"{self.family_written} {self.given_written}".strip()


@dataclass(frozen=True, slots=True)
class Newborn:
    """A child not yet named, registered under a parent's name ("李梅之子", "Baby Boy of Smith")."""

    parent: MatchName
    sex: str
    ordinal: int
    """1, 2, … when the name tells children of one birth apart, else 0."""


@dataclass(frozen=True, slots=True)
class ReadName:
    """What a name says: a name, a newborn, or neither for people whose name is not known."""

    name: MatchName | None = None
    newborn: Newborn | None = None
    unknown: bool = False


@lru_cache(maxsize=16384)
def read_name(name: PersonName) -> ReadName:
    """Return what a name says. Never raises."""
    chosen = _chosen_group(name)
    components = _components(chosen)
    text = "".join(components)
    if not text.strip(LOST):
        return ReadName()
    if _UNKNOWN.match(text.casefold()):
        return ReadName(unknown=True)
    newborn = _newborn(text, _BREAK.sub(" ", chosen))
    if newborn is not None:
        return ReadName(newborn=newborn)
    return ReadName(name=_split(components))


def blurred(sound: str) -> str:
    """Return pinyin in which the sounds that are confused most often are one."""
    for pattern, heard in _BLURS:
        sound = pattern.sub(heard, sound)
    return sound


_LONGEST = 255
_BREAK = re.compile(r"[\^\s,，;；/]+")
_DOT = re.compile("[·•・‧．]")
_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff〇]")
_UNKNOWN = re.compile(
    r"(无名|無名|不详|不詳|未知|佚名|无姓名|急诊|急診|三无|待查|未命名|unknown|unidentified|anonymous|noname|"
    r"xxx)"
)
_CHILD_WITH_MARK = re.compile(
    r"(?P<parent>.{2,4}?)之(?P<before>[大小长次双一二三四甲乙丙]?)"
    r"(?P<child>男婴|女婴|婴儿|婴|子|女|儿)(?P<after>[大小一二三四甲乙丙a-d1-9]?)"
)
_CHILD_WITHOUT_MARK = re.compile(
    r"(?P<parent>.{2,4}?)(?P<before>[大小长次双]?)"
    r"(?P<child>男婴|女婴|婴儿|新生儿|毛毛|宝宝)(?P<after>[大小一二三四甲乙丙a-d1-9]?)"
)
_BABY = re.compile(
    r"(?:baby|newborn|infant)\s*(?:(?P<child>boy|girl|male|female)\s*(?P<after>[a-d1-9]?)|of)\s+"
    r"(?:of\s+)?(?P<parent>.+)"
)
_ORDINALS = {
    **dict.fromkeys("大长一甲a1", 1),
    **dict.fromkeys("小次二乙b2", 2),
    **dict.fromkeys("三丙c3", 3),
    **dict.fromkeys("四d4", 4),
}
_CHILD_SEX = {
    **dict.fromkeys(("子", "男婴", "boy", "male"), "M"),
    **dict.fromkeys(("女", "女婴", "girl", "female"), "F"),
}
_BLURS = tuple(
    (re.compile(pattern), heard)
    for pattern, heard in (
        (r"zh", "z"),
        (r"ch", "c"),
        (r"sh", "s"),
        (r"(?<=[aei])ng", "n"),
        (r"(?:^|(?<=[aeiouvn]))[n](?=[aeiouv])", "l"),
        (r"hu(?=[aio])", "f"),
        (r"v", "u"),
    )
)
_COMPOUND_SURNAMES = frozenset(
    {
        "尉迟", "万俟", "长孙", "令狐", "澹台", "夏侯", "皇甫", "鲜于", "亓官",
        "闾丘", "司徒", "司空", "司马", "上官", "欧阳", "诸葛", "东方", "赫连",
        "慕容", "宇文", "公孙", "轩辕", "钟离", "宗政", "濮阳", "淳于", "仲孙",
        "呼延", "南宫", "拓跋", "纳兰", "独孤", "申屠", "太史", "端木", "百里",
        "东郭", "西门", "公冶", "太叔", "贺兰", "完颜", "叶赫",
    }
)  # fmt: skip


def _chosen_group(name: PersonName) -> str:
    """Return the component group that says most: the one with Hanzi, else the first."""
    groups = [group[:_LONGEST] for group in (name.ideographic, name.alphabetic, name.phonetic)]
    chosen = next((group for group in groups if _CJK.search(group)), "")
    return chosen or next((group for group in groups if group.strip("^ ")), "")


def _components(chosen: str) -> tuple[str, ...]:
    if _DOT.search(chosen) and _CJK.search(chosen) and "^" not in chosen:
        first, *others = _DOT.split(chosen)
        return ("".join(others), first)
    if "^" in chosen:
        family, _, given = chosen.partition("^")
        return tuple(filter(None, (_joined(family), _joined(given))))
    return tuple(filter(None, _BREAK.split(chosen)))


def _joined(component: str) -> str:
    return "".join(_BREAK.split(component))


def _newborn(text: str, spaced: str) -> Newborn | None:
    folded = canonical(text)
    found = (
        _CHILD_WITH_MARK.fullmatch(folded)
        or _CHILD_WITHOUT_MARK.fullmatch(folded)
        or _BABY.fullmatch(spaced.casefold())
    )
    if found is None:
        return None
    said = found.groupdict()
    mark = said.get("before") or said["after"] or ""
    parent = _split(tuple(_BREAK.split(said["parent"])))
    return Newborn(parent, _CHILD_SEX.get(said["child"] or "", ""), _ORDINALS.get(mark, 0))


def _split(components: tuple[str, ...]) -> MatchName:
    """Tell family from given name; a lone component in Hanzi begins with the surname."""
    family, given = components[0], "".join(components[1:])
    if _CJK.search(family + given):
        if not given:
            length = 2 if canonical(family[:2]) in _COMPOUND_SURNAMES and len(family) > 2 else 1
            family, given = family[:length], family[length:]
        return _han_name(family, given)
    return _letters_name(family, given)


def _han_name(family: str, given: str) -> MatchName:
    folded_family, folded_given = canonical(family), canonical(given)
    # The reading is that of the folded characters: dictionaries lack many of the variants.
    read = syllables(folded_family.replace(LOST, "")) if folded_family.strip(LOST) else ()
    heard = syllables(folded_given.replace(LOST, ""), surname_first=False)
    return _named(
        (folded_family, folded_given),
        (plain(family), plain(given)),
        ("".join(read), "".join(heard)),
        "".join(syllable[0] for syllable in heard),
        han=True,
    )


def _letters_name(family: str, given: str) -> MatchName:
    folded = canonical(fold_pinyin(family)), canonical(fold_pinyin(given))
    parts = segment(folded[1]) or (folded[1],)
    return _named(
        folded,
        (plain(family), plain(given)),
        folded,
        "".join(part[0] for part in parts if part),
        han=False,
    )


def _named(
    folded: tuple[str, str],
    written: tuple[str, str],
    sound: tuple[str, str],
    initials: str,
    *,
    han: bool,
) -> MatchName:
    return MatchName(*folded, *written, *sound, blurred(sound[0]), blurred(sound[1]), initials, han)
