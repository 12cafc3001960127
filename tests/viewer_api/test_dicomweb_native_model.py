"""Metadata and search results as XML: the Native DICOM Model as DCMTK has it, sent in parts."""

import subprocess
from collections.abc import Callable, Iterator

import numpy
import pytest
from flask.testing import FlaskClient
from lxml import etree
from pydicom import dcmread
from pydicom.data import get_testdata_file

from access_control.model import Role
from tests.support.tools import require_tool
from tests.viewer_api.multipart import parts_of
from tests.viewer_api.region import Region
from viewer_api.dicomweb.json_model import Expression, dataset_to_json
from viewer_api.dicomweb.native_model import native_xml

NATIVE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
ANY = "{*}"  # DCMTK prints it without a namespace
XML = 'multipart/related; type="application/dicom+xml"'
_NUMBERS: dict[str, Callable[[str], str | float]] = {
    "DS": float,
    "FD": float,
    "FL": lambda text: float(numpy.float32(text)),
}
# What the hub says otherwise than the file: its text is UTF-8, whatever it was.
_RECODED = "00080005"

Attributes = dict[tuple[str, ...], tuple[str, list[str | float]]]


def attributes_of(node: etree._Element, path: tuple[str, ...] = ()) -> Attributes:
    """What a document says: path of creators, tags and items → VR and values, numbers as such."""
    found: Attributes = {}
    for one in node.iterfind(f"{ANY}DicomAttribute"):
        vr = one.get("vr", "")
        key = (*path, one.get("privateCreator", ""), one.get("tag", ""))
        values = [*one.iterfind(f"{ANY}Value"), *one.iterfind(f"{ANY}PersonName")]
        read = _NUMBERS.get(vr, str)
        found[key] = vr, [read(_text(value)) for value in values]
        for item in one.iterfind(f"{ANY}Item"):
            found.update(attributes_of(item, (*key, item.get("number", ""))))
    return {key: value for key, value in found.items() if key[-1] != _RECODED}


