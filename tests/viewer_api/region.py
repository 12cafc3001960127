"""A hub with real studies of three sites, as the tests of the web see it."""

import io
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset

from access_control.break_glass import Emergency
from access_control.model import Role, Site, Subject, SubjectKind
from hub_kernel.identifiers import AssigningAuthority, PatientIdentifier
from hub_kernel.settings import HubSettings, Settings, StudySettings
from hub_kernel.tasks import deliver_all_due
from hub_runtime.bootstrap import build_hub
from hub_runtime.hub import Hub
from image_archive.model import InstanceOrigin
from patient_index.model import Decided
from tests.support.waiting import WAIT_S

SITES = ("sijing", "jiuting", "central")


@dataclass(frozen=True)
class Shown:
    """One stored instance and where it is found."""

    study: str
    series: str
    instance: str
    site_id: str
    dataset: FileDataset
    data: bytes

    @property
    def study_url(self) -> str:
        return f"/dicom-web/studies/{self.study}"

    @property
    def series_url(self) -> str:
        return f"{self.study_url}/series/{self.series}"

    @property
    def url(self) -> str:
        return f"{self.series_url}/instances/{self.instance}"


@dataclass(frozen=True)
class Region:
    """A hub, its web application, and the studies in it."""

    hub: Hub
    app: Flask
    # 王小东, known at sijing and jiuting under different numbers
    ct: Shown
    mr_multiframe: Shown
    # somebody else at central, whose local number there is the same as 王小东's at sijing
    us_colour: Shown

    def client(self, token: str | None = None) -> FlaskClient:
        """Return a browser without cookies, or a machine with its bearer token."""
        client = self.app.test_client()
        if token is not None:
            client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
        return client


def site(site_id: str, number: int) -> Site:
    return Site(
        site_id=site_id,
        name=f"{site_id} 医院",
        name_en=f"{site_id} Hospital",
        institution=site_id,
        level="community",
        ae_titles=(site_id.upper(),),
        networks=("127.0.0.1/32",),
        assigning_authority=AssigningAuthority(site_id.upper(), f"1.2.156.1.{number}"),
    )


def origin_of(wanted: Site) -> InstanceOrigin:
    return InstanceOrigin(
        site_id=wanted.site_id,
        issuer=wanted.assigning_authority,
        calling_ae_title=wanted.ae_titles[0],
        called_ae_title="EIRHUB",
        source_address="127.0.0.1",
    )


def part10(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def sample(name: str, **changes: object) -> FileDataset:
    """Return one of pydicom's own files with these attributes changed."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    dataset = dcmread(path)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def store(hub: Hub, site_id: str, dataset: Dataset) -> Shown:
    """Put one instance into the archive as its site would have sent it."""
    data = part10(dataset)
    hub.archive.store_file(data, origin_of(hub.access.sites.get(site_id)))
    return Shown(
        study=str(dataset.StudyInstanceUID),
        series=str(dataset.SeriesInstanceUID),
        instance=str(dataset.SOPInstanceUID),
        site_id=site_id,
        dataset=dcmread(io.BytesIO(data)),
        data=data,
    )


def new_hub(folder: Path) -> Hub:
    settings = Settings(hub=HubSettings(data_dir=folder), study=StudySettings(quiet_period_s=0.001))
    hub = build_hub(settings)
    hub.open()
    for number, site_id in enumerate(SITES, start=1):
        hub.access.sites.add(site(site_id, number))
    return hub


def web_app(hub: Hub) -> Flask:
    """Return the pages and endpoints without the SOAP services mounted beside them."""
    app = hub.wsgi().app  # type: ignore[attr-defined]
    assert isinstance(app, Flask)
    return app


def settle(hub: Hub, studies: int) -> None:
    """Let this many studies complete, be registered and be rendered."""
    deliver_all_due(hub.database, hub.base.outbox)
    deadline = time.monotonic() + WAIT_S
    while studies > 0 and time.monotonic() < deadline:
        studies -= hub.archive.complete_quiet_studies()
    assert studies <= 0, "less than zero: one of an earlier test had become quiet as well"
    deliver_all_due(hub.database, hub.base.outbox)


def link_one_person(hub: Hub, first: PatientIdentifier, second: PatientIdentifier) -> None:
    global_id = hub.patients.resolve(first)
    assert global_id is not None
    hub.patients.link(second, global_id, Decided("registrar", "same card shown"))


@contextmanager
def emergency(region: Region, username: str, shown: Shown) -> Iterator[None]:
    """Let a user have the record of the person of `shown` open in an emergency."""
    (account,) = [one for one in region.hub.access.accounts.all() if one.username == username]
    reader = Subject(SubjectKind.USER, account.user_id, username)
    study = region.hub.index.study(shown.study)
    global_id = region.hub.patients.resolve(study.patient) if study else None
    assert global_id is not None
    broken = region.hub.access.break_glass
    said = Emergency(reader, global_id, "unconscious, life in danger", "127.0.0.1")
    glass = broken.open(said, lambda *_: None)
    yield
    broken.close(glass.glass_id, account.user_id, lambda *_: None)


@contextmanager
def opened_region(folder: Path) -> Iterator[Region]:
    """Give a region with the studies of two people, one of them known at two sites."""
    logging.getLogger("pydicom").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hub = new_hub(folder)
        chinese = {"SpecificCharacterSet": "GB18030", "PatientName": "Wang^XiaoDong=王^小东"}
        ct = store(
            hub,
            "sijing",
            sample("CT_small.dcm", PatientID="S001", AccessionNumber="A-1", StudyID="1", **chinese),
        )
        mr = store(
            hub,
            "jiuting",
            sample("emri_small_jpeg_2k_lossless.dcm", PatientID="J900", **chinese),
        )
        us = store(
            hub, "central", sample("examples_ybr_color.dcm", PatientID="S001", PatientName="Li^Si")
        )
        settle(hub, studies=3)
        issuers = {s.site_id: s.assigning_authority for s in hub.access.sites.all()}
        link_one_person(
            hub,
            PatientIdentifier("S001", issuers["sijing"]),
            PatientIdentifier("J900", issuers["jiuting"]),
        )
    yield Region(hub, web_app(hub), ct, mr, us)
    hub.close()


def machines_of(region: Region) -> Callable[..., FlaskClient]:
    """Return what makes a client whose token has these roles at these sites, None everywhere."""
    tokens: dict[object, str] = {}

    def make(*roles: Role, sites: tuple[str, ...] | None = None) -> FlaskClient:
        key = (frozenset(roles), sites)
        if key not in tokens:
            tokens[key] = region.hub.access.tokens.create(
                f"machine {len(tokens)}",
                roles,
                sites,
                region.hub.base.clock.now() + timedelta(days=30),
            )
        return region.client(tokens[key])

    return make
