"""C-FIND: what is found by whom, which keys come back, in which character set, and how it ends."""

import os
import subprocess
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind as PatientRoot,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRoot,
)

from tests.dicom_router.conftest import Hub, running_node
from tests.dicom_router.instances import STUDY, ct
from tests.dicom_router.wire import (
    CT,
    EXPLICIT,
    IMPLICIT,
)
from tests.support.tools import require_tool
from tests.support.waiting import eventually

Found = list[tuple[Dataset, Dataset | None]]


def _store(hub: Hub, *instances: Dataset, calling: str = "CT1") -> None:
    with hub.association({CT: [EXPLICIT]}, calling) as association:
        for instance in instances:
            assert association.send_c_store(instance).Status == 0


def _query(hub: Hub, query: Dataset, model: str = StudyRoot, calling: str = "WS1") -> Found:
    with hub.association({model: [IMPLICIT]}, calling) as association:
        return list(association.send_c_find(query, model))


def _find(hub: Hub, model: str = StudyRoot, calling: str = "WS1", **keys: object) -> list[Dataset]:
    """The answers to a query that must succeed."""
    query = Dataset()
    for keyword, value in ({"QueryRetrieveLevel": "STUDY"} | keys).items():
        setattr(query, keyword, value)
    found = _query(hub, query, model, calling)
    assert found[-1][0].Status == 0
    return [answer for _, answer in found[:-1] if answer is not None]


def _chinese(study: str, charset: str, name: str) -> Dataset:
    return ct(study=study, SpecificCharacterSet=charset, PatientName=name, PatientID=study[-3:])


def test_counts_and_modalities_are_answered(hub: Hub) -> None:
    _store(hub, ct(1), ct(2), ct(3, SeriesInstanceUID=f"{STUDY}.2", Modality="SR"))
    (answer,) = _find(
        hub,
        StudyInstanceUID="",
        NumberOfStudyRelatedInstances=None,
        NumberOfStudyRelatedSeries=None,
        ModalitiesInStudy="",
    )
    assert answer.StudyInstanceUID == STUDY
    assert (answer.NumberOfStudyRelatedInstances, answer.NumberOfStudyRelatedSeries) == (3, 2)
    assert set(answer.ModalitiesInStudy) == {"CT", "SR"}


def test_only_the_keys_asked_for_come_back_and_unknown_ones_empty(hub: Hub) -> None:
    _store(hub, ct())
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.PatientID = "12345"
    query.StudyComments = ""
    query.ProcedureCodeSequence = []
    query.add_new(0x00091001, "LO", "")
    found = _query(hub, query)
    assert [status.Status for status, _ in found] == [0xFF01, 0]
    answer = found[0][1]
    assert answer is not None
    # PS3.4 C.4.1.1.3.2: where to retrieve it from is in every answer
    assert set(answer.keys()) == {*query.keys(), 0x00080054}
    assert (answer.PatientID, answer.StudyComments) == ("12345", "")
    assert answer.RetrieveAETitle == "EIRHUB"
    assert not answer.ProcedureCodeSequence


@pytest.mark.parametrize(
    ("level", "keyword", "count"),
    [("STUDY", "StudyInstanceUID", 1), ("SERIES", "SeriesNumber", 1), ("IMAGE", "Rows", 2)],
)
def test_every_level_of_study_root_is_answered(
    hub: Hub, level: str, keyword: str, count: int
) -> None:
    _store(hub, ct(1), ct(2))
    keys = {keyword: None, "StudyInstanceUID": STUDY}
    found = _find(hub, QueryRetrieveLevel=level, **keys)
    assert len(found) == count
    assert all(answer[keyword].value in (STUDY, 3, 8) for answer in found)


