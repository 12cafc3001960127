import pytest

from patient_index.hl7v2.charsets import encode_answer, read_charset

NAME = "PID|1||1^^^A||王^小东"


@pytest.mark.parametrize(
    ("declared", "codec"),
    [
        ("GB 18030-2000", "gb18030"),
        ("GB18030", "gb18030"),
        ("GBK", "gbk"),
        ("UNICODE UTF-8", "utf-8"),
        ("UTF-8", "utf-8"),
        ("UNICODE", "utf-8"),
        ("BIG-5", "big5"),
        ("", "gbk"),
        ("", "utf-8"),
        ("8859/1", "gbk"),
        ("GB18030", "utf-8"),
    ],
)
def test_a_chinese_name_is_read_under_right_wrong_and_missing_labels(
    declared: str, codec: str
) -> None:
    text = NAME if codec != "big5" else NAME.replace("东", "東")
    charset = read_charset((declared,) if declared else ())
    read = charset.decode(text.encode(codec))
    assert read.text == text
    assert read.confident


def test_gbk_labelled_as_utf_8_is_read_but_never_trusted() -> None:
    read = read_charset(("UNICODE UTF-8",)).decode(NAME.encode("gbk"))
    assert read.text == NAME
    assert not read.confident


def test_second_bytes_that_look_like_delimiters_stay_inside_their_character() -> None:
    """In GB 18030 the second bytes of these four are all the delimiters there are."""
    name = "乗俓^亅乛亊"
    raw = name.encode("gb18030")
    assert all(mark in raw for mark in (b"\\", b"|", b"~", b"^"))
    read = read_charset(("GB 18030-2000",)).decode(raw)
    assert read.text == name


def test_iso_2022_text_leaves_no_escape_byte() -> None:
    raw = b"PID|1||1||\x1b$)A" + "王".encode("gb2312")
    read = read_charset(("ISO IR58",)).decode(raw)
    assert read.text == "PID|1||1||王"


@pytest.mark.parametrize("name", ["../../etc/passwd", "KLINGON", "x" * 10_000])
def test_a_set_that_nobody_knows_is_named(name: str) -> None:
    assert read_charset((name,)).unknown == name


def test_fifty_sets_are_too_many() -> None:
    assert read_charset(("ASCII",) * 50).unknown


@pytest.mark.parametrize(
    ("declared", "text", "codec", "said"),
    [
        ("GB 18030-2000", "王?", "gb18030", "GB 18030-2000"),
        ("UNICODE UTF-8", "王", "utf-8", "UNICODE UTF-8"),
        ("8859/1", "plain", "ascii", "8859/1"),
        ("8859/1", "Müller", "latin_1", "8859/1"),
        ("8859/1", "王?", "utf-8", "UNICODE UTF-8"),
        ("", "王", "utf-8", "UNICODE UTF-8"),
        ("", "plain", "ascii", ""),
        ("KLINGON", "plain", "ascii", ""),
        ("KLINGON", "王", "utf-8", "UNICODE UTF-8"),
    ],
)
def test_an_answer_is_in_the_askers_set_if_that_can_hold_it(
    declared: str, text: str, codec: str, said: str
) -> None:
    charset = read_charset((declared,) if declared else ())
    assert encode_answer(text, charset) == (text.encode(codec), said)
