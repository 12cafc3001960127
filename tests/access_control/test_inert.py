import sys
import unicodedata

import pytest

from access_control.inert import inert


@pytest.mark.parametrize("text", ["", "plain text", "李医生", "a-b_c.d/e:f", "naïve 😀"])
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert inert(text, 100) == text


def test_no_character_at_all_survives_that_cannot_be_printed() -> None:
    for start in range(0, sys.maxunicode + 1, 4096):
        block = "".join(map(chr, range(start, start + 4096)))
        shown = inert(block, 100_000)
        assert shown.isprintable()
        assert "\n" not in shown
        shown.encode()


def test_an_escape_written_by_a_stranger_does_not_read_as_ours() -> None:
    assert inert("a\nb", 100) == "a\\u000ab"
    assert inert("a\\u000ab", 100) == "a\\\\u000ab"


@pytest.mark.parametrize("text", ["x" * 50, "\n" * 50, "\\" * 50])
def test_the_result_is_never_longer_than_asked(text: str) -> None:
    assert len(inert(text, 10)) == 10


def test_text_that_turns_direction_is_spelled_out() -> None:
    assert unicodedata.category("\u202e") == "Cf"
    assert inert("\u202eevil", 100) == "\\u202eevil"
