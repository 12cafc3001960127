"""JSON and XML: both ways the same content, within bounds, and valid for a foreign oracle."""

import json
import time
from decimal import Decimal
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from hub_kernel.fhir.formats import JSON, XML, answer_format, body_format
from hub_kernel.fhir.json_format import read_json, write_json
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, operation_outcome
from hub_kernel.fhir.primitives import tidied
from hub_kernel.fhir.validation import problems, require_valid
from hub_kernel.fhir.xml_format import read_xml, write_xml
from tests.support.effort import little_effort

FHIR = 'xmlns="http://hl7.org/fhir"'
EXTENSION = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"

text = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), min_size=1
).filter(lambda value: value.strip() != "")
code = st.from_regex(r"[a-z][a-z0-9-]{0,10}", fullmatch=True)
day = st.dates().filter(lambda one: one.year > 999).map(lambda one: one.isoformat())
coding = st.fixed_dictionaries({"code": code}, optional={"display": text})
concept = st.fixed_dictionaries({"coding": st.lists(coding, min_size=1, max_size=2)})
identifier = st.fixed_dictionaries(
    {"system": st.just("urn:oid:1.2.3"), "value": text},
    optional={"use": st.sampled_from(["usual", "official", "old"]), "type": concept},
)
absent = st.just({"extension": [{"url": EXTENSION, "valueCode": "unknown"}]})
name = st.fixed_dictionaries(
    {"family": text},
    optional={
        "given": st.lists(text, min_size=1, max_size=3),
        "use": st.sampled_from(["official", "maiden"]),
        "_family": absent,
    },
)
extension = st.one_of(
    st.fixed_dictionaries({"url": st.just("http://a.b/c"), "valueString": text}),
    st.fixed_dictionaries({"url": st.just("http://a.b/d"), "valueBoolean": st.booleans()}),
    st.fixed_dictionaries({"url": st.just("http://a.b/e"), "valueInteger": st.integers(-5, 5)}),
)
patients = st.fixed_dictionaries(
    {"resourceType": st.just("Patient")},
    optional={
        "id": st.from_regex(r"[A-Za-z0-9.-]{1,64}", fullmatch=True),
        "identifier": st.lists(identifier, min_size=1, max_size=3),
        "active": st.booleans(),
        "name": st.lists(name, min_size=1, max_size=3),
        "gender": st.sampled_from(["male", "female", "other", "unknown"]),
        "birthDate": day,
        "extension": st.lists(extension, min_size=1, max_size=2),
        "multipleBirthInteger": st.integers(1, 9),
        "maritalStatus": concept,
    },
)


@given(patients)
def test_every_patient_comes_back_from_json_and_from_xml_as_it_was(patient: Any) -> None:
    assert list(problems(patient, "Patient")) == []
    assert read_json(write_json(patient)) == patient
    assert read_xml(write_xml(patient)) == patient


@given(patients)
def test_what_passes_the_check_passes_the_oracle(patient: Any) -> None:
    model = get_fhir_model_class("Patient").model_validate_json(write_json(patient))
    assert model.get_resource_type() == "Patient"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(patients, st.sampled_from(["identifier", "name", "gender", "birthDate", "_name", "x"]), JUNK)
def test_junk_in_any_element_is_refused_or_valid_and_never_an_accident(
    patient: Any, element: str, junk: Any
) -> None:
    """Whatever passes our check passes the oracle: ours is at least as strict."""
    patient = {**patient, element: junk}
    if not list(problems(patient, "Patient")):
        get_fhir_model_class("Patient").model_validate_json(write_json(patient))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused_by_both_readers(data: bytes) -> None:
    for read in (read_json, read_xml):
        try:
            read(data)
        except FhirRefusedError as refusal:
            assert refusal.status == 400


