"""Names as devices send them, and what the hub makes of each: the table behind the tests.

`python -m tests.support.name_cases` writes it as `docs/conformance/character-sets.md`.
"""

from dataclasses import dataclass
from pathlib import Path

from hub_kernel.person_names import decode_person_name, name_keys
from hub_kernel.text_decoding import RULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "conformance" / "character-sets.md"
_MOST_BYTES = 28

WANG = "王^小东"
GBK = WANG.encode("gbk")
UTF_8 = WANG.encode("utf-8")
RARE = "乗^俓".encode("gb18030")  # bytes 81 5C 5E 82 5C: a backslash inside each character

IR_58 = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="  # PS3.5 annex K
IR_149 = (
    b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7="
    b"\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
)  # PS3.5 annex I
IR_87 = (
    b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B="
    b"\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
)  # PS3.5 annex H, example 1
IR_13 = (
    b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J="
    b"\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J"
)  # PS3.5 annex H, example 2


@dataclass(frozen=True)
class Case:
    title: str
    raw: bytes
    declared: tuple[str, ...]
    dicom: str
    hanzi: str
    rule: str
    confident: bool = True
    habit: str = ""


CASES = [
    Case("plain letters", b"Wang^XiaoDong", (), "Wang^XiaoDong", "", "ascii"),
    Case("padding", b"Wang^XiaoDong \0", ("ISO_IR 100",), "Wang^XiaoDong", "", "ascii"),
    Case("empty", b"", ("GB18030",), "", "", "ascii"),
    Case("GB18030 as declared", GBK, ("GB18030",), WANG, "王小东", "declared"),
    Case("GBK as declared", GBK, ("GBK",), WANG, "王小东", "declared"),
    Case("UTF-8 as declared", UTF_8, ("ISO_IR 192",), WANG, "王小东", "declared"),
    Case("a spelling of the field", UTF_8, ("ISO IR 192",), WANG, "王小东", "declared"),
    Case("another spelling", GBK, ("gb_18030 ",), WANG, "王小东", "declared"),
    Case("5C inside a character", RARE, ("GB18030",), "乗^俓", "乗俓", "declared"),
    Case("5C inside, GBK", RARE, ("GBK",), "乗^俓", "乗俓", "declared"),
    Case("four-byte GB18030", "王^𠅤".encode("gb18030"), ("GB18030",), "王^𠅤", "王𠅤", "declared"),
    Case("5C without a label", RARE, (), "乗^俓", "乗俓", "repaired:gb18030", confident=False),
    Case("GBK without a label", GBK, (), WANG, "王小东", "repaired:gb18030"),
    Case("GBK, ASCII declared", GBK, ("ISO_IR 6",), WANG, "王小东", "repaired:gb18030"),
    Case("GBK as ISO_IR 100", GBK, ("ISO_IR 100",), WANG, "王小东", "repaired:gb18030"),
    Case(
        "GBK in the second group",
        b"Wang^XiaoDong=" + GBK,
        ("ISO_IR 100",),
        f"Wang^XiaoDong={WANG}",
        "王小东",
        "repaired:gb18030",
    ),
    Case(
        "GBK labelled UTF-8",
        GBK,
        ("ISO_IR 192",),
        WANG,
        "王小东",
        "repaired:gb18030",
        confident=False,
    ),
    Case(
        "GBK labelled UTF-8 from a site known for it",
        GBK,
        ("ISO_IR 192",),
        WANG,
        "王小东",
        "site-habit:gb18030",
        habit="GB18030",
    ),
    Case("UTF-8 labelled GBK", UTF_8, ("GBK",), WANG, "王小东", "repaired:utf-8"),
    Case("UTF-8 labelled GB18030", UTF_8, ("GB18030",), WANG, "王小东", "repaired:utf-8"),
    Case("one UTF-8 character as GBK", "王^".encode(), ("GBK",), "王", "王", "repaired:utf-8"),
    Case("UTF-8 labelled ISO_IR 100", UTF_8, ("ISO_IR 100",), WANG, "王小东", "repaired:utf-8"),
    Case("UTF-8 without a label", UTF_8, (), WANG, "王小东", "repaired:utf-8"),
    Case("UTF-8 labelled IR 58", UTF_8, ("", "ISO 2022 IR 58"), WANG, "王小东", "repaired:utf-8"),
    Case(
        "ISO 2022 IR 58",
        IR_58,
        ("", "ISO 2022 IR 58"),
        "Zhang^XiaoDong=张^小东",
        "张小东",
        "declared",
    ),
    Case(
        "ISO 2022 IR 58, one name",
        b"\x1b$)A\xcd\xf5",
        ("", "ISO 2022 IR 58"),
        "王",
        "王",
        "declared",
    ),
    Case(
        "IR 58 announced once for all components",
        b"Wang=\x1b$)A\xcd\xf5^\xd0\xa1\xb6\xab",
        ("", "ISO 2022 IR 58"),
        "Wang=王^小东",
        "王小东",
        "declared",
    ),
    Case(
        "IR 58 announced once, Latin-1 initial",
        b"\x1b$)A\xcd\xf5^\xd0\xa1\xb6\xab",
        ("ISO 2022 IR 100", "ISO 2022 IR 58"),
        WANG,
        "王小东",
        "declared",
    ),
    Case(
        "escapes that nobody declared",
        b"\x1b$)A\xcd\xf5^\xd0\xa1\xb6\xab",
        ("ISO_IR 100",),
        WANG,
        "王小东",
        "escape-sequences",
    ),
    Case("IR 58 without escapes", GBK, ("", "ISO 2022 IR 58"), WANG, "王小东", "declared"),
    Case(
        "unknown escape sequence",
        b"\x1b%GWang\x1b",
        (),
        "Wang",
        "",
        "damaged",
        confident=False,
    ),
    Case(
        "Korean",
        IR_149,
        ("", "ISO 2022 IR 149"),
        "Hong^Gildong=洪^吉洞=홍^길동",
        "洪吉洞",
        "declared",
    ),
    Case(
        "Japanese",
        IR_87,
        ("", "ISO 2022 IR 87"),
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "山田太郎",
        "declared",
    ),
    Case(
        "Japanese with half-width katakana",
        IR_13,
        ("ISO 2022 IR 13", "ISO 2022 IR 87"),
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        "山田太郎",
        "declared",
    ),
    Case(
        "German",
        "Müller^Jürgen".encode("latin_1"),
        ("ISO_IR 100",),
        "Müller^Jürgen",
        "",
        "declared",
    ),
    Case(
        "German unlabelled",
        "Müller^Jürgen".encode("latin_1"),
        (),
        "Müller^Jürgen",
        "",
        "repaired:latin_1",
    ),
    Case(
        "Russian", "Люкceмбypг".encode("iso8859_5"), ("ISO_IR 144",), "Люкceмбypг", "", "declared"
    ),
    Case("Russian UTF-8", "Иванов^Иван".encode(), ("ISO_IR 192",), "Иванов^Иван", "", "declared"),
    Case(
        "Arabic", "قباني^لنزار".encode("iso8859_6"), ("ISO_IR 127",), "قباني^لنزار", "", "declared"
    ),
    Case("Greek", "Διονυσιος".encode("iso8859_7"), ("ISO_IR 126",), "Διονυσιος", "", "declared"),
    Case(
        "Uyghur name in Hanzi",
        "阿依古丽·买买提".encode("gbk"),
        (),
        "阿依古丽·买买提",
        "阿依古丽买买提",
        "repaired:gb18030",
    ),
    Case(
        "Big5 from a site known for it",
        "陳^小東".encode("big5"),
        (),
        "陳^小東",
        "陳小東",
        "site-habit:big5hkscs",
        confident=False,
        habit="BIG5",
    ),
    Case("path as a set", GBK, ("../../etc",), WANG, "王小东", "repaired:gb18030"),
    Case("fifty sets", GBK, ("ISO_IR 999",) * 50, WANG, "王小东", "repaired:gb18030"),
    Case("unknown habit", GBK, ("GBK",), WANG, "王小东", "declared", habit="/etc/passwd"),
    Case(
        "cut in a character",
        GBK[:-1],
        ("GB18030",),
        "王^小\ufffd",
        "王小",
        "damaged",
        confident=False,
    ),
    Case("cut, unlabelled", GBK[:-1], (), "王^小\ufffd", "王小", "damaged", confident=False),
    Case(
        "cut UTF-8", UTF_8[:-1], ("ISO_IR 192",), "王^小\ufffd", "王小", "damaged", confident=False
    ),
    Case(
        "lost before it came",
        b"??^???",
        ("ISO_IR 100",),
        "??^???",
        "",
        "lost-characters",
        confident=False,
    ),
    Case(
        "GBK read as Latin-1 by a gateway",
        GBK.decode("latin_1").encode(),
        ("ISO_IR 192",),
        WANG,
        "王小东",
        "double-encoded:gb18030",
        confident=False,
    ),
    Case(
        "groups in two sets",
        GBK + b"=" + "欧阳^修".encode() + b"\xff"[:0],
        (),
        "王^小东=欧阳^修",
        "欧阳修",
        "mixed-groups",
        confident=False,
    ),
    Case(
        "zero-width and override",
        "王^\u202e小\u200b东".encode(),
        ("ISO_IR 192",),
        "王^\u202e小\u200b东",
        "王小东",
        "declared",
    ),
    Case("NUL and line breaks inside", b"Wang\0^Xiao\r\nDong", (), "Wang^Xiao  Dong", "", "ascii"),
    Case("markup", b"<script>alert(1)</script>", (), "<script>alert(1)</script>", "", "ascii"),
    Case("longer than honest", b"A" * 5000, (), "A" * 255, "", "over-long", confident=False),
    Case("five groups", b"a=b=c=d=e", (), "a=b=c", "", "ascii"),
    # ---- what happens to real names ----
    Case(
        "ideographic space",
        "欧阳　修".encode("gb18030"),
        ("GB18030",),
        "欧阳　修",
        "欧阳修",
        "declared",
    ),
    Case("full-width caret", "王＾小东".encode("gbk"), ("GBK",), "王＾小东", "王小东", "declared"),
    Case(
        "full-width letters",
        "Ｗａｎｇ^Ｘｉａｏ".encode("gbk"),
        ("GBK",),
        "Ｗａｎｇ^Ｘｉａｏ",
        "",
        "declared",
    ),
    Case(
        "traditional characters",
        "歐陽^震華".encode(),
        ("ISO_IR 192",),
        "歐陽^震華",
        "歐陽震華",
        "declared",
    ),
    Case(
        "the same simplified",
        "欧阳^震华".encode("gbk"),
        ("GBK",),
        "欧阳^震华",
        "欧阳震华",
        "declared",
    ),
    Case("surname 单", "单^雄信".encode("gbk"), ("GBK",), "单^雄信", "单雄信", "declared"),
    Case("surname 仇", "仇^英".encode("gbk"), ("GBK",), "仇^英", "仇英", "declared"),
    Case("surname 解", "解^缙".encode("gbk"), ("GBK",), "解^缙", "解缙", "declared"),
    Case("surname 曾", "曾轶可".encode("gbk"), ("GBK",), "曾轶可", "曾轶可", "declared"),
    Case("surname 尉迟", "尉迟^恭".encode("gbk"), ("GBK",), "尉迟^恭", "尉迟恭", "declared"),
    Case(
        "surname 欧阳 without separator",
        "欧阳修".encode("gbk"),
        (),
        "欧阳修",
        "欧阳修",
        "repaired:gb18030",
    ),
    Case("surname 万俟", "万俟^咏".encode("gbk"), ("GBK",), "万俟^咏", "万俟咏", "declared"),
    Case(
        "Uyghur name with its interpunct, as ISO_IR 100",
        "买买提·吐尔逊".encode("gbk"),
        ("ISO_IR 100",),
        "买买提·吐尔逊",
        "买买提吐尔逊",
        "repaired:gb18030",
    ),
    Case(
        "interpunct U+2022",
        "买买提•吐尔逊".encode(),
        ("ISO_IR 192",),
        "买买提•吐尔逊",
        "买买提吐尔逊",
        "declared",
    ),
    Case(
        "interpunct U+30FB",
        "买买提・吐尔逊".encode(),
        ("ISO_IR 192",),
        "买买提・吐尔逊",
        "买买提吐尔逊",
        "declared",
    ),
    Case(
        "Uyghur name in both groups",
        "Maimaiti^Tuerxun=买买提·吐尔逊".encode("gb18030"),
        ("GB18030",),
        "Maimaiti^Tuerxun=买买提·吐尔逊",
        "买买提吐尔逊",
        "declared",
    ),
    Case(
        "Tibetan name in Hanzi",
        "扎西·多吉".encode("gbk"),
        (),
        "扎西·多吉",
        "扎西多吉",
        "repaired:gb18030",
    ),
    Case(
        "Mongolian name in Hanzi",
        "乌兰其其格".encode("gbk"),
        (),
        "乌兰其其格",
        "乌兰其其格",
        "repaired:gb18030",
    ),
    Case("Tibetan script", "བཀྲ་ཤིས".encode("gb18030"), ("GB18030",), "བཀྲ་ཤིས", "", "declared"),
    Case("Mongolian script", "ᠪᠠᠲᠤ".encode(), ("ISO_IR 192",), "ᠪᠠᠲᠤ", "", "declared"),
    Case("Uyghur script", "ئەخمەت".encode(), ("ISO_IR 192",), "ئەخمەت", "", "declared"),
    Case("rare character 䶮", "刘^䶮".encode("gb18030"), ("GB18030",), "刘^䶮", "刘䶮", "declared"),
    Case(
        "a code that was private in 2000",
        b"\xcd\xf5^\xfe\x59",
        ("GB18030",),
        "王^龴",
        "王龴",
        "declared",
    ),
    Case(
        "extension B in UTF-8", "王^𠅤𪚥".encode(), ("ISO_IR 192",), "王^𠅤𪚥", "王𠅤𪚥", "declared"
    ),
    Case(
        "extension B as two surrogates (CESU-8)",
        b"\xe7\x8e\x8b^\xed\xa1\x80\xed\xb5\xa4",
        ("ISO_IR 192",),
        "王^𠅤",
        "王𠅤",
        "repaired:cesu-8",
        confident=False,
    ),
    Case(
        "one surrogate alone",
        b"\xe7\x8e\x8b^\xed\xa1\x80",
        ("ISO_IR 192",),
        "王^\ufffd",
        "王",
        "damaged",
        confident=False,
    ),
    Case(
        "half of a four-byte code",
        "王^𠅤".encode("gb18030")[:-2],
        ("GB18030",),
        "王^\ufffd",
        "王",
        "damaged",
        confident=False,
    ),
    Case(
        "first byte lost: nothing tells it from a name",
        GBK[1:],
        ("GBK",),
        "鮚小东",
        "鮚小东",
        "declared",
    ),
    Case("byte order mark", b"\xef\xbb\xbf" + UTF_8, ("ISO_IR 192",), WANG, "王小东", "declared"),
    Case(
        "left-to-right marks",
        "王^\u200e小东\u200f".encode(),
        ("ISO_IR 192",),
        "王^\u200e小东\u200f",
        "王小东",
        "declared",
    ),
    Case(
        "variation selector",
        "王^葛\U000e0100".encode(),
        ("ISO_IR 192",),
        "王^葛\U000e0100",
        "王葛",
        "declared",
    ),
    Case(
        "UTF-16", WANG.encode("utf-16-le"), (), "媠^\\N", "媠n", "repaired:gb18030", confident=False
    ),
    Case(
        "Big5 without a label or habit",
        "陳^小東".encode("big5"),
        (),
        "³¯^¤pªF",
        "",
        "repaired:latin_1",
        confident=False,
    ),
    Case(
        "Big5 labelled GB18030",
        "陳^小東".encode("big5"),
        ("GB18030",),
        "朝^\ue616狥",
        "朝狥",
        "declared",
        confident=False,
    ),
    Case(
        "GBK labelled Cyrillic",
        GBK,
        ("ISO_IR 144",),
        WANG,
        "王小东",
        "repaired:gb18030",
        confident=False,
    ),
    Case(
        "half-width katakana in UTF-8",
        "ﾔﾏﾀﾞ^ﾀﾛｳ".encode(),
        ("ISO_IR 192",),
        "ﾔﾏﾀﾞ^ﾀﾛｳ",
        "ヤマダタロウ",
        "declared",
    ),
    Case(
        "two designations in one name",
        b"\x1b$B;3ED\x1b(B^\x1b$)A\xd0\xa1",
        ("", "ISO 2022 IR 87", "ISO 2022 IR 58"),
        "山田^小",
        "山田小",
        "declared",
    ),
    Case(
        "IR 58 with a return to ASCII",
        b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab\x1b(B=",
        ("ISO 2022 IR 6", "ISO 2022 IR 58"),
        f"Wang^XiaoDong={WANG}",
        "王小东",
        "declared",
    ),
    Case(
        "Korean without escapes",
        "홍^길동".encode("euc_kr"),
        ("", "ISO 2022 IR 149"),
        "홍^길동",
        "홍길동",
        "declared",
        confident=False,
    ),
    Case(
        "Korean without a label: nothing tells it from Chinese",
        "홍^길동".encode("euc_kr"),
        (),
        "全^辨悼",
        "全辨悼",
        "repaired:gb18030",
    ),
    Case("character references", b"&#29579;^&#23567;", (), "&#29579;^&#23567;", "", "ascii"),
    Case("quotes and SQL", b"O'Neil^' OR 1=1 --", (), "O'Neil^' OR 1=1 --", "", "ascii"),
]


_HEAD = """# Character sets

What devices send as a patient's name, and what the hub makes of it. Specific Character Set comes
first; where its reading is implausible, the set that decodes cleanly to a plausible name wins; the
set that the site is known to use breaks ties. The bytes stay as they were sent. A name that is not
**sure** is shown and found, and never links two people by itself.

Names are answered in the asker's character set, in ISO_IR 192 where that cannot hold them, and
found by Hanzi, pinyin and initials in C-FIND and QIDO-RS: `tests/flows/test_name_round_trips.py`
sends the names of this table with `storescu` and asks for them with `findscu` in four character
sets. Simplified characters do not find traditional ones; pinyin finds both.

This page is written by `python -m tests.support.name_cases`; a test compares it.

## Cases

"""
_COLUMNS = (
    "Case", "Bytes", "Labelled", "Site's habit", "Shown", "Hanzi", "Pinyin", "Initials", "Letters",
    "Rule", "Sure",
)  # fmt: skip


def page() -> str:
    """Return the page: every case as the hub reads it now."""
    rules = "".join(f"| `{rule}` | {meaning} |\n" for rule, meaning in RULES.items())
    head = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}\n"
    rows = head + "".join(_row(case) for case in CASES)
    return f"{_HEAD}{rows}\n## Rules\n\n| Rule | Meaning |\n|---|---|\n{rules}"


def _row(case: Case) -> str:
    name = decode_person_name(case.raw, case.declared, case.habit)
    keys = name_keys(name)
    labels = case.declared if len(set(case.declared)) > 1 else case.declared[:1]
    label = "\\".join(labels) + (f" × {len(case.declared)}" if len(case.declared) > 9 else "")
    found_by = (keys.hanzi, keys.pinyin, keys.initials, keys.alphabetic)
    cells = (
        case.title, _bytes(case.raw), _code(label), _code(case.habit), _code(name.display),
        *map(_code, found_by), f"`{name.rule}`", "yes" if name.confident else "**no**",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |\n"


def _bytes(raw: bytes) -> str:
    return f"`{raw[:_MOST_BYTES].hex(' ')}{' …' if len(raw) > _MOST_BYTES else ''}`" if raw else ""


def _code(text: str) -> str:
    """Return `text` as code, what cannot be seen by its number, cut where it is long."""
    seen = "".join(
        char if char.isprintable() or char == " " else f"⟨U+{ord(char):04X}⟩" for char in text
    )
    cut = f"{seen[:40]}…" if len(seen) > 40 else seen
    return f"`{cut}`" if cut else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
