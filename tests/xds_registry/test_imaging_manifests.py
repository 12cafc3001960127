"""Manifests that others wrote, and ours before an independent judge: dciodvfy of dicom3tools."""

import io
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.tasks import deliver_all_due
from tests.support.tools import require_conformance, require_tool
from tests.xds_registry import studies
from tests.xds_registry.hub import OTHER_TOWNSHIP, Hub
from tests.xds_registry.rejecting import changed, rejection
from tests.xds_registry.samples import LOCAL, SOURCE, TOWNSHIP, entry, manifest_study, submission
from xds_registry import store
from xds_registry.errors import ErrorCode, XdsRefusalError
from xds_registry.imaging_manifests import (
    check_kos,
    listed_studies,
    manifest_faults,
    note_if_manifest,
    read_manifest,
)
from xds_registry.manifest import build_manifest
from xds_registry.model import AvailabilityStatus, Code, DocumentEntry, ReferenceId

AT = datetime(2026, 11, 21, 16, 0, tzinfo=UTC)
STUDY = "1.2.3.4"
SAMPLES = (
    "IDS-DEPT001-a/kos", "IDS-DEPT012-a/kos", "IDS-DEPT023-a/kos", "IDS-DEPT025-a/kos",
    "IDS-DEPT026-a/kos", "IDS-DEPT099-a/kos", "ids-1001",
)  # fmt: skip


def manifest(**changes: Any) -> bytes:
    return build_manifest(manifest_study(**changes), 1, SOURCE, AT).data


def described(data: bytes, **changes: Any) -> DocumentEntry:
    """The entry that a source would submit with `data`."""
    uid = str(dcmread(io.BytesIO(data)).SOPInstanceUID)
    return entry("kos", unique_id=uid, **changes)


def opener(data: bytes) -> Callable[[], io.BytesIO]:
    return lambda: io.BytesIO(data)


@pytest.mark.parametrize("folder", SAMPLES)
def test_a_manifest_of_another_archive_is_accepted_and_read(folder: str) -> None:
    path = require_conformance("xdsi", folder, "kos.dcm")
    with path.open("rb") as stream:
        contents = check_kos(stream, described(path.read_bytes()))
    assert contents is not None
    evidence = dcmread(path).CurrentRequestedProcedureEvidenceSequence
    assert {one.study_instance_uid for one in contents.studies} == {
        str(one.StudyInstanceUID) for one in evidence
    }
    assert all(series.retrieve_location_uid for one in contents.studies for series in one.series)


def test_an_entry_of_another_kind_is_not_looked_at() -> None:
    report = entry("report", mime_type="application/pdf", format_code=Code("pdf", "1.2", "PDF"))
    assert check_kos(io.BytesIO(b"%PDF"), report) is None


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        pytest.param({"mime_type": "application/pdf"}, "mimeType", id="media type"),
        pytest.param({"unique_id": "1.2.9"}, "uniqueId", id="another document's UID"),
        pytest.param(
            {"reference_ids": (ReferenceId.study("1.2.9"),)}, "referenceIdList", id="another study"
        ),
    ],
)
def test_metadata_that_contradict_the_manifest_are_refused(
    changes: dict[str, Any], place: str
) -> None:
    data = manifest()
    with pytest.raises(XdsRefusalError) as refused:
        check_kos(io.BytesIO(data), replace(described(data), **changes))
    assert (refused.value.code, refused.value.place) == (ErrorCode.REPOSITORY_METADATA, place)
    assert "/" in refused.value.code_context


def test_the_study_an_entry_refers_to_is_one_the_manifest_lists() -> None:
    data = manifest()
    good = described(
        data,
        reference_ids=(ReferenceId.study("1.2.3.4"), ReferenceId.accession("A", "1.2")),
    )
    contents = check_kos(io.BytesIO(data), good)
    assert contents is not None
    assert [one.instance_count for one in contents.studies] == [3]


