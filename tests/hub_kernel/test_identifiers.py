import pytest

from hub_kernel.errors import InvalidUidError, InvalidValueError
from hub_kernel.identifiers import (
    AssigningAuthority,
    PatientIdentifier,
    SystemUidFactory,
    parse_cx,
    require_uid,
)


@pytest.mark.parametrize("uid", ["1", "1.2.840.10008.1.1", "1." + "2" * 62, "1.002.3"])
def test_a_uid_passes_unchanged(uid: str) -> None:
    assert require_uid(uid, "Study Instance UID") == uid


@pytest.mark.parametrize(
    "uid",
    [
        "",
        ".",
        "1.",
        ".1",
        "1..2",
        "1.2\0",
        "../../x",
        "/etc/passwd",
        "1" * 65,
        "1.2 ",
        "１.2",
        "1.2\n",
    ],
)
def test_what_is_no_uid_is_refused_without_repeating_it(uid: str) -> None:
    with pytest.raises(InvalidUidError, match="SOP Instance UID is not a UID") as refusal:
        require_uid(uid, "SOP Instance UID")
    assert "etc" not in str(refusal.value)


def test_an_identifier_is_written_as_cx_and_read_back() -> None:
    identifier = PatientIdentifier("A-17", AssigningAuthority("SIJING", "1.2.156.1"))
    assert identifier.cx == "A-17^^^&1.2.156.1&ISO"
    assert parse_cx(identifier.cx) == ("A-17", "1.2.156.1")


@pytest.mark.parametrize(
    "text", ["", "17", "17^^^SIJING", "17^^^&x&ISO", "^^^&1.2&ISO", "1^^^&1.2&DNS"]
)
def test_what_is_no_cx_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match="value"):
        parse_cx(text)


@pytest.mark.parametrize(
    ("namespace", "oid"), [("", "1.2"), ("A&B", "1.2"), ("A", "one"), ("A", "1..2")]
)
def test_an_authority_that_would_break_a_cx_is_refused(namespace: str, oid: str) -> None:
    with pytest.raises(InvalidValueError, match="assigning authority"):
        AssigningAuthority(namespace, oid)


def test_made_uids_are_valid_and_differ() -> None:
    factory = SystemUidFactory()
    first, second = factory.new_uid(), factory.new_uid()
    assert require_uid(first, "UID") != require_uid(second, "UID")
