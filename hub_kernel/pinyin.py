"""Hanyu Pinyin of Chinese names, one syllable per character, with surnames read as surnames."""

import re
from functools import lru_cache

# Characters whose usual reading is not the one they have as a surname.
_SURNAMES: dict[str, str] = {
    "单": "shan", "單": "shan", "曾": "zeng", "解": "xie", "仇": "qiu", "朴": "piao", "查": "zha",
    "盖": "ge", "蓋": "ge", "区": "ou", "區": "ou", "任": "ren", "乐": "yue", "樂": "yue",
    "覃": "qin", "翟": "zhai", "繁": "po", "缪": "miao", "繆": "miao", "员": "yun", "員": "yun",
    "召": "shao", "洗": "xian", "冼": "xian", "折": "she", "黑": "he", "么": "yao", "牟": "mou",
    "能": "nai", "隗": "wei", "那": "na", "秘": "bi", "种": "chong", "重": "chong", "祭": "zhai",
    "谌": "chen", "諶": "chen", "卜": "bu", "柏": "bai", "车": "che", "車": "che", "石": "shi",
    "燕": "yan", "华": "hua", "華": "hua", "葛": "ge", "干": "gan", "宁": "ning", "褚": "chu",
    "莘": "shen", "郇": "xun", "郗": "xi", "纪": "ji", "紀": "ji", "句": "gou", "阚": "kan",
    "闞": "kan", "郄": "qie", "尉": "wei", "瞿": "qu", "佴": "nai", "逄": "pang", "晁": "chao",
    "厍": "she", "撒": "sa", "都": "du", "贾": "jia", "賈": "jia", "沈": "shen", "叶": "ye",
    "葉": "ye", "盛": "sheng", "相": "xiang", "强": "qiang", "藏": "zang", "薄": "bo",
    "乜": "nie", "谷": "gu", "於": "yu", "粘": "nian", "费": "fei", "費": "fei", "曲": "qu",
    "万": "wan", "哈": "ha", "长": "zhang", "長": "zhang", "会": "gui",
    "會": "gui", "参": "shen", "貊": "mo", "逯": "lu", "眭": "sui", "笪": "da", "訾": "zi",
    "适": "kuo", "洪": "hong", "幺": "yao", "冯": "feng", "馮": "feng",
}  # fmt: skip

# Surnames of two characters; without this table a name of three characters would lose its middle.
_COMPOUND_SURNAMES: dict[str, tuple[str, str]] = {
    "尉迟": ("yu", "chi"), "尉遲": ("yu", "chi"), "万俟": ("mo", "qi"), "长孙": ("zhang", "sun"),
    "長孫": ("zhang", "sun"), "令狐": ("ling", "hu"), "澹台": ("tan", "tai"),
    "澹臺": ("tan", "tai"), "夏侯": ("xia", "hou"), "皇甫": ("huang", "fu"),
    "鲜于": ("xian", "yu"), "亓官": ("qi", "guan"), "闾丘": ("lü", "qiu"), "司徒": ("si", "tu"),
    "司空": ("si", "kong"), "司马": ("si", "ma"), "司馬": ("si", "ma"), "上官": ("shang", "guan"),
    "欧阳": ("ou", "yang"), "歐陽": ("ou", "yang"), "诸葛": ("zhu", "ge"), "諸葛": ("zhu", "ge"),
    "东方": ("dong", "fang"), "赫连": ("he", "lian"), "慕容": ("mu", "rong"),
    "宇文": ("yu", "wen"), "公孙": ("gong", "sun"), "公孫": ("gong", "sun"),
    "轩辕": ("xuan", "yuan"), "钟离": ("zhong", "li"), "宗政": ("zong", "zheng"),
    "濮阳": ("pu", "yang"), "淳于": ("chun", "yu"), "仲孙": ("zhong", "sun"),
    "呼延": ("hu", "yan"), "南宫": ("nan", "gong"), "拓跋": ("tuo", "ba"), "纳兰": ("na", "lan"),
    "独孤": ("du", "gu"), "申屠": ("shen", "tu"), "太史": ("tai", "shi"), "端木": ("duan", "mu"),
    "百里": ("bai", "li"), "东郭": ("dong", "guo"), "西门": ("xi", "men"), "公冶": ("gong", "ye"),
    "太叔": ("tai", "shu"), "贺兰": ("he", "lan"), "完颜": ("wan", "yan"), "叶赫": ("ye", "he"),
}  # fmt: skip

# Given names: readings that names prefer over the dictionary's first.
_GIVEN: dict[str, str] = {"朝": "zhao", "茜": "qian", "盛": "sheng", "晟": "sheng"}