def nested(depth: int) -> bytes:
    """A Part 10 file of sequences within sequences, cut off in the middle."""
    head = manifest()[:132]
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    group = b"\x02\x00\x00\x00UL\x04\x00" + len(meta).to_bytes(4, "little")
    item = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return head + group + meta + item * depth


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"%PDF-1.7 not a DICOM file at all", id="a PDF"),
        pytest.param(bytes(200_000), id="zeros"),
        pytest.param(manifest()[:400], id="cut off"),
        pytest.param(nested(3_000), id="nested"),
        pytest.param(studies.instance(STUDY), id="an image"),
        pytest.param(
            changed(
                manifest(), lambda d: d.__delattr__("CurrentRequestedProcedureEvidenceSequence")
            ),
            id="no references",
        ),
        pytest.param(
            manifest().replace(b"1.2.3.4\0", b"x/../y\0\0"),
            id="no UID",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_what_is_no_manifest_is_refused_with_words_and_no_traceback(data: bytes) -> None:
    (refusal,) = manifest_faults(entry("kos"), opener(data))
    assert refusal.code is ErrorCode.REPOSITORY_METADATA
    assert any("\u4e00" <= letter <= "\u9fff" for letter in refusal.code_context)


def test_a_manifest_larger_than_any_honest_one_is_refused_before_it_is_read() -> None:
    class Endless(io.RawIOBase):
        def seek(self, offset: int, whence: int = 0) -> int:
            return 1 << 40

        def read(self, size: int = -1) -> bytes:
            raise AssertionError("it was read")

    with pytest.raises(XdsRefusalError, match="XDSRepositoryMetadataError") as refused:
        read_manifest(Endless())  # type: ignore[arg-type]
    assert refused.value.place == "size"


def test_a_study_that_only_another_archive_holds_is_known_by_its_manifest(hub: Hub) -> None:
    path = require_conformance("xdsi", "IDS-DEPT099-a", "kos", "kos.dcm")
    hub.know()
    document = described(path.read_bytes())
    hub.put(submission(document))
    for _ in range(2):
        with hub.database.unit_of_work() as work:
            note_if_manifest(work.session, document, opener(path.read_bytes()))
    with hub.database.read() as session:
        documents = store.documents_of(session, [LOCAL.cx])
        found = listed_studies(session, [one.entry_uuid for one in documents])
    assert [(one.study_instance_uid, one.entry_uuid, one.instance_count) for one in found] == [
        ("1.3.6.1.4.1.21367.201599.1.201604020954048", document.entry_uuid, 1),
        ("1.3.6.1.4.1.21367.201599.1.201604021011014", document.entry_uuid, 1),
    ]
    assert {one.repository_unique_id for one in found} == {"1.1.4567332.1.2"}


# ---- our own manifests follow the archive ----


def complete(hub: Hub) -> None:
    hub.clock.advance(seconds=61)
    assert hub.archive.complete_quiet_studies() == 1
    deliver_all_due(hub.database, hub.outbox)


def listed(hub: Hub, study: str = STUDY) -> set[str] | None:
    """The instances the current manifest of a study lists, or None without a manifest."""
    current = hub.registry.manifest_of(study)
    if current is None:
        return None
    with hub.database.read() as session:
        (kept,) = hub.registry._repository.find(session, [current.unique_id])
    contents = read_manifest(io.BytesIO(b"".join(hub.registry._repository.chunks(kept))))
    (one,) = contents.studies
    return {uid for series in one.series for uid in series.sop_instance_uids}


def arrives(hub: Hub, *files: bytes) -> None:
    for data in files:
        hub.archive.store_file(data, studies.ORIGIN)
    complete(hub)


def test_what_was_taken_back_is_listed_no_longer(hub: Hub) -> None:
    hub.know()
    arrives(hub, studies.instance(STUDY, 1, 1), studies.instance(STUDY, 1, 2))
    assert listed(hub) == {f"{STUDY}.1.1", f"{STUDY}.1.2"}
    before = hub.registry.manifest_of(STUDY)
    arrives(hub, rejection(STUDY, "113001", f"{STUDY}.1.2"))
    assert listed(hub) == {f"{STUDY}.1.1"}
    arrives(hub, studies.instance(STUDY, 1, 3))
    assert listed(hub) == {f"{STUDY}.1.1", f"{STUDY}.1.3"}
    with hub.database.read() as session:
        assert before is not None
        (former,) = store.documents_by_uuid(session, [before.entry_uuid])
    assert former.status == AvailabilityStatus.DEPRECATED


def test_a_study_that_was_taken_back_whole_has_no_manifest_until_it_comes_again(hub: Hub) -> None:
    hub.know()
    arrives(hub, studies.instance(STUDY, 1, 1))
    arrives(hub, rejection(STUDY, "113037", f"{STUDY}.1.1"))
    assert listed(hub) is None
    with hub.database.read() as session:
        assert {one.status for one in store.documents_of(session, [LOCAL.cx])} == {
            AvailabilityStatus.DEPRECATED
        }
    arrives(hub, studies.instance(STUDY, 1, 5))
    assert listed(hub) == {f"{STUDY}.1.5"}


def test_key_images_take_nothing_back(hub: Hub) -> None:
    hub.know()
    arrives(hub, studies.instance(STUDY, 1, 1), rejection(STUDY, "113000", f"{STUDY}.1.1"))
    assert listed(hub) == {f"{STUDY}.1.1", f"{STUDY}.9.1"}


def test_a_note_that_cannot_be_read_takes_nothing_back(hub: Hub) -> None:
    hub.know()
    broken = changed(
        rejection(STUDY, "113001", f"{STUDY}.1.1"),
        lambda d: d.__delattr__("CurrentRequestedProcedureEvidenceSequence"),
    )
    arrives(hub, studies.instance(STUDY, 1, 1), broken)
    assert listed(hub) == {f"{STUDY}.1.1", f"{STUDY}.9.1"}


def test_what_the_archive_refused_is_never_listed(hub: Hub) -> None:
    hub.know()
    hub.archive.store_file(studies.instance(STUDY, 1, 1), studies.ORIGIN)
    with pytest.raises(Exception, match="SOP Instance UID"):
        hub.archive.store_file(
            studies.instance(STUDY, 1, 1, StudyDescription="other"), studies.ORIGIN
        )
    with pytest.raises(Exception, match="patient"):
        hub.archive.store_file(studies.instance(STUDY, 1, 7, PatientID="X"), studies.ORIGIN)
    complete(hub)
    assert listed(hub) == {f"{STUDY}.1.1"}


def test_the_manifest_of_a_merged_patient_is_the_survivors_and_its_bytes_stay(hub: Hub) -> None:
    first = hub.know()
    arrives(hub, studies.instance(STUDY, 1, 1))
    before = listed(hub)
    other = hub.know("L-9", OTHER_TOWNSHIP)
    assert first != other
    from patient_index.model import Decided

    hub.patients.link(PatientIdentifier("L-1", TOWNSHIP), other, Decided("clerk", "one person"))
    entry_now = hub.registry.manifest_of(STUDY)
    assert entry_now is not None
    assert hub.patients.resolve(LOCAL) == other
    assert listed(hub) == before


# ---- an independent judge ----

# Of what dicom3tools of 2022 says this is no fault: it does not know Retrieve URL in references of
# key objects (PS3.3 C.17.2.1), and a study of which little is known is not put on a medium.
KNOWN_WARNINGS = (
    "(0x0008,0x1190) UR Retrieve URL",
    "this is a Standard Extended SOP Class",
    "would be needed to build DICOMDIR",
)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="full"),
        pytest.param({"accession_number": "", "study_description": ""}, id="no order"),
        pytest.param(
            {
                "patient_birth_date": None,
                "patient_sex": "",
                "study_date": None,
                "study_time": "",
                "referring_physician_name": "",
                "study_id": "",
            },
            id="little known",
        ),
        pytest.param({"patient_id": ""}, id="no patient ID"),
        pytest.param({"patient_name": "王^小东^^^^^^"}, id="Hanzi alone"),
    ],
)
def test_dciodvfy_finds_no_fault_in_our_manifests(tmp_path: Path, changes: dict[str, Any]) -> None:
    tool = require_tool("dciodvfy")
    path = tmp_path / "kos.dcm"
    path.write_bytes(manifest(**changes))
    said = subprocess.run([tool, path], capture_output=True, text=True, check=False).stderr
    assert "KeyObjectSelectionDocument" in said
    found = [line for line in said.splitlines() if line.startswith(("Error", "Warning"))]
    assert [line for line in found if not any(known in line for known in KNOWN_WARNINGS)] == []
