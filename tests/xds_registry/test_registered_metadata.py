"""ITI-42: what is missing or wrong in metadata is refused, each by its place."""

from collections.abc import Callable

import pytest
from lxml import etree

from tests.xds_registry import wire
from tests.xds_registry.registering import METADATA, refused
from tests.xds_registry.samples import urn
from tests.xds_registry.submitted import (
    Registrar,
    folder,
    of,
    refusals,
    request,
    with_folder,
)
from tests.xds_registry.trial import Trial
from xds_registry import vocabulary as v


def drop(path: str) -> Callable[[etree._Element], None]:
    def change(body: etree._Element) -> None:
        for one in body.xpath(path, namespaces={"rim": wire.RIM}):
            one.getparent().remove(one)

    return change


def double(path: str) -> Callable[[etree._Element], None]:
    def change(body: etree._Element) -> None:
        for one in body.xpath(path, namespaces={"rim": wire.RIM}):
            one.addnext(etree.fromstring(etree.tostring(one)))

    return change


def put(path: str, name: str, value: str) -> Callable[[etree._Element], None]:
    """Set an attribute, or the text where `name` is empty, of what the path finds."""

    def change(body: etree._Element) -> None:
        found = body.xpath(path, namespaces={"rim": wire.RIM})
        assert found, path
        for one in found:
            if name:
                one.set(name, value)
            else:
                one.text = value

    return change


DOC, SET, FOL = (
    "//rim:ExtrinsicObject",
    "//rim:RegistryPackage[1]",
    "//rim:RegistryPackage[2]",
)


def slot(name: str, of: str = DOC) -> str:
    return f"{of}/rim:Slot[@name='{name}']"


def value(name: str, of: str = DOC) -> str:
    return f"{slot(name, of)}/rim:ValueList/rim:Value"


def code(scheme: str, of: str = DOC) -> str:
    return f"{of}/rim:Classification[@classificationScheme='{scheme}']"


def identifier(scheme: str, of: str = DOC) -> str:
    return f"{of}/rim:ExternalIdentifier[@identificationScheme='{scheme}']"


SHA1_OF_NOTHING = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
DOCUMENT_CODES = (
    v.DOCUMENT_CLASS_CODE,
    v.DOCUMENT_TYPE_CODE,
    v.DOCUMENT_FORMAT_CODE,
    v.DOCUMENT_PRACTICE_SETTING_CODE,
    v.DOCUMENT_FACILITY_TYPE_CODE,
    v.DOCUMENT_CONFIDENTIALITY_CODE,
)
MISSING = [
    *(slot(name) for name in ("creationTime", "hash", "languageCode", "repositoryUniqueId")),
    *(slot(name) for name in ("size", "sourcePatientId")),
    *(code(scheme) for scheme in DOCUMENT_CODES),
    identifier(v.DOCUMENT_PATIENT_ID),
    identifier(v.DOCUMENT_UNIQUE_ID),
    slot("submissionTime", SET),
    code(v.SUBMISSION_SET_CONTENT_TYPE_CODE, SET),
    identifier(v.SUBMISSION_SET_PATIENT_ID, SET),
    identifier(v.SUBMISSION_SET_SOURCE_ID, SET),
    identifier(v.SUBMISSION_SET_UNIQUE_ID, SET),
    code(v.FOLDER_CODE, FOL),
    f"{FOL}/rim:Name",
    identifier(v.FOLDER_PATIENT_ID, FOL),
    identifier(v.FOLDER_UNIQUE_ID, FOL),
]
WRONG = [
    (put(DOC, "mimeType", "application/x-unknown"), "/@mimeType"),
    (put(DOC, "objectType", "urn:uuid:none"), "/@objectType"),
    (put(DOC, "objectType", "urn:uuid:34268e47-fdf5-41a6-ba33-82133c465248"), "/@objectType"),
    (put(value("creationTime"), "", "2026-01-01"), "creationTime"),
    (put(value("creationTime"), "", "20261301"), "creationTime"),
    (put(value("languageCode"), "", "中文"), "languageCode"),
    (put(value("hash"), "", "not-a-hash"), "hash"),
    (put(value("size"), "", "0"), "size"),
    (put(value("size"), "", "-1"), "size"),
    (put(value("size"), "", "9" * 30), "size"),
    (put(value("repositoryUniqueId"), "", "1.2..3"), "repositoryUniqueId"),
    (put(value("sourcePatientId"), "", "L-1"), "sourcePatientId"),
    (put(identifier(v.DOCUMENT_PATIENT_ID), "value", "P-1"), v.DOCUMENT_PATIENT_ID),
    (put(identifier(v.DOCUMENT_UNIQUE_ID), "value", "x" * 99), v.DOCUMENT_UNIQUE_ID),
    (put(identifier(v.SUBMISSION_SET_SOURCE_ID, SET), "value", "me"), v.SUBMISSION_SET_SOURCE_ID),
    *(
        (put(code(scheme), "nodeRepresentation", "no-such-code"), scheme)
        for scheme in DOCUMENT_CODES
    ),
    (put(code(v.DOCUMENT_CLASS_CODE), "nodeRepresentation", ""), v.DOCUMENT_CLASS_CODE),
    (put(code(v.FOLDER_CODE, FOL), "nodeRepresentation", "no-such-code"), v.FOLDER_CODE),
    (drop(f"{code(v.DOCUMENT_CLASS_CODE)}/rim:Slot"), v.DOCUMENT_CLASS_CODE),
    (drop(f"{code(v.DOCUMENT_CLASS_CODE)}/rim:Name"), v.DOCUMENT_CLASS_CODE),
    (double(code(v.DOCUMENT_CLASS_CODE)), v.DOCUMENT_CLASS_CODE),
    (double(slot("languageCode")), "languageCode"),
    (double(value("languageCode")), "languageCode"),
    (double(identifier(v.DOCUMENT_UNIQUE_ID)), v.DOCUMENT_UNIQUE_ID),
    (double(DOC), "/@id"),
    (double(SET), "rim:RegistryPackage"),
    (put(value("languageCode"), "", ""), "languageCode"),
    (put(code(v.DOCUMENT_CLASS_CODE), "classificationScheme", "urn:uuid:x"), "urn:uuid:x"),
    (put(code(v.DOCUMENT_CLASS_CODE), "classifiedObject", "Other"), "@classifiedObject"),
    (put(identifier(v.DOCUMENT_UNIQUE_ID), "registryObject", "Other"), "@registryObject"),
    (put("//rim:Association[1]", "associationType", "urn:x:HasMember"), "/@associationType"),
    (drop("//rim:Association[1]"), "rim:ExtrinsicObject"),
    (put(value("SubmissionSetStatus", "//rim:Association"), "", "Maybe"), "SubmissionSetStatus"),
    (put(DOC, "home", "1.2.3"), "/@home"),
]


