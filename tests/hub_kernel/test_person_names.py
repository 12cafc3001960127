"""Person names: what hostile and real-life bytes become, which rule decided, what finds them."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub_kernel.person_names import (
    NameKeys,
    PersonName,
    decode_person_name,
    decode_text,
    encodable,
    encode_text,
    name_keys,
    parse_person_name,
    query_keys,
)
from hub_kernel.text_decoding import RULES
from tests.support.name_cases import CASES, GBK, IR_58, IR_87, PAGE, RARE, UTF_8, WANG, Case, page


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_bytes_become_the_name_that_was_meant(case: Case) -> None:
    name = decode_person_name(case.raw, case.declared, case.habit)
    assert (name.dicom, name.rule, name.confident) == (case.dicom, case.rule, case.confident)
    assert name_keys(name).hanzi == case.hanzi
    assert case.rule.split(":")[0] in RULES


def test_the_page_shows_every_case_as_it_is_read() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "python -m tests.support.name_cases writes it"
    )


def test_the_table_covers_at_least_thirty_cases_and_every_rule() -> None:
    assert len(CASES) >= 30
    assert {case.rule.split(":")[0] for case in CASES} == set(RULES)


@given(
    raw=st.binary(max_size=80)
    | st.lists(
        st.sampled_from([GBK, UTF_8, RARE, IR_58, IR_87, b"\x1b", b"=", b"^", b"\x1b$B", b"\xff"])
    ).map(b"".join),
    declared=st.lists(
        st.sampled_from(["", "ISO_IR 100", "GBK", "ISO_IR 192", "ISO 2022 IR 58", "ISO 2022 IR 87"])
        | st.text(max_size=8),
        max_size=3,
    ),
    habit=st.sampled_from(["", "GB18030", "BIG5", "nonsense"]),
)
@settings(max_examples=400, deadline=None)
def test_no_bytes_raise_or_leave_control_characters(
    raw: bytes, declared: list[str], habit: str
) -> None:
    name = decode_person_name(raw, declared, habit)
    text = name.dicom + decode_text(raw, declared, habit).text
    assert not [char for char in text if char < " " and char not in "\t\n\f\r"]
    assert "\x7f" not in text
    name_keys(name)
    assert name.display is not None


def test_declared_sets_may_come_as_one_dicom_value() -> None:
    assert decode_person_name(IR_58, "\\ISO 2022 IR 58").dicom == "Zhang^XiaoDong=张^小东"


def test_long_text_is_decoded_whole() -> None:
    report = "右肺下叶见磨玻璃影，边界不清。" * 100
    decoded = decode_text(report.encode("gbk"), ["ISO_IR 100"])
    assert decoded.text == report
    assert decoded.rule == "repaired:gb18030"


def test_text_keeps_its_line_breaks_and_backslashes() -> None:
    assert decode_text(b"one\r\ntwo\\three\t4", []).text == "one\r\ntwo\\three\t4"


@pytest.mark.parametrize(
    ("description", "raw"),
    [("CT平扫", "CT平扫".encode("gbk")), ("腹部B超（复查）", "腹部B超（复查）".encode("gbk"))],
)
def test_descriptions_mixing_letters_and_hanzi_are_repaired(description: str, raw: bytes) -> None:
    assert decode_text(raw, ["ISO_IR 100"]).text == description


DISPLAYS = [
    ("Wang^XiaoDong=王^小东", "王小东"),
    ("王^小东", "王小东"),
    ("Wang^XiaoDong", "Wang XiaoDong"),
    ("Doe^John^^Dr", "Doe John Dr"),
    ("==やまだ^たろう", "やまだ たろう"),
    ("", ""),
]


@pytest.mark.parametrize(("dicom", "shown"), DISPLAYS)
def test_names_are_shown_as_people_write_them(dicom: str, shown: str) -> None:
    assert parse_person_name(dicom).display == shown


@pytest.mark.parametrize("hostile", ["\u202e东小王", "王\u2069\u202e", "\u2067\u2066王", "قباني"])
def test_direction_controls_cannot_leave_the_shown_name(hostile: str) -> None:
    shown = PersonName(alphabetic=hostile).display
    depth = 0
    for place, char in enumerate(shown):
        depth += (char in "\u2066\u2067\u2068") - (char == "\u2069")
        assert depth > 0 or place == len(shown) - 1
    assert shown[0] == "\u2068"
    assert depth == 0


KEYS = [
    ("Wang^XiaoDong=王^小东", NameKeys("王小东", "wangxiaodong", "wxd", "wangxiaodong")),
    ("王^小东", NameKeys("王小东", "wangxiaodong", "wxd", "")),
    ("Wang^XiaoDong", NameKeys("", "wangxiaodong", "wxd", "wangxiaodong")),
    ("WANG^XIAODONG", NameKeys("", "wangxiaodong", "wxd", "wangxiaodong")),
    ("wang xiaodong", NameKeys("", "wangxiaodong", "wxd", "wangxiaodong")),
    ("W^XD", NameKeys("", "wxd", "wxd", "wxd")),
    ("Smith^John", NameKeys("", "smithjohn", "sj", "smithjohn")),
    ("Müller^Jürgen", NameKeys("", "mullerjurgen", "mj", "mullerjurgen")),
    ("Lü^Bu", NameKeys("", "lvbu", "lb", "lvbu")),
    ("LYU^BU", NameKeys("", "lvbu", "lb", "lvbu")),
    ("ＷＡＮＧ^ＸＩＡＯ", NameKeys("", "wangxiao", "wx", "wangxiao")),
    ("王^小\u200b东\u202c", NameKeys("王小东", "wangxiaodong", "wxd", "")),
    ("", NameKeys("", "", "", "")),
    ("^^", NameKeys("", "", "", "")),
]


@pytest.mark.parametrize(("dicom", "keys"), KEYS)
def test_a_name_is_folded_into_its_keys(dicom: str, keys: NameKeys) -> None:
    assert name_keys(parse_person_name(dicom)) == keys


@pytest.mark.parametrize(
    ("name", "pinyin"),
    [
        ("单^雄信", "shanxiongxin"),
        ("单雄信", "shanxiongxin"),
        ("曾^巩", "zenggong"),
        ("解^缙", "xiejin"),
        ("仇^英", "qiuying"),
        ("朴^树", "piaoshu"),
        ("查^良镛", "zhaliangyong"),
        ("盖^叫天", "gejiaotian"),
        ("区^适子", "oushizi"),
        ("任^长霞", "renzhangxia"),
        ("覃^海", "qinhai"),
        ("翟^志刚", "zhaizhigang"),
        ("员^半千", "yunbanqian"),
        ("吕^布", "lvbu"),
        ("乐^毅", "yueyi"),
        ("尉迟^恭", "yuchigong"),
        ("尉迟恭", "yuchigong"),
        ("万俟^卨", "moqixie"),
        ("长孙^无忌", "zhangsunwuji"),
        ("令狐^冲", "linghuchong"),
    ],
)
def test_surnames_are_read_as_surnames(name: str, pinyin: str) -> None:
    assert name_keys(parse_person_name(name)).pinyin == pinyin


def test_a_surname_reading_does_not_leak_into_the_given_name() -> None:
    assert name_keys(parse_person_name("王^单")).pinyin == "wangdan"


def test_both_surname_characters_give_an_initial() -> None:
    assert name_keys(parse_person_name("尉迟^恭")).initials == "ycg"


def _finds(query: str, name: PersonName) -> bool:
    """The comparison that `query_keys` promises to work."""
    asked, known = query_keys(query), name_keys(name)
    pairs = (
        (asked.hanzi, known.hanzi),
        (asked.pinyin, known.pinyin),
        (asked.initials, known.initials),
        (asked.alphabetic, known.alphabetic),
    )
    return any(key and value.startswith(key) for key, value in pairs)


QUERIES = ["王小东", "王^小东", "wangxiaodong", "wang xiaodong", "Wang^XiaoDong", "wxd", "WANG*"]


@pytest.mark.parametrize("query", [*QUERIES, "Wang^XiaoDong=王^小东", "王"])
@pytest.mark.parametrize("stored", ["Wang^XiaoDong=王^小东", "Wang^XiaoDong"])
def test_every_way_to_ask_finds_the_same_person(query: str, stored: str) -> None:
    assert _finds(query, parse_person_name(stored))


@pytest.mark.parametrize("query", [*QUERIES, "王"])
def test_hanzi_in_the_first_group_are_found_alike(query: str) -> None:
    assert query == "Wang^XiaoDong" or _finds(query, parse_person_name("王^小东"))


@pytest.mark.parametrize("query", ["王晓东", "李", "li", "xd", "*", "?", "", "%", "_", "' OR 1=1"])
def test_other_questions_do_not_find_that_person(query: str) -> None:
    assert not _finds(query, parse_person_name("王^小东"))


@pytest.mark.parametrize(
    ("charset", "written"),
    [
        ("ISO_IR 192", UTF_8),
        ("GB18030", GBK),
        ("GBK", GBK),
        ("\\ISO 2022 IR 58", b"\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\xb6\xab"),
        ("ISO_IR 100", b"?^??"),
        ("", b"?^??"),
        ("no such set", b"?^??"),
        ("../../etc", b"?^??"),
    ],
)
def test_answers_are_written_in_the_set_of_the_asker(charset: str, written: bytes) -> None:
    assert encode_text(WANG, charset) == written
    assert encodable(WANG, charset) == (b"?" not in written)


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("ISO_IR 192", "王^小东=قباني"),
        ("GB18030", "王^𠅤"),
        ("\\ISO 2022 IR 58", "Wang^XiaoDong=王^小东"),
        ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 100", "Müller^Jürgen"),
        ("ISO_IR 144", "Люкceмбypг"),
    ],
)
def test_what_is_written_in_a_set_reads_back_the_same(charset: str, text: str) -> None:
    name = decode_person_name(encode_text(text, charset), charset.split("\\"))
    assert name.dicom == text
    assert name.confident


def test_decoding_is_quick_enough_for_every_slice_of_a_study() -> None:
    decode_person_name(GBK, ["ISO_IR 100"])
    started = time.process_time()
    for _ in range(2000):
        name_keys(decode_person_name(GBK, ["ISO_IR 100"]))
    assert time.process_time() - started < 1.0


_SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋"
_GIVEN = (
    "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂红玉梅云华建国志文德海燕春花小东晓喆垚淼雪"
)


@pytest.mark.parametrize("separator", ["^", ""])
@pytest.mark.parametrize(
    ("codec", "declared"),
    [
        ("gbk", ()),
        ("gbk", ("ISO_IR 100",)),
        ("gbk", ("ISO_IR 192",)),
        ("gbk", ("GB18030",)),
        ("utf-8", ()),
        ("utf-8", ("GBK",)),
        ("utf-8", ("ISO_IR 100",)),
    ],
)
def test_a_wrong_reading_of_a_chinese_name_is_never_trusted(
    codec: str, declared: tuple[str, ...], separator: str
) -> None:
    """Two characters only: the shortest names are the easiest to mistake."""
    names = [surname + separator + given for surname in _SURNAMES for given in _GIVEN]
    read = [(name, decode_person_name(name.encode(codec), declared)) for name in names]
    assert not [name for name, found in read if found.confident and found.dicom != name]
    right = sum(found.dicom == name for name, found in read)
    assert right >= 0.995 * len(names)