def _text(value: etree._Element) -> str:
    return "^".join(text.strip() for text in value.itertext() if text.strip())


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small.dcm",
        "reportsi.dcm",
        "examples_ybr_color.dcm",
        "rtplan.dcm",
        "liver_1frame.dcm",
    ],
)
def test_it_is_what_dcmtk_makes_of_the_same_file(name: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    command = [require_tool("dcm2xml"), "--native-format", "--convert-to-utf8", path]
    printed = subprocess.run(command, capture_output=True, check=True).stdout
    ours = attributes_of(etree.fromstring(native_xml(dataset_to_json(dcmread(path), _HERE))))
    theirs = attributes_of(etree.fromstring(printed, etree.XMLParser(huge_tree=True)))
    assert ours == theirs
    assert len(ours) > 60


_HERE = Expression("http://localhost")


def written(attributes: dict[str, object]) -> etree._Element:
    (node,) = etree.fromstring(native_xml(attributes))
    return node


def test_a_name_is_taken_apart_into_groups_and_components() -> None:
    name = {"Alphabetic": "Wang^XiaoDong^^Dr", "Ideographic": "王^小东", "Phonetic": ""}
    node = written({"00100010": {"vr": "PN", "Value": [name]}})
    assert node.get("keyword") == "PatientName"
    said = [
        (etree.QName(group).localname, etree.QName(part).localname, part.text)
        for group in node[0]
        for part in group
    ]
    assert said == [
        ("Alphabetic", "FamilyName", "Wang"),
        ("Alphabetic", "GivenName", "XiaoDong"),
        ("Alphabetic", "NamePrefix", "Dr"),
        ("Ideographic", "FamilyName", "王"),
        ("Ideographic", "GivenName", "小东"),
    ]


def test_an_empty_value_keeps_its_place() -> None:
    node = written({"00080008": {"vr": "CS", "Value": ["MPG", None, "XR3"]}})
    assert [(value.get("number"), value.text) for value in node] == [
        ("1", "MPG"),
        ("2", None),
        ("3", "XR3"),
    ]


def test_bulk_data_is_an_address_and_little_of_it_stands_there() -> None:
    node = written({"7FE00010": {"vr": "OW", "BulkDataURI": "http://localhost/b"}})
    assert [(etree.QName(one).localname, one.get("uri")) for one in node] == [
        ("BulkData", "http://localhost/b")
    ]
    node = written({"00281201": {"vr": "OW", "InlineBinary": "AAE="}})
    assert [(etree.QName(one).localname, one.text) for one in node] == [("InlineBinary", "AAE=")]


@pytest.mark.parametrize("hostile", ["\x00", "\x1b[31m", "\ud800", "\ufffe", "<x>&amp;", "]]>"])
def test_no_text_breaks_the_document(hostile: str) -> None:
    name = {"Alphabetic": hostile}
    for element in ({"vr": "LO", "Value": [hostile]}, {"vr": "PN", "Value": [name]}):
        node = written({"00100020": element})
        assert len("".join(node.itertext())) == len(hostile)
    creator = {"vr": "LO", "Value": [hostile]}
    document = {"00090010": creator, "00091001": {"vr": "LO", "Value": ["x"]}}
    assert len(etree.fromstring(native_xml(document))) == 2


def test_a_private_attribute_without_its_creator_keeps_its_whole_tag() -> None:
    node = written({"00091001": {"vr": "LO", "Value": ["x"]}})
    assert (node.get("tag"), node.get("privateCreator")) == ("00091001", None)


def documents(client: FlaskClient, url: str, accept: str = XML) -> Iterator[etree._Element]:
    answer = client.get(url, headers={"Accept": accept})
    assert answer.content_type.startswith('multipart/related; type="application/dicom+xml"')
    for part in parts_of(answer):
        assert part.media_type == "application/dicom+xml"
        yield etree.fromstring(part.body)


def value(document: etree._Element, keyword: str) -> str:
    found = document.find(f"{NATIVE}DicomAttribute[@keyword='{keyword}']/{NATIVE}Value")
    assert found is not None
    return found.text or ""


def test_metadata_comes_as_xml_one_part_for_each_instance(
    region: Region, radiologist: FlaskClient
) -> None:
    for url in (region.ct.study_url, region.ct.series_url, region.ct.url):
        (document,) = documents(radiologist, f"{url}/metadata")
        assert value(document, "SOPInstanceUID") == region.ct.instance
        bulk = document.find(f"{NATIVE}DicomAttribute[@keyword='PixelData']/{NATIVE}BulkData")
        assert bulk is not None
        assert radiologist.get(bulk.get("uri", ""), buffered=True).status_code == 200


def test_searches_come_as_xml_one_part_for_each_match(
    region: Region, radiologist: FlaskClient
) -> None:
    found = list(documents(radiologist, "/dicom-web/studies", "application/dicom+xml"))
    assert {region.ct.study, region.us_colour.study} <= {
        value(one, "StudyInstanceUID") for one in found
    }
    nothing = radiologist.get("/dicom-web/studies?PatientID=nobody", headers={"Accept": XML})
    assert (nothing.status_code, nothing.data) == (204, b"")


def test_who_may_not_see_it_gets_no_xml_either(
    region: Region, machine: Callable[..., FlaskClient]
) -> None:
    outsider = machine(Role.RADIOLOGIST, sites=("central",))
    asked = {"Accept": XML}
    assert outsider.get(f"{region.ct.study_url}/metadata", headers=asked).status_code == 404
    found = documents(outsider, "/dicom-web/studies")
    assert region.ct.study not in {value(one, "StudyInstanceUID") for one in found}


def test_json_stays_what_is_sent_to_who_takes_anything(
    region: Region, radiologist: FlaskClient
) -> None:
    for accept in ("", "*/*", "application/dicom+json, application/dicom+xml;q=0.5"):
        answer = radiologist.get(f"{region.ct.url}/metadata", headers={"Accept": accept})
        assert answer.mimetype == "application/dicom+json"
    refused = radiologist.get(f"{region.ct.url}/metadata", headers={"Accept": "text/xml"})
    assert refused.status_code == 406
    assert "application/dicom+xml" in refused.get_data(as_text=True)
