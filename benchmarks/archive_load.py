"""Fill an archive's index with studies of the persons of the identity benchmark, without bytes.

Every person has two studies, every study two series, ten instances in all. Any of them can be made
from its number alone, so that a client knows what to ask for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import insert

from benchmarks.bulk_loading import BulkLoad, Rows, load
from benchmarks.identity_population import SITES, Resident, resident
from hub_kernel.database import Database
from hub_kernel.person_names import PersonName, name_keys
from image_archive.model import StudyState
from image_archive.tables import INSTANCE, RECONCILIATION, SERIES, STUDY

STUDIES_OF_PERSON = 2
INSTANCES_OF_SERIES = (4, 6)
INSTANCES_OF_STUDY = sum(INSTANCES_OF_SERIES)
_ROOT = "1.2.826.0.1.3680043.10.1717.9"
_CT = "1.2.840.10008.5.1.4.1.1.2"
_FIRST_DAY, _DAYS = date(2010, 1, 1), 5_800
_RECEIVED = datetime(2026, 1, 1, tzinfo=UTC)
_MODALITIES = ("CT", "MR", "DX", "US", "CR")
_PARTS = ("CHEST", "HEAD", "ABDOMEN", "HAND", "SPINE")
_SAME_OF_STUDIES = {
    "other_patient_ids": [],
    "study_time": "101500",
    "study_time_key": "101500.000000",
    "timezone_offset": "",
    "referring_alphabetic": "Li^Na",
    "referring_ideographic": "李^娜",
    "referring_phonetic": "",
    "series_count": len(INSTANCES_OF_SERIES),
    "instance_count": INSTANCES_OF_STUDY,
    "rejected_series": 0,
    "rejected_instances": 0,
    "emergency": False,
    "state": StudyState.COMPLETE.value,
    "generation": 1,
    "received_at": _RECEIVED,
    "last_received_at": _RECEIVED,
    "completed_at": _RECEIVED,
}
COLUMNS = {
    table.name: tuple(column.name for column in table.columns if column.name not in left_out)
    for table, left_out in (
        (STUDY, ()),
        (SERIES, ("series_date", "performed_start_date")),
        (INSTANCE, ()),
    )
}


@dataclass(frozen=True)
class LoadedStudy:
    """What of one study is asked for."""

    number: int
    person: Resident
    site_number: int

    @property
    def name(self) -> PersonName:
        """The patient's name, as sent."""
        return self.person.demographics.name

    @property
    def uid(self) -> str:
        """Its Study Instance UID."""
        return f"{_ROOT}.{self.number + 1_000_000_000}"

    @property
    def modality(self) -> str:
        """What it was made with."""
        return _MODALITIES[self.number % 5]

    @property
    def accession_number(self) -> str:
        """Its accession number."""
        return f"A{self.number:09}"

    @property
    def day(self) -> date:
        """Its study date."""
        return _FIRST_DAY + timedelta(days=Random(self.number).randrange(_DAYS))  # noqa: S311


def study(number: int) -> LoadedStudy:
    """Return the study of that number."""
    person = resident(number // STUDIES_OF_PERSON)
    return LoadedStudy(number, person, SITES.index(person.sites[0]))


def site_id(number: int) -> str:
    """Return the id of the site of that number, 0 to 24."""
    return SITES[number].namespace.lower()


def fill(
    database: Database, studies: range, *, processes: int, said: Callable[[str], None]
) -> None:
    """Load studies of these numbers; `said` hears of the progress.

    The hub is told that bytes and rows were compared just now: there are no bytes.
    """
    load(database, STUDIES, studies, processes=processes, said=said)
    counts = dict.fromkeys(("abandoned", "rebuilt", "superfluous", "missing", "unrecognised"), 0)
    with database.unit_of_work() as work:
        started = {"started_at": datetime.now(UTC)}
        work.session.execute(insert(RECONCILIATION), started | counts)


def made(numbers: range) -> Rows:
    """Return the rows of these studies; row numbers follow from theirs."""
    rows: Rows = {name: [] for name in COLUMNS}
    for number in numbers:
        _add(rows, study(number))
    return rows


def _add(rows: Rows, one: LoadedStudy) -> None:
    row_id = one.number + 1
    rows["study"].append(_row("study", _study_values(row_id, one)))
    first_instance = one.number * INSTANCES_OF_STUDY + 1
    for place, count in enumerate(INSTANCES_OF_SERIES, start=1):
        series_id = one.number * len(INSTANCES_OF_SERIES) + place
        series = _series_values(series_id, row_id, one, place, count)
        rows["series"].append(_row("series", series))
        for number in range(count):
            values = _instance_values(first_instance, series_id, series["series_instance_uid"])
            rows["instance"].append(_row("instance", values | {"instance_number": number + 1}))
            first_instance += 1


def _row(table: str, values: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(values[column] for column in COLUMNS[table])


def _study_values(row_id: int, one: LoadedStudy) -> dict[str, Any]:
    person, name = one.person.demographics, one.name
    keys, issuer = name_keys(name), one.person.sites[0]
    return {
        "id": row_id,
        "study_instance_uid": one.uid,
        "site_id": site_id(one.site_number),
        "issuer_namespace": issuer.namespace,
        "issuer_oid": issuer.oid,
        "patient_id": one.person.identifier(issuer).value,
        "name_alphabetic": name.alphabetic,
        "name_ideographic": name.ideographic,
        "name_phonetic": name.phonetic,
        "name_confident": True,
        "name_rule": name.rule,
        "key_as_sent": name.alphabetic.casefold(),
        "key_hanzi": keys.hanzi,
        "key_pinyin": keys.pinyin,
        "key_initials": keys.initials,
        "key_alphabetic": keys.alphabetic,
        "patient_birth_date": person.birth_date,
        "patient_sex": person.sex,
        "accession_number": one.accession_number,
        "study_id": str(one.number % 1000),
        "study_date": one.day,
        "study_description": f"{_PARTS[one.number % 5]} 平扫",
        "modalities": [one.modality],
        "body_parts": [_PARTS[one.number % 5]],
        **_SAME_OF_STUDIES,
    }


def _series_values(
    row_id: int, study_row_id: int, one: LoadedStudy, place: int, count: int
) -> dict[str, Any]:
    return {
        "id": row_id,
        "study_row_id": study_row_id,
        "series_instance_uid": f"{one.uid}.{place}",
        "modality": one.modality,
        "series_number": place,
        "series_description": "5.0 mm",
        "body_part_examined": _PARTS[one.number % 5],
        "series_time": "",
        "institution_name": "卫生院",
        "station_name": "CT1",
        "performed_start_time": "",
        "scheduled_step_id": "",
        "requested_procedure_id": "",
        "instance_count": count,
        "rejected_instances": 0,
        "received_at": _RECEIVED,
    }


def _instance_values(row_id: int, series_row_id: int, series_uid: str) -> dict[str, Any]:
    return {
        "id": row_id,
        "series_row_id": series_row_id,
        "sop_instance_uid": f"{series_uid}.{row_id + 1_000_000_000}",
        "sop_class_uid": _CT,
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "rows": 512,
        "columns": 512,
        "number_of_frames": 1,
        "bits_allocated": 16,
        "dataset_sha256": f"{row_id:064x}",
        "dataset_bytes": 525_000,
        "storage_key": f"instances/2026/01/01/{row_id:012}",
        "received_at": _RECEIVED,
        "condition": "intact",
        "rejected": "",
    }


STUDIES = BulkLoad("studies", COLUMNS, made, chunk=5_000)
