"""Reports in, and what each reader may see: an unsigned one never reaches the public."""

import io
from datetime import UTC, datetime

import pytest
from pydicom.dataset import Dataset
from sqlalchemy.orm import Session

from eir_versions.decoding import DecoderPool, PoolLimits
from eir_versions.errors import UnrenderableInstanceError
from eir_versions.reports.desk import NO_STUDY, OTHER_PATIENT
from eir_versions.reports.masking import MASK, identifying_words, masked
from eir_versions.reports.model import ReportStatus, Standing
from hub_kernel.events import ReportReceived
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.person_names import PersonName
from patient_index.hl7v2.results import ReceivedResult
from tests.eir_versions.builders import part10
from tests.eir_versions.documents import PDF, code, content, pdf_report, report
from tests.eir_versions.hubs import STUDY, Hub, slice_of

EAST = AssigningAuthority("EAST", "1.2.3.4")
ACCESSION = "VR-2026-1"


def standing(hub: Hub) -> list[tuple[str, Standing]]:
    found = hub.service.reports.standing(STUDY, hub.parts.index.instances_of(STUDY))
    return [(one.report.source_key.rpartition(".")[2], one.standing) for one in found]


def public(hub: Hub) -> list[str]:
    """The text that the public version refers to."""
    version = hub.version("public")
    reports = [hub.service.reports.find(report_id) for report_id, _ in version.reports]
    return [line.text for one in reports if one for line in one.public_lines if line.text]


def result(number: int, status: str = "F", **fields: object) -> ReceivedResult:
    said: dict[str, object] = {
        "message_key": f"hl7:{number}",
        "sender": "RIS|EAST",
        "order_key": "O1:CT",
        "status": status,
        "title": "胸部CT",
        "author": "李医师",
        "issued_at": datetime(2026, 3, 1, 10, number, tzinfo=UTC),
        "study_instance_uid": "",
        "accession_numbers": (ACCESSION,),
        "patients": (PatientIdentifier("P1", EAST),),
        "paragraphs": (("所见", f"text {number}"),),
    }
    return ReceivedResult(**{**said, **fields})  # type: ignore[arg-type]


def take(hub: Hub, *results: ReceivedResult) -> list[str]:
    """Take results as the HL7 door does, deliver what follows, return what became of each."""
    said: list[str] = []
    for one in results:
        before = len(hub.published)

        def recorded(_session: Session, words: str) -> None:
            said.append(words)

        hub.service.reports.take_result(one, recorded)
        for event in hub.published[before:]:
            hub.tell(event)
    return said


@pytest.fixture
def study(hub: Hub) -> Hub:
    hub.store(slice_of(0, AccessionNumber=ACCESSION))
    return hub


def test_a_verified_report_reaches_every_reader(study: Hub) -> None:
    study.store(report(1, "未见异常"))
    study.complete()
    assert public(study) == ["未见异常"]
    (found,) = study.service.reports.standing(STUDY, study.parts.index.instances_of(STUDY))
    assert found.report.title == "影像诊断报告"
    assert "Li Doctor" in [line.text for line in found.report.lines], "professionals see who"


def test_an_unverified_report_is_for_professionals_alone(study: Hub) -> None:
    study.store(report(1, "draft", verified=False))
    study.complete()
    assert public(study) == []
    assert study.version("clinical").reports[0][1] == "preliminary"


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("VerificationFlag", ["VERIFIED", "UNVERIFIED"]),
        ("VerificationFlag", "VERIFIED NOT"),
        ("CompletionFlag", ["COMPLETE", "PARTIAL"]),
        ("PreliminaryFlag", "PRELIMINARY"),
        ("PreliminaryFlag", ["FINAL", "PRELIMINARY"]),
    ],
)
def test_what_says_two_things_is_not_signed(study: Hub, keyword: str, value: object) -> None:
    said = report(1, "draft")
    setattr(said, keyword, value)
    study.store(said)
    study.complete()
    assert public(study) == []
    assert [how for _, how in standing(study)] == [Standing.PRELIMINARY]


def test_a_correction_replaces_and_the_earlier_stays_readable(study: Hub) -> None:
    study.store(report(1, "old"))
    study.complete()
    study.store(report(2, "new", after=1))
    study.complete(generation=2)
    assert public(study) == ["new"]
    assert standing(study) == [("2", Standing.CURRENT), ("1", Standing.SUPERSEDED)]


def test_a_signed_report_ends_the_draft_of_its_title(study: Hub) -> None:
    study.store(report(1, "draft", verified=False), report(2, "signed"))
    study.store(report(3, "the next draft", verified=False))
    study.complete()
    assert standing(study) == [
        ("2", Standing.CURRENT),
        ("3", Standing.PRELIMINARY),
        ("1", Standing.SUPERSEDED),
    ]


def test_a_pdf_is_kept_and_proved(study: Hub) -> None:
    study.store(pdf_report(1))
    study.complete()
    (found,) = study.service.reports.standing(STUDY, study.parts.index.instances_of(STUDY))
    assert found.standing is Standing.CURRENT
    assert found.report.pdf is not None
    assert study.service.reports.pdf(found.report.pdf) == PDF


def test_an_unverified_pdf_and_no_pdf_at_all_are_not_signed(study: Hub) -> None:
    study.store(pdf_report(1, verified=False), pdf_report(2, b"MZ no pdf at all"))
    study.complete()
    assert {how for _, how in standing(study)} == {Standing.PRELIMINARY, Standing.UNREADABLE}
    assert study.version("public").reports == ()


