"""Requests for images in the tests of the NIST kit, and images of our own under its UIDs."""

import io
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lxml import etree
from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.support.tools import require_conformance
from tests.xds_registry import wire
from tests.xds_registry.districts import District
from tests.xds_registry.imaging_wire import XDSI


@dataclass(frozen=True)
class Case:
    """One request of a test and what its plan says of the answer."""

    name: str
    request: Path
    plans: tuple[Path, ...]
    is_gateway: bool


def kit() -> Path:
    return require_conformance("nist").parent


def cases(test: str) -> Iterator[Case]:
    """Every request for images in a test, whether its index lists it or not."""
    folder = kit() / "nist" / "tests" / test
    for plan in sorted(folder.glob("*/testplan.xml")):
        (named,) = texts_of(plan, "MetadataFile") or [None]
        if named is not None:
            others = tuple(sorted(folder.glob("Validate*/testplan.xml")))
            section = plan.parent.name
            plans = (plan, *others) if section.startswith("Rad") else (plan,)
            yield Case(f"{test}/{section}", plan.parent / named, plans, test.startswith("rig"))


def texts_of(plan: Path, name: str) -> list[str]:
    return [str(one.text).strip() for one in parsed(plan).iter(name)]


def parsed(path: Path) -> etree._Element:
    return etree.fromstring(path.read_bytes().strip())


def load_images(district: District, tests: Iterable[str], repository: str) -> None:
    """Store an image under every UID that `tests` ask this repository for, but for made-up ones."""
    known: dict[str, tuple[str, str]] = {}
    for test in tests:
        for case in cases(test):
            for study_uid, series_uid, instance_uid in _asked(case.request, repository):
                known.setdefault(instance_uid, (study_uid, series_uid))
    for instance_uid, (study_uid, series_uid) in known.items():
        if study_uid and series_uid and not instance_uid.endswith((".999", ".987654")):
            district.store(_image(study_uid, series_uid, instance_uid))


def _asked(path: Path, repository: str) -> Iterator[tuple[str, str, str]]:
    for study in parsed(path).iter(f"{{{XDSI}}}StudyRequest"):
        for series in study.iter(f"{{{XDSI}}}SeriesRequest"):
            for one in series.iter(f"{{{wire.XDSB}}}DocumentRequest"):
                if one.findtext(f"{{{wire.XDSB}}}RepositoryUniqueId") == repository:
                    instance = one.findtext(f"{{{wire.XDSB}}}DocumentUniqueId") or ""
                    yield study.get("studyInstanceUID"), series.get("seriesInstanceUID"), instance


def _image(study_uid: str, series_uid: str, instance_uid: str) -> bytes:
    """A picture in JPEG lossless: as such, or decoded, it answers every syntax the tests list."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(str(get_testdata_file("JPEG-LL.dcm")))
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = instance_uid
        dataset.PatientID = "IMAGES"
        target = io.BytesIO()
        dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()
