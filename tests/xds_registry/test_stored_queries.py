"""Stored query parameters: their coding style, and what they match (ITI TF-2 3.18.4.1.2.3)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.effort import little_effort
from tests.xds_registry.samples import CT, MR, entry
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.model import Author, DocumentEntry, ReferenceId
from xds_registry.stored_queries import REFERENCE_FILTERS, Parameters, document_filter, like

SERVICE_FROM, SERVICE_TO = (f"$XDSDocumentEntryServiceStartTime{x}" for x in ("From", "To"))


def parameters(*slots: tuple[str, str]) -> Parameters:
    return Parameters.parse([(name, [text]) for name, text in slots])


def matches(document: DocumentEntry, *slots: tuple[str, str]) -> bool:
    return document_filter(parameters(*slots), REFERENCE_FILTERS)(document)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("'a'", ("a",)),
        ("('a')", ("a",)),
        ("('a','b')", ("a", "b")),
        (" ( 'a' , 'b' ) ", ("a", "b")),
        ("20240101", ("20240101",)),
        ("('O''Brien')", ("O'Brien",)),
        ("''", ("",)),
        ("('a,b')", ("a,b",)),
        ("('x) OR (1=1')", ("x) OR (1=1",)),
        ("'''; DROP TABLE document_entry; --'", ("'; DROP TABLE document_entry; --",)),
    ],
)
def test_values_are_literals(text: str, values: tuple[str, ...]) -> None:
    assert parameters(("$x", text)).all("$x") == values


@pytest.mark.parametrize("text", ["'a", "a'", "('a',)", "('a' 'b')", "'a' OR 'b'", "(,)", "'a''"])
def test_what_is_no_literal_is_refused(text: str) -> None:
    with pytest.raises(XdsRefusalError) as refused:
        parameters(("$x", text))
    assert refused.value.code == ErrorCode.REGISTRY_ERROR


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_text_survives_quoting(values: list[str]) -> None:
    quoted = ",".join("'" + value.replace("'", "''") + "'" for value in values)
    assert parameters(("$x", f"({quoted})")).all("$x") == tuple(values)


def test_values_of_one_slot_are_alternatives() -> None:
    name = "$XDSDocumentEntryEventCodeList"
    document = entry(event_codes=(CT,))
    assert matches(document, (name, f"('{CT.key}','{MR.key}')"))
    assert not matches(document, (name, f"('{MR.key}')"))


def test_repeated_slots_must_all_match() -> None:
    name = "$XDSDocumentEntryEventCodeList"
    slots = ((name, f"('{CT.key}')"), (name, f"('{MR.key}')"))
    assert matches(entry(event_codes=(CT, MR)), *slots)
    assert not matches(entry(event_codes=(CT,)), *slots)


def test_several_value_elements_of_one_slot_are_alternatives_too() -> None:
    name = "$XDSDocumentEntryEventCodeList"
    query = Parameters.parse([(name, [f"('{CT.key}')", f"('{MR.key}')"])])
    assert document_filter(query)(entry(event_codes=(MR,)))


def test_the_scheme_of_a_code_counts() -> None:
    assert not matches(entry(), ("$XDSDocumentEntryClassCode", "('IMAGES^^1.2.3')"))


@pytest.mark.parametrize("text", ["('IMAGES')", "('IMAGES^x^1.2')", "('a^^b^^c')"])
def test_a_code_without_its_scheme_is_refused(text: str) -> None:
    with pytest.raises(XdsRefusalError) as refused:
        matches(entry(), ("$XDSDocumentEntryClassCode", text))
    assert refused.value.code == ErrorCode.REGISTRY_ERROR


@pytest.mark.parametrize(
    ("attribute", "parameter"),
    [
        ("class_code", "ClassCode"),
        ("type_code", "TypeCode"),
        ("practice_setting_code", "PracticeSettingCode"),
        ("healthcare_facility_type_code", "HealthcareFacilityTypeCode"),
        ("format_code", "FormatCode"),
    ],
)
def test_each_code_parameter_matches_its_own_attribute(attribute: str, parameter: str) -> None:
    name = f"$XDSDocumentEntry{parameter}"
    assert matches(replace(entry(), **{attribute: CT}), (name, f"('{CT.key}')"))
    assert not matches(entry(), (name, f"('{CT.key}')"))


def test_confidentiality_codes_match_any_of_an_entry() -> None:
    document = replace(entry(), confidentiality_codes=(CT, MR))
    assert matches(document, ("$XDSDocumentEntryConfidentialityCode", f"('{MR.key}')"))


@pytest.mark.parametrize(
    ("moment", "since", "before", "matched"),
    [
        ("20240102030405", "20240102030405", "20240102030406", True),
        ("20240102030405", "20240102030406", "20250101", False),
        ("20240102030405", "2023", "20240102030405", False),
        ("20240102030405", "2024", "2025", True),
        ("2024", "20240101000000", "20240101000001", True),
        ("", "2024", "2025", True),
    ],
    ids=["from-included", "too-early", "to-excluded", "year", "less-precise", "missing"],
)
def test_a_time_matches_from_its_start_up_to_but_not_including_its_end(
    moment: str, since: str, before: str, *, matched: bool
) -> None:
    document = entry(service_start_time=moment)
    assert matches(document, (SERVICE_FROM, since), (SERVICE_TO, f"'{before}'")) is matched


@pytest.mark.parametrize("text", ["'2024-01-01'", "'20241301'", "'now'", "'20240101T00'"])
def test_a_time_that_is_no_dtm_is_refused(text: str) -> None:
    with pytest.raises(XdsRefusalError) as refused:
        matches(entry(), (SERVICE_FROM, text))
    assert refused.value.code == ErrorCode.REGISTRY_ERROR


def test_a_time_given_twice_is_refused() -> None:
    with pytest.raises(XdsRefusalError) as refused:
        matches(entry(), (SERVICE_FROM, "('2023','2024')"))
    assert refused.value.code == ErrorCode.STORED_QUERY_PARAM_NUMBER


def test_an_author_matches_a_pattern() -> None:
    document = replace(entry(), authors=(Author("^Smitty^Gerald^^^"), Author("^王^小东")))
    name = "$XDSDocumentEntryAuthorPerson"
    assert matches(document, (name, "('%Smitty%')"))
    assert matches(document, (name, "('%王%')"))
    assert not matches(document, (name, "('Smitty')"))
    assert not matches(entry(), (name, "('%')"))


@pytest.mark.parametrize(
    ("pattern", "text", "matched"),
    [
        ("a%c", "abc", True),
        ("a%c", "ab", False),
        ("a_c", "abc", True),
        ("a_c", "ac", False),
        ("%", "", True),
        ("%b%b%", "abab", True),
        ("%b%b%", "ab", False),
        ("%ab", "aab", True),
        ("ab%", "ab", True),
        (".*", "x", False),
        ("[a]", "[a]", True),
    ],
)
def test_a_pattern_is_that_of_sql_and_nothing_else(
    pattern: str, text: str, *, matched: bool
) -> None:
    assert bool(like(pattern).fullmatch(text)) is matched


def test_a_pattern_of_many_wildcards_costs_little() -> None:
    with little_effort(0.5):
        assert not like("%a" * 100 + "%b").fullmatch("a" * 250)


def test_a_reference_id_matches_as_a_whole() -> None:
    reference = ReferenceId.accession("A-1", "1.2.3")
    document = replace(entry(), reference_ids=(reference, ReferenceId.study("1.2.3.4")))
    name = "$XDSDocumentEntryReferenceIdList"
    assert matches(document, (name, f"('{reference.cxi}')"))
    assert not matches(document, (name, "('A-1')"))
    assert not matches(document, (name, f"('{reference.cxi}')"), (name, "('x')"))


def test_parameters_a_query_does_not_have_are_not_looked_at() -> None:
    query = parameters(("$XDSDocumentEntryReferenceIdList", "('x')"), ("$MetadataLevel", "1"))
    assert document_filter(query)(entry())


def test_a_missing_parameter_is_named() -> None:
    with pytest.raises(XdsRefusalError) as refused:
        parameters().required("$patientId")
    assert (refused.value.code, refused.value.place) == (
        ErrorCode.STORED_QUERY_MISSING_PARAM,
        "$patientId",
    )


def test_one_of_two_parameters_is_needed_and_no_more() -> None:
    both = parameters(("$a", "'1'"), ("$b", "'2'"))
    with pytest.raises(XdsRefusalError) as refused:
        both.one_of("$a", "$b")
    assert refused.value.code == ErrorCode.STORED_QUERY_PARAM_NUMBER
    with pytest.raises(XdsRefusalError) as missing:
        parameters().one_of("$a", "$b")
    assert missing.value.code == ErrorCode.STORED_QUERY_MISSING_PARAM