# The syllables of Hanyu Pinyin without tones, by initial; "v" stands for ü.
_SYLLABLES = frozenset(
    initial + final
    for initial, finals in {
        "": "a ai an ang ao e ei en eng er o ou",
        "b": "a ai an ang ao ei en eng i ian iao ie in ing o u",
        "p": "a ai an ang ao ei en eng i ian iao ie in ing o ou u",
        "m": "a ai an ang ao e ei en eng i ian iao ie in ing iu o ou u",
        "f": "a an ang ei en eng o ou u",
        "d": "a ai an ang ao e ei en eng i ia ian iao ie ing iu ong ou u uan ui un uo",
        "t": "a ai an ang ao e eng i ian iao ie ing ong ou u uan ui un uo",
        "n": "a ai an ang ao e ei en eng i ian iang iao ie in ing iu ong ou u uan un uo v ve ue",
        "l": "a ai an ang ao e ei eng i ia ian iang iao ie in ing iu o ong ou u uan un uo v ve ue",
        "g": "a ai an ang ao e ei en eng ong ou u ua uai uan uang ui un uo",
        "k": "a ai an ang ao e ei en eng ong ou u ua uai uan uang ui un uo",
        "h": "a ai an ang ao e ei en eng ong ou u ua uai uan uang ui un uo",
        "j": "i ia ian iang iao ie in ing iong iu u uan ue un",
        "q": "i ia ian iang iao ie in ing iong iu u uan ue un",
        "x": "i ia ian iang iao ie in ing iong iu u uan ue un",
        "zh": "a ai an ang ao e ei en eng i ong ou u ua uai uan uang ui un uo",
        "ch": "a ai an ang ao e en eng i ong ou u ua uai uan uang ui un uo",
        "sh": "a ai an ang ao e ei en eng i ou u ua uai uan uang ui un uo",
        "r": "an ang ao e en eng i ong ou u ua uan ui un uo",
        "z": "a ai an ang ao e ei en eng i ong ou u uan ui un uo",
        "c": "a ai an ang ao e en eng i ong ou u uan ui un uo",
        "s": "a ai an ang ao e en eng i ong ou u uan ui un uo",
        "y": "a an ang ao e i in ing o ong ou u uan ue un",
        "w": "a ai an ang ei en eng o u",
    }.items()
    for final in finals.split()
)
_LONGEST_SYLLABLE = max(map(len, _SYLLABLES))
_LONGEST_WORD = 24
_U_UMLAUT = re.compile(r"(?<=[ln])(?:u:|ü)")
_LEADING_YU = re.compile(r"^([ln])yu")


def syllables(name: str, *, surname_first: bool = True) -> tuple[str, ...]:
    """Return the pinyin syllables, without tones, of a name written in Hanzi.

    Surnames that differ from the dictionary (单 Shan, 尉迟 Yuchi …) are read as surnames when
    `surname_first`. A character that is not Hanzi stands for itself, one without a known reading
    for nothing. "ü" is written "v".
    """
    if not surname_first or len(name) == 0:
        return tuple(filter(None, map(_given_reading, name)))
    compound = _COMPOUND_SURNAMES.get(name[:2])
    if compound:
        first, rest = tuple(map(fold_pinyin, compound)), name[2:]
    else:
        first, rest = (_SURNAMES.get(name[0]) or _reading(name[0]),), name[1:]
    return tuple(filter(None, (*first, *map(_given_reading, rest))))


def fold_pinyin(letters: str) -> str:
    """Return casefolded letters; the ü of lü and nü ("u:", "lyu", "nyu" too) becomes "v"."""
    return _LEADING_YU.sub(r"\1v", _U_UMLAUT.sub("v", letters.casefold()))


@lru_cache(maxsize=4096)
def segment(letters: str) -> tuple[str, ...]:
    """Split casefolded letters into the fewest pinyin syllables, `()` when they are not pinyin.

    Of two splits of the same length the one with the longer first syllables is taken.
    """
    if len(letters) > _LONGEST_WORD:
        return ()
    # best[i] is the split of letters[i:], built from the end.
    best: list[tuple[str, ...] | None] = [None] * len(letters) + [()]
    for start in range(len(letters) - 1, -1, -1):
        for stop in range(min(len(letters), start + _LONGEST_SYLLABLE), start, -1):
            rest = best[stop]
            if rest is None or letters[start:stop] not in _SYLLABLES:
                continue
            known = best[start]
            if known is None or len(rest) + 1 < len(known):
                best[start] = (letters[start:stop], *rest)
    return best[0] or ()


def _given_reading(character: str) -> str:
    return _GIVEN.get(character) or _reading(character)


@lru_cache(maxsize=16384)
def _reading(character: str) -> str:
    if character.isascii():
        return character.casefold()
    # Its dictionaries take some 100 ms to load: only a process that meets a Chinese name pays.
    from pypinyin import lazy_pinyin  # noqa: PLC0415

    return fold_pinyin("".join(lazy_pinyin(character, errors="ignore")))