@given(JUNK)
def test_tidied_content_holds_nothing_empty(junk: Any) -> None:
    def check(value: Any) -> None:
        for one in value if isinstance(value, list) else []:
            assert one not in (None, "", [], {})
            check(one)
        for one in value.values() if isinstance(value, dict) else []:
            assert one not in (None, "", [], {})
            check(one)

    check(tidied(junk))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'"Patient"',
        b"{" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": 1e999999999}',
        b'{"a": 1.0e-99999}',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\xff"}',
        b'{"a": 1} {"b": 2}',
        b"{'a': 1}",
        b'{"a": [' + b"1," * 60_000 + b"1]}",
        "{}".encode("utf-16"),
    ],
)
def test_json_beyond_the_bounds_is_refused_at_once(data: bytes) -> None:
    with little_effort(0.5), pytest.raises(FhirRefusedError) as refused:
        read_json(data)
    assert refused.value.status == 400


def test_brackets_inside_strings_are_no_depth() -> None:
    assert read_json(b'{"a": "' + b"[" * 1000 + b'\\""}') == {"a": "[" * 1000 + '"'}


def test_numbers_are_read_exactly() -> None:
    assert read_json(b'{"a": 1.10}') == {"a": Decimal("1.10")}


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<Patient/>",
        "<Patient xmlns='urn:other'/>",
        f"<Nobody {FHIR}/>",
        f"<!DOCTYPE Patient [<!ENTITY a 'b'>]><Patient {FHIR}/>",
        f"<!DOCTYPE Patient SYSTEM 'file:///etc/passwd'><Patient {FHIR}/>",
        f"<Patient {FHIR}>" + "<name>" * 1_000,
        f"<Patient {FHIR}><active value='true'/><active value='true'/></Patient>",
        f"<Patient {FHIR}><surname value='x'/></Patient>",
        f"<Patient {FHIR}><x:active xmlns:x='urn:other' value='true'/></Patient>",
        f"<Patient {FHIR} " + " ".join(f"a{n}='1'" for n in range(100)) + "/>",
        f"<Patient {FHIR} a='{'x' * 400_000}",
        f"<?xml version='1.0' encoding='gbk'?><Patient {FHIR}/>",
    ],
)
def test_hostile_xml_is_refused_at_once(document: str) -> None:
    start = time.process_time()
    with pytest.raises(FhirRefusedError) as refused:
        read_xml(document.encode())
    assert (refused.value.status, time.process_time() - start < 0.5) == (400, True)
    assert "root:" not in str(refused.value.issues)


def test_narrative_is_bounded_and_let_go() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p onclick="x()">text</p></div>'
    data = f"<Patient {FHIR}><text><status value='generated'/>{div}</text></Patient>"
    patient = read_xml(data.encode())
    require_valid(patient, "Patient")
    assert "onclick" not in str(patient)


def test_contained_resources_of_other_types_are_carried_unread() -> None:
    data = f"<Patient {FHIR}><contained><Basic><x value='1'/></Basic></contained></Patient>"
    patient = read_xml(data.encode())
    require_valid(patient, "Patient")
    assert patient["contained"] == [{"resourceType": "Basic"}]


def test_xml_has_the_order_and_the_attributes_of_fhir() -> None:
    """The order of JSON keys is the sender's; XML has one order (xml.html)."""
    written = write_xml(
        {
            "resourceType": "Patient",
            "birthDate": "1960",
            "name": [{"given": ["a\n<&\"'", "b"], "family": "c", "id": "n1"}],
            "extension": [{"url": "http://a.b/c", "valueBoolean": True}],
            "id": "p1",
        }
    )
    root = etree.fromstring(written)
    tags = [etree.QName(one).localname for one in root]
    assert tags == ["id", "extension", "name", "birthDate"]
    assert root[1].get("url") == "http://a.b/c"
    assert root[1][0].get("value") == "true"
    assert root[2].get("id") == "n1"
    assert [one.get("value") for one in root[2]] == ["c", "a\n<&\"'", "b"]