def sent_with_folder(patient: str) -> etree._Element:
    return request(with_folder(of(patient, "one"), folder(patient)))


@pytest.mark.parametrize("path", MISSING)
def test_a_missing_attribute_is_refused_by_its_place(
    here: Trial, registrar: Registrar, patient: str, path: str
) -> None:
    body = sent_with_folder(patient)
    step = path.rpartition("/")[2]
    drop(path)(body)
    found = refused(here, registrar, body)
    assert METADATA in {code for code, _ in found}
    assert any(place.endswith(step) for _, place in found), found


def test_the_hash_of_nothing_needs_its_size_as_well(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    body = sent_with_folder(patient)
    put(value("hash"), "", SHA1_OF_NOTHING)(body)
    drop(slot("size"))(body)
    ((code, place),) = refused(here, registrar, body)
    assert code == METADATA
    assert place.endswith(slot("size").rpartition("/")[2])
    body = sent_with_folder(patient)
    put(value("hash"), "", SHA1_OF_NOTHING)(body)
    put(value("size"), "", "0")(body)
    assert wire.status(registrar.send(body)) == "Success"


@pytest.mark.parametrize(("change", "place"), WRONG)
def test_a_wrong_value_is_refused_by_its_place(
    here: Trial,
    registrar: Registrar,
    patient: str,
    change: Callable[[etree._Element], None],
    place: str,
) -> None:
    body = sent_with_folder(patient)
    change(body)
    found = refused(here, registrar, body)
    assert any(code == METADATA and place in where for code, where in found), found


def test_all_that_is_wrong_is_said_at_once(here: Trial, registrar: Registrar, patient: str) -> None:
    body = sent_with_folder(patient)
    for change in (
        drop(slot("languageCode")),
        drop(code(v.DOCUMENT_TYPE_CODE)),
        put(DOC, "mimeType", "x/y"),
        put(identifier(v.FOLDER_PATIENT_ID, FOL), "value", "P-9^^^&1.2.3&ISO"),
    ):
        change(body)
    codes = [code for code, _ in refused(here, registrar, body)]
    assert (
        sorted(set(codes)) == sorted([METADATA, "XDSPatientIdDoesNotMatch"])
        or "XDSUnknownPatientId" in codes
    )
    assert codes.count(METADATA) == 3


def test_a_place_is_an_xpath_of_the_message(
    here: Trial, registrar: Registrar, patient: str
) -> None:
    body = sent_with_folder(patient)
    put(code(v.DOCUMENT_CLASS_CODE), "nodeRepresentation", "nonsense")(body)
    ((_, place),) = refused(here, registrar, body)
    (found,) = body.xpath(place, namespaces={"rim": wire.RIM})
    assert found.get("nodeRepresentation") == "nonsense"


def test_limited_metadata_may_leave_codes_out(registrar: Registrar, patient: str) -> None:
    body = request(of(patient, "one", limited_metadata=True))
    for scheme in (*DOCUMENT_CODES, ""):
        drop(code(scheme))(body)
    drop(slot("sourcePatientId"))(body)
    answer = registrar.send(body)
    assert wire.status(answer) == "Success", refusals(answer)
    got = registrar.query(wire.GET_DOCUMENTS, ("$XDSDocumentEntryEntryUUID", f"('{urn('one')}')"))
    path = f"//rim:Classification[@classificationNode='{v.DOCUMENT_LIMITED}']"
    assert len(got.xpath(path, namespaces={"rim": wire.RIM})) == 1
