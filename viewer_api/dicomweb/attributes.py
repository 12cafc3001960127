"""What the index knows, as the DICOM JSON Model of search answers (PS3.18 10.6.3, F)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from hub_kernel.person_names import PersonName
from viewer_api.dicomweb.json_model import Json, person_name_json, tag_key

if TYPE_CHECKING:
    from image_archive.model import InstanceRecord, SeriesRecord
    from image_archive.query import AttributeValue, IndexMatch


# Attributes of the index that belong inside the one item of a sequence.
_SEQUENCES = {"RequestAttributesSequence": ("ScheduledProcedureStepID", "RequestedProcedureID")}


def match_json(attributes: Mapping[str, AttributeValue], address: str) -> Json:
    """Return `attributes` (DICOM keyword → value) of something that is retrieved at `address`."""
    given: dict[str, AttributeValue] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "InstanceAvailability": "ONLINE",
        "RetrieveURL": address,
        **attributes,
    }
    items: Json = {}
    for sequence, keywords in _SEQUENCES.items():
        inside = {keyword: given.pop(keyword) for keyword in keywords if keyword in given}
        if any(inside.values()):
            found_inside = dict(_element(keyword, value) for keyword, value in inside.items())
            items[tag_key(tag_for_keyword(sequence) or 0)] = {"vr": "SQ", "Value": [found_inside]}
    found = dict(_element(keyword, value) for keyword, value in given.items())
    return dict(sorted({**found, **items}.items()))


def match_address(match: IndexMatch, root: str) -> str:
    """Return where the lowest level of `match` is retrieved; `root` is that of the service."""
    if match.instance is not None:
        return instance_address(match.instance, root)
    if match.series is not None:
        return series_address(match.series, root)
    return f"{root}/studies/{match.study.study_instance_uid}" if match.study else root


def series_address(series: SeriesRecord, root: str) -> str:
    """Return where `series` is retrieved."""
    return f"{root}/studies/{series.study_instance_uid}/series/{series.series_instance_uid}"


def instance_address(instance: InstanceRecord, root: str) -> str:
    """Return where `instance` is retrieved."""
    return (
        f"{root}/studies/{instance.study_instance_uid}"
        f"/series/{instance.series_instance_uid}/instances/{instance.sop_instance_uid}"
    )


def _element(keyword: str, value: AttributeValue) -> tuple[str, Json]:
    tag = tag_for_keyword(keyword) or 0
    values = [_value(one) for one in (value if isinstance(value, tuple) else (value,))]
    kept = [one for one in values if one not in ("", None, {})]
    vr = dictionary_VR(tag)
    return tag_key(tag), {"vr": vr, "Value": kept} if kept else {"vr": vr}


def _value(value: str | int | date | PersonName | None) -> Any:
    if isinstance(value, PersonName):
        return person_name_json(value)
    return f"{value:%Y%m%d}" if isinstance(value, date) else value