def test_a_result_with_its_study_is_matched_and_shown(study: Hub) -> None:
    study.complete()
    assert take(study, result(1)) == ["matched"]
    assert public(study) == ["text 1"]
    assert study.version("public").cause == "ReportReceived"
    assert take(study, result(1)) == ["received before"]


def test_preliminary_final_corrected_and_late_copies(study: Hub) -> None:
    study.complete()
    take(study, result(1, "P"))
    assert public(study) == []
    take(study, result(3, "F"))
    assert public(study) == ["text 3"]
    take(study, result(2, "P"))
    assert public(study) == ["text 3"], "an older draft that comes late changes nothing"
    take(study, result(4, "C"))
    assert public(study) == ["text 4"]
    take(study, result(5, "P"))
    assert public(study) == ["text 4"], "a new draft waits for its signature"
    take(study, result(6, "X"))
    assert public(study) == []
    assert {how for _, how in standing(study)} == {Standing.WITHDRAWN, Standing.SUPERSEDED}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"accession_numbers": ("VR-404",)}, NO_STUDY),
        ({"accession_numbers": ("VR-2026-*",)}, NO_STUDY),
        ({"sender": "RIS|ELSEWHERE"}, NO_STUDY),
        ({"patients": (PatientIdentifier("P2", EAST),)}, OTHER_PATIENT),
    ],
    ids=["unknown", "wildcard", "another-sites-sender", "another-patient"],
)
def test_what_matches_no_study_waits(study: Hub, fields: dict[str, object], why: str) -> None:
    study.complete()
    assert take(study, result(1, **fields)) == [f"waiting: {why}"]
    assert public(study) == []
    (waiting,) = study.service.reports.waiting()
    assert waiting.report.waiting == why


def test_the_study_uid_is_enough(study: Hub) -> None:
    study.complete()
    named = result(1, accession_numbers=(), study_instance_uid=STUDY)
    assert take(study, named) == ["matched"]


def test_a_waiting_result_is_matched_when_its_study_is_complete(hub: Hub) -> None:
    assert (
        take(hub, result(1), result(2, patients=(PatientIdentifier("P2", EAST),)))
        == [f"waiting: {NO_STUDY}"] * 2
    )
    hub.store(slice_of(0, AccessionNumber=ACCESSION))
    hub.complete()
    assert public(hub) == ["text 1"]
    (still,) = hub.service.reports.waiting()
    assert still.report.waiting == OTHER_PATIENT
    assert not [one for one in hub.published if isinstance(one, ReportReceived)]


def test_a_tree_of_a_hundred_thousand_nodes_is_cut_and_costs_a_bounded_time(
    pool: DecoderPool,
) -> None:
    large = report(1, "first")
    parts = [content("TEXT", TextValue="x") for _ in range(100)]
    for part in parts:
        part.ContentSequence = [content("TEXT", TextValue="y") for _ in range(200)]
    large.ContentSequence = [*large.ContentSequence, *parts]
    found = pool.report(io.BytesIO(part10(large)))
    assert found.cut
    assert len(found.lines) <= 2_000


def test_a_tree_too_deep_costs_a_child_at_most() -> None:
    deep: Dataset = content("CONTAINER", "deepest")
    for _ in range(150):
        above = content("CONTAINER", "above")
        above.ContentSequence = [deep]
        deep = above
    whole = report(1, "text")
    whole.ContentSequence = [deep]
    small = DecoderPool(PoolLimits(processes=1, memory_mb=512, timeout_s=20.0))
    try:
        found = small.report(io.BytesIO(part10(whole)))
        assert max(line.level for line in found.lines) <= 16
        with pytest.raises(UnrenderableInstanceError):
            small.report(io.BytesIO(part10(slice_of(0))))
        assert (
            small.report(io.BytesIO(part10(report(2, "still here")))).status is ReportStatus.FINAL
        )
    finally:
        small.stop()


def test_codes_measurements_and_dates_are_words(pool: DecoderPool) -> None:
    value = Dataset()
    value.NumericValue = "12.5"
    value.MeasurementUnitsCodeSequence = [code("mm", "millimeter", "UCUM")]
    tree = report(1, "text")
    tree.ContentSequence = [
        content("NUM", "直径", MeasuredValueSequence=[value]),
        content("CODE", "部位", ConceptCodeSequence=[code("1", "肺")]),
        content("DATE", "日期", Date="20260301"),
    ]
    found = pool.report(io.BytesIO(part10(tree)))
    assert [line.text for line in found.lines] == ["12.5 mm", "肺", "20260301"]


def test_names_and_numbers_are_struck_out_of_what_the_public_reads() -> None:
    name = PersonName(alphabetic="Wang^XiaoDong", ideographic="王^小东")
    words = identifying_words([name], ["L0427", "310117197004270014"])
    text = "患者王小东（王 小东，WANG XIAODONG, Xiaodong Wang），号 L0427，胸部 L04270 mm"
    said = masked(text, words)
    assert said.count(MASK) == 5
    assert "王" not in said
    assert "L04270" in said, "a longer number is another one"
    assert masked("双肺清晰", words) == "双肺清晰"
    # As typed in full width, and with characters between that nobody sees.
    for hidden in (
        "Ｌ０４２７",
        "ｗａｎｇ　ＸＩＡＯＤＯＮＧ",
        "王\u200b小\u2060东",
        "Wang_Xiao-Dong",
    ):
        assert masked(f"患者{hidden}，", words) == f"患者{MASK}，"
