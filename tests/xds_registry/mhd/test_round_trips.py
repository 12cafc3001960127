"""Metadata that goes out as FHIR and comes back says what it said (hypothesis)."""

import json
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hub_kernel.fhir.json_format import read_json, write_json
from hub_kernel.fhir.xml_format import read_xml, write_xml
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from patient_index.model import KnownAs
from tests.xds_registry.mhd.endpoint import oracle
from tests.xds_registry.samples import REGION, entry, submission
from xds_registry.linked_people import LinkedPeople
from xds_registry.mhd.codes import scheme_of, system_of
from xds_registry.mhd.document_references import DocumentReferenceWriter, ModalityScheme
from xds_registry.mhd.entry_reading import Sent, read_entry
from xds_registry.mhd.list_reading import read_folder, read_submission_set
from xds_registry.mhd.lists import ListWriter
from xds_registry.mhd.references import Placed, References
from xds_registry.mhd.times import date_time, dtm_of
from xds_registry.model import Author, Code, DocumentEntry, Folder, ReferenceId, dtm_start

# Examples are large: what fails is shown as it is, not shrunk for minutes.
SETTINGS = settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
CX = f"G-1^^^&{REGION.oid}&ISO"

plain = st.text(
    st.characters(codec="utf-8", exclude_characters="^&|~", categories=("L", "N", "P", "S")),
    min_size=1,
    max_size=12,
)
oids = st.lists(st.integers(0, 9999), min_size=1, max_size=5).map(
    lambda parts: "1.2." + ".".join(map(str, parts))
)
texts = plain | plain.map(lambda text: f"{text} 胸部 {text}")
schemes = oids | st.sampled_from(
    ["2.16.840.1.113883.6.1", "1.2.840.10008.2.16.4", "Connect-a-thon codes", "http://loinc.org"]
)
codes = st.builds(Code, plain, schemes, plain)
days = st.dates().map(lambda day: day.strftime("%Y%m%d").zfill(8))
times = st.datetimes().map(lambda at: at.strftime("%Y%m%d%H%M%S").zfill(14))
moments = days | times | days.map(lambda day: day[:6]) | days.map(lambda day: day[:4])
names = st.lists(plain, min_size=1, max_size=6)
persons = names.map("^".join) | st.builds(
    lambda number, name, oid: f"{number}^{name}^^^^^^^&{oid}&ISO", plain, plain, oids
)
institutions = plain | st.builds(
    lambda name, oid, number: f"{name}^^^^^&{oid}&ISO^^^^{number}", plain, oids, plain
)
telecoms = st.sampled_from(["^^Internet^a@b.cn", "^PRN^PH^^^^^^^^^0512-1234", "odd^x^^y^^z"])
authors = st.builds(
    Author,
    persons,
    st.lists(institutions, max_size=3).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
    st.lists(texts, max_size=2).map(tuple),
    st.lists(telecoms, max_size=2).map(tuple),
)
cxs = st.builds(lambda value, oid: f"{value}^^^&{oid}&ISO", plain, oids)
references = st.builds(
    lambda value, issuer, kind: ReferenceId(f"{value}^^^{issuer}^{kind}"),
    plain,
    oids.map(lambda oid: f"&{oid}&ISO") | st.just(""),
    st.sampled_from(
        [
            "urn:ihe:iti:xds:2013:accession",
            "urn:ihe:iti:xds:2013:uniqueId",
            "urn:ihe:iti:xds:2013:order",
            "urn:x:own^urn:oid:1.2.3",
        ]
    ),
) | oids.map(ReferenceId.study)
infos = st.lists(
    st.one_of(
        cxs.map(lambda cx: f"PID-3|{cx}"),
        names.map(lambda parts: "PID-5|" + "^".join(parts[:5])),
        days.map(lambda day: f"PID-7|{day}"),
        st.sampled_from(["PID-8|M", "PID-8|F", "PID-8|U", "PID-8|A"]),
        plain.map(lambda text: f"PID-11|^^{text}^^^CN"),
        plain.map(lambda text: f"PID-22|{text}"),
    ),
    unique_by=lambda field: field[:6],
    max_size=5,
).map(tuple)
entries = st.builds(
    entry,
    unique_id=oids | st.builds(lambda oid, extension: f"{oid}^{extension}", oids, plain),
    patient_id=st.just(CX),
    linked_identifier=st.just(CX),
    source_patient_id=cxs,
    source_patient_info=infos,
    mime_type=st.sampled_from(["text/plain", "application/dicom", "application/fhir+json"]),
    class_code=codes,
    type_code=codes,
    format_code=codes,
    practice_setting_code=codes,
    healthcare_facility_type_code=codes,
    confidentiality_codes=st.lists(codes, min_size=1, max_size=3).map(tuple),
    event_codes=st.lists(codes, max_size=3).map(tuple),
    authors=st.lists(authors, max_size=2).map(tuple),
    creation_time=moments,
    service_start_time=moments | st.just(""),
    service_stop_time=moments | st.just(""),
    title=texts | st.just(""),
    comments=texts | st.just(""),
    size=st.integers(0, 2**31 - 1),
    reference_ids=st.lists(references, max_size=3, unique=True).map(tuple),
    legal_authenticator=persons | st.just(""),
)


