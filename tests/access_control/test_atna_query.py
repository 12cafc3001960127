from urllib.parse import quote

from lxml import etree

from access_control.atna_query import STRUCK, fhir_search, hl7_parameters, stored_query

RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
PATIENT = "'P-1^^^&1.2.3&ISO'"


def _request(**slots: str) -> etree._Element:
    inside = "".join(
        f'<Slot name="${name}"><ValueList><Value>{value.replace("&", "&amp;")}</Value></ValueList>'
        "</Slot>"
        for name, value in slots.items()
    )
    return etree.fromstring(
        f'<q><AdhocQuery xmlns="{RIM}" id="urn:uuid:14d4debf-8f97-4251-9a74-a90016b0af0d">'
        f"<!-- 王小东 -->{inside}</AdhocQuery></q>"
    )


def _values(text: str) -> list[str | None]:
    return [value.text for value in etree.fromstring(text).iter(f"{{{RIM}}}Value")]


def test_a_stored_query_keeps_identifiers_codes_and_times() -> None:
    request = _request(
        XDSDocumentEntryPatientId=PATIENT,
        XDSDocumentEntryClassCode="('18748-4^^LOINC')",
        XDSDocumentEntryCreationTimeFrom="20260101",
    )
    assert _values(stored_query(request)) == [PATIENT, "('18748-4^^LOINC')", "20260101"]


def test_a_stored_query_loses_authors_comments_and_unknown_parameters() -> None:
    request = _request(XDSDocumentEntryAuthorPerson="('%Wang%')", nonsense1="Wang")
    text = stored_query(request)
    assert _values(text) == [STRUCK, STRUCK]
    assert "王小东" not in text
    assert "王小东" in etree.tostring(request, encoding="unicode")  # the request stays as it was


def test_a_search_keeps_its_shape_and_no_name() -> None:
    told = fhir_search("Patient", f"family=Wang&given={quote('小东')}&identifier=urn:oid:1.2|7&x=y")
    assert told == "Patient?family=*&given=*&identifier=urn:oid:1.2|7&x=*"
    assert fhir_search("Patient/$ihe-pix", "") == "Patient/$ihe-pix"


def test_a_demographics_query_keeps_identifiers_only() -> None:
    told = hl7_parameters("@PID.5.1^WANG~@PID.7^19800101~@PID.3.1^17")
    assert told == "@PID.5.1=*~@PID.7=*~@PID.3.1=17"