def test_patient_root_answers_patients(hub: Hub) -> None:
    _store(hub, ct(1), ct(study=f"{STUDY}9"))
    (answer,) = _find(
        hub,
        model=PatientRoot,
        QueryRetrieveLevel="PATIENT",
        PatientID="",
        NumberOfPatientRelatedStudies=None,
    )
    assert (answer.PatientID, answer.NumberOfPatientRelatedStudies) == ("12345", 2)


@pytest.mark.parametrize(
    ("keys", "matches"),
    [
        ({"PatientID": "12345"}, True),
        ({"PatientID": "1234*"}, True),
        ({"PatientID": "123?5"}, True),
        ({"PatientID": "%"}, False),
        ({"PatientID": "' OR 1=1 --"}, False),
        ({"PatientID": "_2345"}, False),
        ({"PatientName": "wang*"}, True),
        ({"PatientName": "wxd"}, True),
        ({"PatientName": "*"}, True),
        ({"PatientName": "Zhao*"}, False),
        ({"StudyDate": "20261101"}, True),
        ({"StudyDate": "20261001-20261130"}, True),
        ({"StudyDate": "-20261031"}, False),
        ({"AccessionNumber": "A100"}, True),
        ({"StudyInstanceUID": [STUDY, "1.2.3"]}, True),
        ({"ModalitiesInStudy": "CT"}, True),
        ({"ModalitiesInStudy": "MR"}, False),
        ({"StudyDescription": "<script>*"}, False),
    ],
)
def test_matching_is_what_ps3_4_says_and_nothing_else(
    hub: Hub, keys: dict[str, object], *, matches: bool
) -> None:
    _store(hub, ct())
    assert bool(_find(hub, **({"StudyInstanceUID": ""} | keys))) is matches


def test_a_site_sees_its_own_studies_and_the_county_sees_all(hub: Hub) -> None:
    _store(hub, ct())
    _store(hub, ct(study=f"{STUDY}9", PatientID="77"), calling="CT2")
    seen = {
        calling: {
            answer.StudyInstanceUID for answer in _find(hub, calling=calling, StudyInstanceUID="")
        }
        for calling in ("CT1", "WS1", "CT2", "PACS")
    }
    assert seen["CT1"] == seen["WS1"] == {STUDY}
    assert seen["CT2"] == {f"{STUDY}9"}
    assert seen["PACS"] == {STUDY, f"{STUDY}9"}
    assert not _find(hub, calling="CT2", StudyInstanceUID=STUDY)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("GB18030", "GB18030"),
        ("GBK", "GBK"),
        ("ISO_IR 192", "ISO_IR 192"),
        (["", "ISO 2022 IR 58"], ["", "ISO 2022 IR 58"]),
        ("ISO_IR 100", "ISO_IR 192"),
        (None, "ISO_IR 192"),
    ],
)
def test_names_come_back_in_the_askers_character_set(
    hub: Hub, asked: str | list[str] | None, answered: str | list[str]
) -> None:
    _store(hub, _chinese(f"{STUDY}.101", "GB18030", "Wang^XiaoDong=王^小东"))
    keys: dict[str, object] = {"PatientName": "", "StudyInstanceUID": ""}
    if asked is not None:
        keys["SpecificCharacterSet"] = asked
    (answer,) = _find(hub, **keys)
    assert answer.SpecificCharacterSet == answered
    name = str(answer.PatientName).replace("\x1b$)A", "")  # pydicom leaves the escapes in
    assert name.rstrip("=") == "Wang^XiaoDong=王^小东"


