"""C-FIND clause by clause (PS3.4 C.2.2.2, C.4.1, C.6): what peers may rely on beyond the plain."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    PatientRootQueryRetrieveInformationModelFind as PatientRoot,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRoot,
)

from tests.dicom_router.conftest import Hub, running_node
from tests.dicom_router.instances import STUDY, ct
from tests.dicom_router.wire import CT, EXPLICIT, IMPLICIT

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
RELATIONAL, DATE_TIMES, FUZZY, TIME_ZONE = b"\1", b"\0\1", b"\0\0\1", b"\0\0\0\1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"


def store(hub: Hub, *instances: Dataset, calling: str = "CT1") -> None:
    contexts = {CT: [EXPLICIT], SECONDARY_CAPTURE: [EXPLICIT]}
    with hub.association(contexts, calling) as association:
        for instance in instances:
            assert association.send_c_store(instance).Status == 0


@contextmanager
def negotiated(
    hub: Hub, agreed: bytes = b"", model: str = StudyRoot, syntax: str = IMPLICIT
) -> Iterator[Association]:
    """An association for queries with extended negotiation of these fields."""
    entity = AE("WS1")
    entity.add_requested_context(model, syntax)
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid = model
    item.service_class_application_information = agreed
    association = entity.associate(
        "127.0.0.1", hub.port, ae_title="EIRHUB", ext_neg=[item] if agreed else []
    )
    assert association.is_established
    try:
        yield association
    finally:
        association.release()


def ask(
    association: Association, level: str = "STUDY", model: str = StudyRoot, **keys: object
) -> tuple[list[Dataset], Dataset]:
    """The answers and the last status."""
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(query, keyword, value)
    found = list(association.send_c_find(query, model))
    return [answer for _, answer in found[:-1] if answer is not None], found[-1][0]


def find(hub: Hub, level: str = "STUDY", model: str = StudyRoot, **keys: object) -> list[Dataset]:
    with negotiated(hub, model=model) as association:
        answers, last = ask(association, level, model, **keys)
    assert last.Status == 0
    return answers


def other(number: int, **changes: object) -> Dataset:
    """An instance of another study of the same patient."""
    return ct(number, study=f"{STUDY}.77", **changes)


# ---- counts (C.3.4, C.6.2.1.2) ----


def test_a_patients_counts_do_not_depend_on_the_keys(hub: Hub) -> None:
    store(hub, ct(1), ct(2), other(1, StudyDate="20200101", AccessionNumber="B7"))
    counts: dict[str, object] = {
        "NumberOfPatientRelatedStudies": None,
        "NumberOfPatientRelatedSeries": None,
        "NumberOfPatientRelatedInstances": None,
    }
    for level, model in (("PATIENT", PatientRoot), ("STUDY", StudyRoot), ("STUDY", PatientRoot)):
        (answer,) = find(hub, level, model, PatientID="12345", AccessionNumber="B7", **counts)
        assert [answer[keyword].value for keyword in counts] == [2, 2, 3], (level, model)


def test_counts_of_patients_hold_only_what_the_asker_may_see(hub: Hub) -> None:
    store(hub, ct(1))
    store(hub, other(1), calling="CT2")
    (answer,) = find(
        hub, "PATIENT", PatientRoot, PatientID="12345", NumberOfPatientRelatedStudies=None
    )
    assert answer.NumberOfPatientRelatedStudies == 1


def test_sop_classes_in_study_are_listed_and_matched(hub: Hub) -> None:
    store(
        hub, ct(1), ct(2, SOPClassUID=SECONDARY_CAPTURE, SeriesInstanceUID=f"{STUDY}.2"), other(1)
    )
    (answer,) = find(hub, StudyInstanceUID="", SOPClassesInStudy=SECONDARY_CAPTURE)
    assert answer.StudyInstanceUID == STUDY
    assert list(answer.SOPClassesInStudy) == [CT, SECONDARY_CAPTURE]


def test_counts_are_keys_too(hub: Hub) -> None:
    store(hub, ct(1), ct(2), other(1))
    (answer,) = find(hub, StudyInstanceUID="", NumberOfStudyRelatedInstances=2)
    assert answer.StudyInstanceUID == STUDY


# ---- keys and answers (C.4.1.1.3) ----


def test_every_answer_says_where_it_can_be_retrieved(hub: Hub) -> None:
    store(hub, ct(1))
    for level in ("STUDY", "SERIES", "IMAGE"):
        (answer,) = find(hub, level, StudyInstanceUID=STUDY, InstanceAvailability="")
        assert (answer.RetrieveAETitle, answer.InstanceAvailability) == ("EIRHUB", "ONLINE")


def test_requests_are_matched_and_answered_inside_their_sequence(hub: Hub) -> None:
    request = Dataset()
    request.ScheduledProcedureStepID, request.RequestedProcedureID = "步骤7", "RP9"
    requested = ct(1, SpecificCharacterSet="ISO_IR 192")
    requested.RequestAttributesSequence = DicomSequence([request])
    store(hub, requested, other(1))
    asked = Dataset()
    asked.ScheduledProcedureStepID, asked.RequestedProcedureID = "", "RP*"
    (answer,) = find(
        hub,
        "SERIES",
        SpecificCharacterSet="GB18030",
        SeriesInstanceUID="",
        RequestAttributesSequence=DicomSequence([asked]),
    )
    assert answer.SeriesInstanceUID == f"{STUDY}.1"
    (item,) = answer.RequestAttributesSequence
    assert (item.ScheduledProcedureStepID, item.RequestedProcedureID) == ("步骤7", "RP9")


def test_a_key_inside_another_sequence_is_no_key_of_the_study(hub: Hub) -> None:
    store(hub, ct(1))
    identifier = Dataset()
    identifier.PatientID = "somebody else"
    (answer,) = find(hub, OtherPatientIDsSequence=DicomSequence([identifier]), PatientID="")
    assert answer.PatientID == "12345"
    assert not answer.OtherPatientIDsSequence


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN])
def test_binary_keys_are_matched_in_every_byte_order(hub: Hub, syntax: str) -> None:
    store(hub, ct(1))
    with negotiated(hub, syntax=syntax) as association:
        for rows, found in ((8, 1), (16, 0)):
            answers, last = ask(association, "IMAGE", Rows=rows, BitsAllocated=None)
            assert (last.Status, len(answers)) == (0, found)
            assert all((one.Rows, one.BitsAllocated) == (8, 16) for one in answers)


def test_a_key_that_was_not_matched_is_said(hub: Hub) -> None:
    store(hub, ct(1))
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID, query.OtherPatientIDs = "STUDY", "", "nobody"
    with negotiated(hub) as association:
        statuses = [status.Status for status, _ in association.send_c_find(query, StudyRoot)]
    assert statuses == [0xFF01, 0x0000]


@pytest.mark.parametrize(
    ("asked", "found"),
    [("Li^Na", 1), ("li*", 1), ("LI NA", 1), ("L?^NA", 1), ("Wang*", 0), ("%", 0)],
)
def test_the_referring_physician_is_matched(hub: Hub, asked: str, found: int) -> None:
    store(hub, ct(1))
    assert len(find(hub, ReferringPhysicianName=asked)) == found


def test_identifiers_are_compared_with_regard_to_case(hub: Hub) -> None:
    store(hub, ct(1))
    assert len(find(hub, AccessionNumber="A1*")) == 1
    assert len(find(hub, AccessionNumber="a1*")) == 0
    assert len(find(hub, AccessionNumber="a100")) == 0


# ---- hierarchical and relational queries (C.4.1.2.1, C.4.1.2.2) ----


def test_where_it_must_be_negotiated_a_missing_unique_key_is_named(tmp_path: Path) -> None:
    with running_node(tmp_path, relational_queries="negotiated") as hub:
        store(hub, ct(1))
        for agreed, status, offending in ((b"", 0xA900, 0x0020000D), (RELATIONAL, 0, None)):
            with negotiated(hub, agreed) as association:
                answers, last = ask(association, "SERIES", Modality="CT")
                assert (last.Status, last.get("OffendingElement")) == (status, offending)
                assert len(answers) == (not status)
                answers, last = ask(association, "SERIES", Modality="CT", StudyInstanceUID=STUDY)
                assert (last.Status, len(answers)) == (0, 1)
        with negotiated(hub, model=PatientRoot) as association:
            _, last = ask(association, "STUDY", PatientRoot, PatientID="1*")
            assert (last.Status, last.OffendingElement) == (0xA900, 0x00100020)


def test_without_that_setting_queries_may_be_relational_at_any_time(hub: Hub) -> None:
    store(hub, ct(1), other(1))
    assert len(find(hub, "SERIES", Modality="CT")) == 2
    assert len(find(hub, "IMAGE", PatientRoot, PatientName="Wang*")) == 2
    assert len(find(hub, "STUDY", SeriesInstanceUID=f"{STUDY}.1")) == 1


# ---- date-times and time zones (C.2.2.2.5, C.5.1.1) ----


@pytest.mark.parametrize(
    ("agreed", "dates", "times", "found"),
    [
        (b"", "20261031-20261102", "1100-1000", False),
        (DATE_TIMES, "20261031-20261102", "1100-1000", True),
        (DATE_TIMES, "20261101-20261102", "1100-1000", False),
        (DATE_TIMES, "20261101-", "1015-", True),
        (DATE_TIMES, "20261101-", "101501-", False),
        (DATE_TIMES, "-20261101", "-1015", True),
        (DATE_TIMES, "-20261101", "-1014", False),
    ],
)
def test_combined_date_times_are_one_range_where_agreed(
    hub: Hub, agreed: bytes, dates: str, times: str, *, found: bool
) -> None:
    store(hub, ct(1, SeriesDate="20261101", SeriesTime="1015"))
    with negotiated(hub, agreed) as association:
        study, _ = ask(association, StudyDate=dates, StudyTime=times)
        series, _ = ask(association, "SERIES", SeriesDate=dates, SeriesTime=times)
    assert (bool(study), bool(series)) == (found, found)


@pytest.mark.parametrize(
    ("stored", "offset", "day", "found"),
    [
        # 10:15 in Shanghai is 02:15 UTC and 21:15 of the day before in New York
        ("", "+0000", "20261101", True),
        ("", "-0500", "20261101", False),
        ("", "-0500", "20261031", True),
        # what says its own zone: 10:15 UTC is 05:15 in New York
        ("+0000", "-0500", "20261101", True),
        ("+0000", "-0500", "20261031", False),
        ("+0000", "+1400", "20261102", True),
    ],
)
def test_dates_are_in_the_askers_time_zone_where_agreed(
    hub: Hub, stored: str, offset: str, day: str, *, found: bool
) -> None:
    store(hub, ct(1, TimezoneOffsetFromUTC=stored))
    with negotiated(hub, TIME_ZONE) as association:
        answers, last = ask(association, StudyDate=day, StudyTime="", TimezoneOffsetFromUTC=offset)
    assert (last.Status, bool(answers)) == (0, found)
    assert all((a.StudyDate, a.TimezoneOffsetFromUTC) == (day, offset) for a in answers)


def test_answered_times_are_the_askers_where_agreed_and_as_sent_elsewhere(hub: Hub) -> None:
    store(hub, ct(1, TimezoneOffsetFromUTC="+0000"))
    keys = {"StudyDate": "", "StudyTime": "", "TimezoneOffsetFromUTC": "-0500"}
    with negotiated(hub, TIME_ZONE) as association:
        ((answer,), _) = ask(association, **keys)
    assert (answer.StudyTime, answer.TimezoneOffsetFromUTC) == ("051500", "-0500")
    (answer,) = find(hub, **keys)
    assert (answer.StudyTime, answer.TimezoneOffsetFromUTC) == ("101500", "+0000")


def test_fuzzy_names_only_where_agreed(hub: Hub) -> None:
    store(hub, ct(1, SpecificCharacterSet="ISO_IR 192", PatientName="Wang^XiaoDong=王^小东"))
    assert not find(hub, PatientName="xiaodong")
    with negotiated(hub, FUZZY) as association:
        for name in ("xiaodong", "XIAO"):
            answers, _ = ask(association, PatientName=name)
            assert len(answers) == 1


def test_only_known_fields_of_the_negotiation_are_answered(hub: Hub) -> None:
    with negotiated(hub, b"\1\1\1\1\1\1") as association:
        assert association.acceptor.sop_class_extended == {StudyRoot: b"\1\1\1\1"}
