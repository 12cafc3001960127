"""Reports as readers get them, and which of them stand (pure; PS3.3 C.17.2, HL7 table 0123)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class ReportStatus(StrEnum):
    """What its author says of a report. Only FINAL and CORRECTED are signed."""

    PRELIMINARY = "preliminary"
    FINAL = "final"
    CORRECTED = "corrected"
    WITHDRAWN = "withdrawn"
    UNREADABLE = "unreadable"


class Standing(StrEnum):
    """What a report is worth now. The public sees CURRENT and nothing else."""

    CURRENT = "current"
    PRELIMINARY = "preliminary"
    SUPERSEDED = "superseded"
    WITHDRAWN = "withdrawn"
    UNREADABLE = "unreadable"


Age = tuple[datetime, datetime]
"""When a report was issued and when it came in: what a chain is ordered by."""

SIGNED = frozenset({ReportStatus.FINAL, ReportStatus.CORRECTED})


@dataclass(frozen=True)
class ReportLine:
    """One line of a report: `name` says what it is, `text` what is said; a heading has no text.

    `personal` lines name people who observed or signed; they never reach the public.
    """

    text: str
    name: str = ""
    level: int = 0
    heading: bool = False
    personal: bool = False


@dataclass(frozen=True)
class StoredDocument:
    """A PDF in the archive's backend."""

    storage_key: str
    sha256: str
    size: int


@dataclass(frozen=True)
class ReportText:
    """What is read out of a document: title, lines, whether they were cut, a PDF if there is one.

    `source_key` names the document for good, `chain_key` the report of which it is one state.
    `issued_at` is naive where the document names no time zone.
    """

    source_key: str
    chain_key: str
    kind: str
    status: ReportStatus
    title: str
    author: str
    issued_at: datetime | None
    lines: tuple[ReportLine, ...]
    cut: bool = False
    pdf: bytes | None = None


@dataclass(frozen=True)
class Report:
    """One state of a report, on record. `waiting` says why it belongs to no study yet."""

    report_id: str
    study_instance_uid: str
    source_key: str
    chain_key: str
    kind: str
    status: ReportStatus
    title: str
    author: str
    issued_at: datetime | None
    received_at: datetime
    sha256: str
    lines: tuple[ReportLine, ...] = ()
    cut: bool = False
    pdf: StoredDocument | None = None
    sender: str = ""
    accession_number: str = ""
    waiting: str = ""

    @property
    def signed(self) -> bool:
        """Whether somebody answers for it."""
        return self.status in SIGNED

    @property
    def sop_instance_uid(self) -> str:
        """The instance of the study that it came as; empty of what an HL7 sender told."""
        return "" if self.kind == "oru" else self.source_key.removeprefix("sop:")

    @property
    def public_lines(self) -> tuple[ReportLine, ...]:
        """The lines without those that name people."""
        return tuple(line for line in self.lines if not line.personal)


@dataclass(frozen=True)
class ShownReport:
    """A report and what it is worth now."""

    report: Report
    standing: Standing


def standings(reports: Iterable[Report]) -> tuple[ShownReport, ...]:
    """Return the reports of one study with their standing, those in force first, latest first.

    In a chain the latest signed state is in force, unless the report was taken back after it. A
    preliminary state counts only while it is the latest; a late copy of it changes nothing. A
    signed DICOM document also puts an end to earlier unsigned ones of its title.
    """
    chains: dict[str, list[Report]] = {}
    for report in reports:
        chains.setdefault(report.chain_key, []).append(report)
    signed: dict[tuple[str, str], Age] = {}
    for one in (one for chain in chains.values() for one in chain if one.signed):
        kind = (one.kind, one.title)
        signed[kind] = max(signed.get(kind, _age(one)), _age(one))
    shown = [
        ShownReport(report, standing)
        for chain in chains.values()
        for report, standing in _chain(sorted(chain, key=_age), signed)
    ]
    order = list(Standing)
    shown.sort(key=lambda one: _age(one.report), reverse=True)
    return tuple(sorted(shown, key=lambda one: order.index(one.standing)))


def _chain(
    chain: list[Report], signed: Mapping[tuple[str, str], Age]
) -> Iterable[tuple[Report, Standing]]:
    judged = [n for n, one in enumerate(chain) if one.signed or _is_end(one)]
    last = judged[-1] if judged else -1
    for number, report in enumerate(chain):
        yield report, _standing(report, number, (last, len(chain)), signed)


def _standing(
    report: Report, number: int, place: tuple[int, int], signed: Mapping[tuple[str, str], Age]
) -> Standing:
    last, length = place
    if report.status is ReportStatus.UNREADABLE:
        return Standing.UNREADABLE
    if _is_end(report):
        return Standing.WITHDRAWN
    if number < last:
        return Standing.SUPERSEDED
    if report.signed:
        return Standing.CURRENT
    later = signed.get((report.kind, report.title))
    ended = last < 0 and report.kind != "oru" and later is not None and _age(report) < later
    return Standing.PRELIMINARY if number == length - 1 and not ended else Standing.SUPERSEDED


def _is_end(report: Report) -> bool:
    return report.status is ReportStatus.WITHDRAWN


def _age(report: Report) -> Age:
    return report.issued_at or report.received_at.astimezone(UTC), report.received_at