@pytest.mark.parametrize(
    ("patient", "place", "code"),
    [
        ({"birthDate": "2023-02-30"}, "Patient.birthDate", "value"),
        ({"birthDate": 1960}, "Patient.birthDate", "value"),
        ({"gender": "男"}, "Patient.gender", "code-invalid"),
        ({"active": "true"}, "Patient.active", "value"),
        ({"active": None}, "Patient.active", "value"),
        ({"name": {}}, "Patient.name", "structure"),
        ({"name": []}, "Patient.name", "structure"),
        ({"name": [{}]}, "Patient.name[0]", "structure"),
        ({"name": [{"family": ""}]}, "Patient.name[0].family", "value"),
        ({"name": [{"family": "a\x00b"}]}, "Patient.name[0].family", "value"),
        ({"name": [{"family": "\ud800"}]}, "Patient.name[0].family", "value"),
        ({"name": [{"given": [None]}]}, "Patient.name[0].given[0]", "value"),
        ({"name": [{"given": "x"}]}, "Patient.name[0].given", "structure"),
        ({"surname": "x"}, "Patient.surname", "structure"),
        ({"_name": [{}]}, "Patient._name", "structure"),
        ({"link": [{"type": "replaced-by"}]}, "Patient.link[0].other", "required"),
        (
            {"multipleBirthInteger": 1, "multipleBirthBoolean": True},
            "Patient.multipleBirthBoolean",
            "structure",
        ),
        ({"multipleBirthInteger": 2**40}, "Patient.multipleBirthInteger", "value"),
        ({"extension": [{"valueString": "x"}]}, "Patient.extension[0].url", "required"),
        ({"contained": ["x"]}, "Patient.contained[0]", "structure"),
        ({"identifier": [[]]}, "Patient.identifier[0]", "structure"),
    ],
)
def test_a_refusal_names_the_element(patient: Any, place: str, code: str) -> None:
    found = list(problems({"resourceType": "Patient", **patient}, "Patient"))
    assert [(one.where, one.code) for one in found] == [(place, code)]


def test_a_refusal_does_not_repeat_what_may_be_about_a_person() -> None:
    patient = {"resourceType": "Patient", "birthDate": "王小东", "name": [{"family": 7}]}
    said = json.dumps(operation_outcome(problems(patient, "Patient")), ensure_ascii=False)
    assert "王小东" not in said
    assert "birthDate" in said


def test_an_outcome_speaks_chinese_and_english_and_passes_the_oracle() -> None:
    issue = Issue("value", "x", "wrong", "错误", where="Patient.id", came="a\nb", allowed="1")
    resource = operation_outcome([issue] * 30)
    said = resource["issue"][0]
    assert "错误" in said["details"]["text"]
    assert "wrong" in said["details"]["text"]
    assert said["expression"] == ["Patient.id"]
    assert len(resource["issue"]) == 20
    get_fhir_model_class("OperationOutcome").model_validate_json(write_json(resource))
    assert read_xml(write_xml(resource)) == resource


@pytest.mark.parametrize(
    ("wanted", "accept", "expected"),
    [
        ("", "", JSON),
        ("", "*/*", JSON),
        ("", "application/fhir+xml", XML),
        ("", "text/html, application/xml;q=0.9, */*;q=0.1", XML),
        ("", "application/fhir+json;q=0.1, application/fhir+xml", XML),
        ("", "application/fhir+xml;q=0, application/json", JSON),
        ("", "application/fhir+json; fhirVersion=4.0", JSON),
        ("xml", "application/json", XML),
        ("application/fhir json", "", JSON),
        ("text/xml", "", XML),
    ],
)
def test_the_format_of_the_answer_is_negotiated(wanted: str, accept: str, expected: Any) -> None:
    assert answer_format(wanted, accept) is expected


@pytest.mark.parametrize(
    ("wanted", "accept"),
    [("ttl", ""), ("", "text/html"), ("", "application/fhir+json; fhirVersion=5.0"), ("html", "")],
)
def test_what_cannot_be_produced_is_not_acceptable(wanted: str, accept: str) -> None:
    with pytest.raises(FhirRefusedError) as refused:
        answer_format(wanted, accept)
    assert refused.value.status == 406


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "json", "application/json; charset=gbk"]
)
def test_a_body_of_another_type_is_refused(content_type: str) -> None:
    with pytest.raises(FhirRefusedError) as refused:
        body_format(content_type)
    assert refused.value.status == 415
