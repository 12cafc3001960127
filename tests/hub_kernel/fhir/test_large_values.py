"""Documents inside resources: long values pass where they are let, and take no undue time."""

import base64
import time

import pytest

from hub_kernel.fhir.formats import JSON, XML, Format
from hub_kernel.fhir.outcome import FhirRefusedError
from hub_kernel.fhir.primitives import PRIMITIVES, base64_text
from hub_kernel.fhir.validation import require_valid
from hub_kernel.fhir.xml_format import write_xml

DATA = base64.b64encode(bytes(range(256)) * 4096).decode()
BINARY = {"resourceType": "Binary", "contentType": "text/plain", "data": DATA}


@pytest.mark.parametrize("written_as", [JSON, XML], ids=["json", "xml"])
def test_a_document_of_a_megabyte_comes_through(written_as: Format) -> None:
    read = written_as.read(written_as.write(BINARY), 4 * 1024 * 1024)
    require_valid(read, "Binary")
    assert read["data"] == DATA


def test_a_long_tag_is_refused_where_none_is_expected() -> None:
    with pytest.raises(FhirRefusedError):
        XML.read(write_xml(BINARY), 128 * 1024)


def test_hostile_base64_takes_no_longer_than_honest_base64() -> None:
    hostile = "AAAA    " * 8000 + "!"
    started = time.process_time()
    assert base64_text(hostile) is None
    assert not PRIMITIVES["base64Binary"].accepts(hostile)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("text", ["", "A", "AAA", "AA=A", "AAAA=", "====", "AAé="])
def test_what_is_no_base64_is_refused(text: str) -> None:
    assert base64_text(text) is None


def test_blanks_in_base64_are_let_go() -> None:
    assert base64_text(" QU\nJD\tRA= = ") == "QUJDRA=="


def test_narrative_is_written_only_as_one_div() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>text</p></div>'
    patient = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    assert div.encode() in write_xml(patient)
    for hostile in ("</text><x/>", "<div>no namespace</div>", f"{div}{div}", "<!DOCTYPE div>"):
        patient["text"] = {"status": "generated", "div": hostile}
        assert hostile.encode() not in write_xml(patient)