def test_the_bytes_of_a_gb18030_answer_are_gb18030(hub: Hub, tmp_path: Path) -> None:
    _store(hub, _chinese(f"{STUDY}.101", "ISO_IR 192", "Wang^XiaoDong=王^小东"))
    require_tool("findscu")
    answers = tmp_path / "answers"
    answers.mkdir()
    command = ["findscu", "-S", "-aet", "WS1", "-X", "-od", str(answers)]
    keys = ["-k", "0008,0005=GB18030", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName"]
    subprocess.run(
        [*command, *keys, "127.0.0.1", str(hub.port)],
        env=os.environ | {"TCP_NODELAY": "1"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    (answer,) = answers.iterdir()
    assert "王^小东".encode("gb18030") in answer.read_bytes()


def test_plain_ascii_is_answered_without_a_character_set(hub: Hub) -> None:
    _store(hub, ct())
    (answer,) = _find(hub, PatientName="")
    assert "SpecificCharacterSet" not in answer


@pytest.mark.parametrize("charset", ["GB18030", "ISO_IR 192"])
@pytest.mark.parametrize(
    "name", ["王^小东", "王*", "wangxiaodong", "wxd", "WANG*", "Wang^XiaoDong"]
)
def test_one_person_is_found_by_every_spelling(hub: Hub, charset: str, name: str) -> None:
    _store(hub, _chinese(f"{STUDY}.101", "GB18030", "Wang^XiaoDong=王^小东"))
    assert len(_find(hub, SpecificCharacterSet=charset, PatientName=name)) == 1


@pytest.mark.parametrize(
    ("model", "level", "status"),
    [
        (StudyRoot, "PATIENT", 0xA900),
        (StudyRoot, "NONSENSE", 0xA900),
        (StudyRoot, "", 0xA900),
        (PatientRoot, "", 0xA900),
    ],
)
def test_a_level_the_model_does_not_have_is_answered_a900(
    hub: Hub, model: str, level: str, status: int
) -> None:
    query = Dataset()
    query.QueryRetrieveLevel = level
    query.PatientID = ""
    (answer,) = _query(hub, query, model)
    assert answer[0].Status == status
    assert answer[0].OffendingElement == 0x00080052
    assert "QueryRetrieveLevel" in answer[0].ErrorComment


@pytest.mark.parametrize("date", ["2026-11-01", "yesterday", "20261399"])
def test_a_value_without_meaning_is_answered_c001(hub: Hub, date: str) -> None:
    import warnings

    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        query.StudyDate = date
        (answer,) = _query(hub, query)
    assert answer[0].Status == 0xC001
    assert answer[0].OffendingElement == 0x00080020


def test_the_response_limit_is_told(tmp_path: Path) -> None:
    with running_node(tmp_path, response_limit=2) as hub:
        _store(hub, *(ct(number) for number in range(1, 5)))
        query = Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        query.SOPInstanceUID = ""
        found = _query(hub, query)
        assert [status.Status for status, _ in found] == [0xFF00, 0xFF00, 0xB001]
        assert "narrow" in found[-1][0].ErrorComment


def test_every_query_is_audited_without_what_was_asked(hub: Hub) -> None:
    _store(hub, ct())
    _find(hub, PatientName="Wang*", StudyInstanceUID="")
    record = hub.await_audit(lambda found: found.action == "query")
    assert (record.outcome, record.subject_id) == ("success", "chengguan")
    assert record.detail == "C-FIND STUDY: 1 answers"
    eventually(lambda: all("Wang" not in other.line() for other in hub.audit()))


def test_fuzzy_and_date_times_are_agreed_when_asked_for(hub: Hub) -> None:
    from pynetdicom import AE
    from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

    _store(hub, ct())
    wanted = SOPClassExtendedNegotiation()
    wanted.sop_class_uid = StudyRoot
    wanted.service_class_application_information = b"\x01\x01\x01\x01"
    entity = AE("WS1")
    entity.add_requested_context(StudyRoot, IMPLICIT)
    association = entity.associate("127.0.0.1", hub.port, ext_neg=[wanted])
    assert association.is_established
    assert association.acceptor.sop_class_extended == {StudyRoot: b"\x01\x01\x01\x01"}
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.PatientName = "xiaodong"
    query.StudyDate, query.StudyTime = "20261101-20261102", "100000-090000"
    found = list(association.send_c_find(query, StudyRoot))
    association.release()
    assert [status.Status for status, _ in found] == [0xFF00, 0]