class Links:
    """One person, the affinity domain's G-1."""

    def resolve(self, identifier: PatientIdentifier) -> str | None:
        return None

    def known_as(self, global_id: str) -> KnownAs:
        return KnownAs((self.global_identifier(global_id),) if global_id == "G-1" else (), ())

    def global_identifier(self, global_id: str) -> PatientIdentifier:
        return PatientIdentifier(global_id, AssigningAuthority(REGION.namespace, REGION.oid))

    def is_merged_away(self, identifier: PatientIdentifier) -> bool:
        return False


def sent(resource: dict[str, Any], entry_id: str) -> Sent:
    placed = Placed(resource, "List")
    return Sent(placed, References([placed], "").resolver(placed), entry_id, CX)


def compared(item: DocumentEntry) -> DocumentEntry:
    """Leave out what FHIR does not carry, and the order that it does not keep."""
    return replace(
        item,
        source_patient_info=tuple(sorted(item.source_patient_info)),
        repository_unique_id="",
        limited_metadata=False,
    )


def through(resource: dict[str, Any], form: str) -> dict[str, Any]:
    if form == "xml":
        return read_xml(write_xml(resource))
    return read_json(write_json(resource))


@pytest.mark.parametrize("form", ["json", "xml"])
@SETTINGS
@given(item=entries)
def test_a_document_entry_comes_back(form: str, item: DocumentEntry) -> None:
    writer = DocumentReferenceWriter(LinkedPeople(Links()), "http://hub/fhir", ModalityScheme("-"))
    written = writer.write(item)
    oracle(json.loads(json.dumps(written)))
    read = read_entry(sent(through(written, form), item.entry_uuid))
    assert compared(read) == compared(item)


@SETTINGS
@given(
    authored=st.lists(authors, max_size=3).map(tuple),
    recipients=st.lists(
        st.builds(lambda xon, xcn: f"{xon}|{xcn}", institutions, persons)
        | institutions
        | persons.map(lambda xcn: f"|{xcn}|^^Internet^a@b.cn"),
        max_size=3,
    ).map(tuple),
    at=moments,
    text=texts,
)
def test_a_submission_set_comes_back(
    authored: tuple[Author, ...], recipients: tuple[str, ...], at: str, text: str
) -> None:
    item = replace(
        submission().submission_set,
        authors=authored,
        intended_recipients=recipients,
        submission_time=at,
        patient_id=CX,
        linked_identifier=CX,
        title=text,
        comments=text,
    )
    written = ListWriter(LinkedPeople(Links())).submission_set(item, ())
    oracle(json.loads(json.dumps(written)))
    assert read_submission_set(sent(through(written, "xml"), item.entry_uuid)) == item


@SETTINGS
@given(listed=st.lists(codes, min_size=1, max_size=3).map(tuple), text=texts)
def test_a_folder_comes_back(listed: tuple[Code, ...], text: str) -> None:
    item = Folder(
        entry_uuid="urn:uuid:aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        unique_id="1.2.3",
        patient_id=CX,
        linked_identifier=CX,
        codes=listed,
        title=text,
        comments=text,
    )
    written = ListWriter(LinkedPeople(Links())).folder(item, ())
    assert read_folder(sent(written, item.entry_uuid)) == item


@SETTINGS
@given(scheme=oids | st.text(string.printable.strip(), min_size=1, max_size=20))
def test_a_coding_scheme_comes_back(scheme: str) -> None:
    assert scheme_of(system_of(scheme)) == scheme


@SETTINGS
@given(at=moments | times.map(lambda text: text[:10]) | times.map(lambda text: text[:12]))
def test_a_time_comes_back_as_the_same_first_second(at: str) -> None:
    written = date_time(at)
    assert dtm_start(dtm_of(written)) == dtm_start(at)
    assert len(at) > 8 or dtm_of(written) == at


def test_times_of_no_calendar_are_left_out() -> None:
    assert [date_time(text) for text in ("20230231", "", "00000101")] == ["", "", ""]


def test_a_time_is_told_in_utc_without_parts_of_seconds() -> None:
    assert dtm_of("2026-11-20T08:30:00.999+08:00") == "20261120003000"
    with pytest.raises(ValueError, match="offset"):
        dtm_of("2026-11-20T08:30:00")
