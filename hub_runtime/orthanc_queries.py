"""C-FIND as Orthanc passes it on: keys and values as texts, answered as by the hub's DICOM door.

The plugin tells neither the query model nor the character set of a query: what asks for patients is
Patient Root, all else Study Root, and both ways are UTF-8. Keys that are sequences are left out.
"""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.multival import MultiValue

from dicom_router.association_audit import AssociationAudit
from dicom_router.handlers.c_find import FindRules, FindService
from dicom_router.model import Caller, Query, Tally
from hub_kernel.errors import InvalidValueError
from hub_runtime.foundation import Access, Foundation
from image_archive.index import ArchiveIndex

_PATIENT_ROOT = "1.2.840.10008.5.1.4.1.2.1.1"
_STUDY_ROOT = "1.2.840.10008.5.1.4.1.2.2.1"
_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_LEVEL, _CHARACTER_SET, _RETRIEVE_AE_TITLE = "00080052", "00080005", "00080054"
_NO_TEXT = frozenset({"SQ", "OB", "OW", "OF", "OD", "OL", "OV", "UN", "AT"})
_PENDING = frozenset({0xFF00, 0xFF01})
_MOST_KEYS = 256

Keys = dict[str, str]
"""Values by tag, eight hex digits."""


@dataclass(frozen=True)
class OrthancQueries:
    """Answers queries of sites that reached Orthanc."""

    service: FindService

    def find(self, keys: Keys, caller: Caller) -> list[Keys] | None:
        """Return what the caller may see that matches; None where the query is refused or fails.

        What is found is to be retrieved from whom the caller has called.

        Raises:
            InvalidValueError: the keys are none that a query can have.
        """
        model = _PATIENT_ROOT if keys.get(_LEVEL, "").strip() == "PATIENT" else _STUDY_ROOT
        query = Query(model, _EXPLICIT_VR_LITTLE_ENDIAN, _identifier(keys))
        found: list[Keys] = []
        for answer, dataset in self.service.answers(query, caller, Tally(), lambda: False):
            if answer.status in _PENDING and dataset is not None:
                found.append(_texts(dataset) | {_RETRIEVE_AE_TITLE: caller.called_ae_title})
            elif answer.status:
                return None
        return found


def orthanc_queries(base: Foundation, access: Access, index: ArchiveIndex) -> OrthancQueries:
    """Return what answers Orthanc's queries in a hub."""
    router = base.settings.router
    rules = FindRules(
        router.response_limit,
        router.ae_title,
        ZoneInfo(base.settings.hub.time_zone),
        always_relational=True,
    )
    audit = AssociationAudit(base.database, access.audit)
    return OrthancQueries(FindService(index, audit, access.consents, base.metrics, rules))


def _identifier(keys: Keys) -> bytes:
    if len(keys) > _MOST_KEYS:
        raise InvalidValueError("query: too many keys")
    dataset = Dataset()
    try:
        for tag, value in keys.items():
            vr = dictionary_VR(int(tag, 16))
            if vr not in _NO_TEXT and int(tag, 16) >> 16 > 2:  # noqa: PLR2004 (command, file meta)
                dataset.add_new(int(tag, 16), vr, value)
        dataset.SpecificCharacterSet = "ISO_IR 192"
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_dataset(buffer, dataset)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise InvalidValueError("query: a key is no attribute, or its value none it has") from error
    return buffer.getvalue()


def _texts(dataset: Dataset) -> Keys:
    return {
        f"{element.tag:08x}": _text(element.value)
        for element in dataset
        if element.VR not in _NO_TEXT and f"{element.tag:08x}" != _CHARACTER_SET
    }


def _text(value: Any) -> str:
    if isinstance(value, MultiValue | list | tuple):
        return "\\".join(map(str, value))
    return "" if value is None else str(value)
