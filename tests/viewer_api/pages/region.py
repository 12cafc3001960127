"""A small real region: three sites, real test files of pydicom under invented Chinese patients."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.data import get_testdata_file

from access_control.model import Role, Site
from hub_kernel.database import Database
from hub_kernel.identifiers import AssigningAuthority
from hub_kernel.settings import (
    EirSettings,
    HubSettings,
    RouterSettings,
    Settings,
    StudySettings,
    WebSettings,
)
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from image_archive.model import InstanceOrigin
from tests.support.tables import create_tables

PASSWORD = "Correct-horse-7-battery"
RESIDENT_ID = "310117197004270014"
EVIL_NAME = "<script>alert(1)</script>^{{7*7}}"
EVIL_TEXT = "' OR 1=1 --<img src=x onerror=alert(1)>"

SITES = (
    ("sijing", "泗泾镇社区卫生服务中心", "Sijing Community Health Centre"),
    ("jiuting", "九亭镇社区卫生服务中心", "Jiuting Community Health Centre"),
    ("central", "区中心医院", "District Central Hospital"),
)
USERS = (
    ("doctor", Role.CLINICIAN, ("sijing", "jiuting"), "陈医师"),
    ("stranger", Role.CLINICIAN, ("central",), "外院医师"),
    ("reader", Role.RADIOLOGIST, None, "林主任"),
    ("tech", Role.TECHNICIAN, ("sijing",), "周技师"),
    ("boss", Role.MANAGER, None, "管理员"),
    ("engineer", Role.ENGINEER, None, "吴工"),
    ("auditor", Role.AUDITOR, None, "赵审计"),
)


@dataclass(frozen=True)
class Examination:
    """One study to archive: `file` is a test file of pydicom, sent as `slices` instances."""

    site_id: str
    patient_id: str
    name: str
    sex: str
    born: str
    day: str
    file: str
    uid: str
    slices: int = 1
    body_part: str = "CHEST"
    description: str = "胸部平扫"
    resident_id: str = ""
    accession: str = ""
    modality: str = ""


CHEST_CT, SPINE_MR, NAMESAKE_CT, EVIL_CT, REPORT, FOREIGN = (f"2.25.10{n}" for n in range(6))
EXAMINATIONS = (
    Examination(
        "sijing",
        "L0427",
        "Wang^XiaoDong=王^小东",
        "M",
        "19700427",
        "20261120",
        "CT_small.dcm",
        CHEST_CT,
        slices=6,
        resident_id=RESIDENT_ID,
        accession="A20261120001",
    ),
    Examination(
        "jiuting",
        "J77",
        "Wang^XiaoDong=王^小东",
        "M",
        "19700427",
        "20240318",
        "MR_small.dcm",
        SPINE_MR,
        body_part="LSPINE",
        description="腰椎平扫",
        resident_id=RESIDENT_ID,
    ),
    Examination(
        "sijing",
        "L0999",
        "Wang^XiaoDong=王^晓东",
        "F",
        "19580102",
        "20261119",
        "CT_small.dcm",
        NAMESAKE_CT,
        body_part="",
        description="",
    ),
    Examination(
        "sijing",
        "E1",
        EVIL_NAME,
        "",
        "",
        "",
        "CT_small.dcm",
        EVIL_CT,
        body_part="",
        description=EVIL_TEXT,
        accession="' OR 1=1",
    ),
    Examination(
        "sijing",
        "L0427",
        "Wang^XiaoDong=王^小东",
        "M",
        "19700427",
        "20250601",
        "reportsi.dcm",
        REPORT,
        body_part="",
        description="结构化报告",
    ),
    Examination(
        "central",
        "C5",
        "Zhao^Min=赵^敏",
        "F",
        "19800808",
        "20261101",
        "MR_small.dcm",
        FOREIGN,
        body_part="HEAD",
        description="头颅平扫",
    ),
)


@dataclass(frozen=True)
class Region:
    """A hub with its sites, readers and studies."""

    hub: Hub
    application: Callable[..., Any]

    @property
    def database(self) -> Database:
        """The hub's database."""
        return self.hub.database

    @property
    def person(self) -> str:
        """王小东, known at two sites under two local IDs."""
        return self.person_of(CHEST_CT)

    @property
    def namesake(self) -> str:
        """王晓东, who sounds like him."""
        return self.person_of(NAMESAKE_CT)

    @property
    def evil(self) -> str:
        """Somebody whose name is HTML and a template."""
        return self.person_of(EVIL_CT)

    @property
    def foreign(self) -> str:
        """Somebody known at the central hospital alone."""
        return self.person_of(FOREIGN)

    def person_of(self, study_uid: str) -> str:
        """Return the global ID of the person a study is of."""
        study = self.hub.index.study(study_uid)
        assert study is not None
        global_id = self.hub.patients.resolve(study.patient)
        assert global_id is not None
        return global_id


