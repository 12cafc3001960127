import time

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_index.hl7v2.escapes import Delimiters, escaped, unescaped

ODD = Delimiters("$", "*", "!", "?", "@")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (r"O\T\B", "O&B"),
        (r"a\F\b\S\c\R\d\E\e", "a|b^c~d\\e"),
        (r"one\.br\two", "one\ntwo"),
        (r"\H\loud\N\ ", "loud "),
        (r"\X41\\X4a4B\ ", "AJK "),
        (r"\XE78E8B\ ", "王 "),
        (r"\X0D0A\x", "\nx"),
        (r"\Zlocal\kept", "kept"),
        (r"lone \ backslash", r"lone \ backslash"),
        (r"\XQQ\ ", " "),
    ],
)
def test_each_escape_sequence_means_what_the_standard_says(sent: str, meant: str) -> None:
    assert unescaped(sent) == meant


def test_hexadecimal_bytes_are_of_the_messages_own_set() -> None:
    assert unescaped(r"\XCDF5\ ", charset="gb18030") == "王 "


def test_a_formatting_sequence_with_a_number_costs_nothing() -> None:
    """python-hl7's own unescape makes four gigabytes of blanks of this."""
    began = time.process_time()
    assert unescaped(r"\.in999999999\x" * 100) == " x" * 100
    assert time.process_time() - began < 1


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs"]), max_size=60))
def test_any_text_survives_being_written_and_read(text: str) -> None:
    for delimiters in (Delimiters(), ODD):
        written = escaped(text, delimiters)
        assert unescaped(written, delimiters) == text
        marks = {delimiters.field, delimiters.component, delimiters.repetition}
        assert not marks & set(written)


def test_what_is_written_is_one_value_for_another_reader() -> None:
    text = r"a|b^c~d&e\f"
    message = hl7.parse(f"MSH|^~\\&|A\rPID|{escaped(text)}")
    assert message.unescape(str(message.segments("PID")[0][1])) == text


def test_line_breaks_cannot_begin_a_segment() -> None:
    assert escaped("1\rPID|2\r\nx\ny\x1c\x0bz") == r"1\.br\PID\F\2\.br\x\.br\yz"