@contextmanager
def open_region(data: Path, examinations: Sequence[Examination] = EXAMINATIONS) -> Iterator[Region]:
    """Wire a real hub on `data`, archive the examinations, let every subscriber do its work."""
    settings = Settings(
        hub=HubSettings(data_dir=data),
        router=RouterSettings(port=0),
        web=WebSettings(port=0),
        study=StudySettings(quiet_period_s=0.05),
        eir=EirSettings(decode_processes=1),
    )
    hub = build_hub(settings)
    try:
        create_tables(hub.database)
        yield _populated(hub, examinations)
    finally:
        hub.close()


def archive(hub: Hub, examination: Examination) -> None:
    """Store the instances of `examination` as its site would send them."""
    site = hub.access.sites.get(examination.site_id)
    origin = InstanceOrigin(
        site.site_id, site.assigning_authority, site.ae_titles[0], "EIRHUB", "127.0.0.1"
    )
    for number in range(1, examination.slices + 1):
        hub.archive.store_file(_instance(examination, number), origin)


def settle(hub: Hub, study_uids: Sequence[str], deadline_s: float = 120) -> None:
    """Complete every study and deliver every event that is due."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        hub.archive.complete_quiet_studies()
        deliver_all_due(hub.database, hub.base.outbox)
        with hub.database.read() as session:
            owed = hub.base.outbox.status(session)
        studies = [hub.index.study(uid) for uid in study_uids]
        if not owed.pending and all(s and s.state == "complete" for s in studies):
            return
    raise AssertionError("the region did not settle in time")


def _populated(hub: Hub, examinations: Sequence[Examination]) -> Region:
    for number, (site_id, name, name_en) in enumerate(SITES, start=1):
        hub.access.sites.add(
            Site(
                site_id=site_id,
                name=name,
                name_en=name_en,
                institution=name,
                level="township",
                ae_titles=(site_id.upper(),),
                networks=("127.0.0.0/8",),
                assigning_authority=AssigningAuthority(site_id.upper(), f"1.2.826.99.{number}"),
            )
        )
    for username, role, scope, display in USERS:
        hub.access.accounts.add_user(
            username, PASSWORD, {role}, frozenset(scope) if scope else None, display
        )
    for examination in examinations:
        archive(hub, examination)
    settle(hub, [examination.uid for examination in examinations])
    return Region(hub, hub.wsgi())


def _instance(examination: Examination, number: int) -> bytes:
    dataset = pydicom.dcmread(str(get_testdata_file(examination.file, download=False)))
    dataset.SpecificCharacterSet = "GB18030"
    dataset.PatientName = examination.name
    dataset.PatientID = examination.patient_id
    dataset.PatientSex = examination.sex
    dataset.PatientBirthDate = examination.born
    dataset.StudyDate = examination.day
    dataset.StudyTime = "093015"
    dataset.AccessionNumber = examination.accession
    dataset.StudyDescription = examination.description
    dataset.SeriesDescription = examination.description
    dataset.BodyPartExamined = examination.body_part
    dataset.StudyInstanceUID = examination.uid
    dataset.SeriesInstanceUID = f"{examination.uid}.1"
    dataset.SOPInstanceUID = f"{examination.uid}.1.{number}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.InstanceNumber = number
    if examination.resident_id:
        dataset.OtherPatientIDs = examination.resident_id
    if examination.file == "CT_small.dcm":
        # Every slice looks different, so that scrolling can be seen.
        values = dataset.pixel_array.copy()
        values[: 16 * number, :16] = values.max()
        dataset.PixelData = values.tobytes()
    written = io.BytesIO()
    dataset.save_as(written, enforce_file_format=True)
    return written.getvalue()
