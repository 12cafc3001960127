"""What rules may know of an instance, from its dataset (PS3.3 C.4.11, C.7.3.1; PS3.6)."""

import struct
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime

from pydicom import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence

from dicom_router.routing.model import Facts
from image_archive.urgency import URGENT_PRIORITIES

# Where an order says how urgent it is; in the dataset itself, or in an item of the sequence.
_URGENCY = ("RequestedProcedurePriority", "StudyPriorityID")
_REQUESTS = "RequestAttributesSequence"


def facts_of(
    dataset: Dataset, site_id: str, archived_at: datetime, tags: Collection[str] = ()
) -> Facts:
    """Return the facts of an instance that `site_id` sent; `tags` are the keywords rules ask for.

    `archived_at` is in the time zone of the region. An attribute that cannot be read is taken as
    absent: an odd value must not keep an instance from going its other ways.
    """
    held = {keyword: _values(dataset, keyword) for keyword in tags}
    return Facts(
        site_id=site_id,
        modality=_first(dataset, "Modality"),
        sop_class_uid=_first(dataset, "SOPClassUID"),
        body_part=_first(dataset, "BodyPartExamined"),
        archived_at=archived_at,
        emergency=is_emergency(dataset),
        tags={keyword: values for keyword, values in held.items() if values},
    )


def is_emergency(dataset: Dataset) -> bool:
    """Tell whether the order behind the instance is urgent: Requested Procedure Priority STAT."""
    datasets = [dataset]
    with suppress(*_UNREADABLE):
        datasets += list(dataset.get(_REQUESTS) or ())
    return any(
        value.upper() in URGENT_PRIORITIES
        for one in datasets
        for keyword in _URGENCY
        for value in _values(one, keyword)
    )


# What pydicom raises while it makes a value of raw bytes.
_UNREADABLE = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def _first(dataset: Dataset, keyword: str) -> str:
    return next(iter(_values(dataset, keyword)), "")


def _values(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    try:
        value = dataset.get(keyword)
    except _UNREADABLE:
        return ()
    if isinstance(value, DicomSequence):
        return ()
    several = value if isinstance(value, MultiValue | list) else (value,)
    texts = (str(one).strip(" \0") for one in several if one is not None)
    return tuple(text for text in texts if text)
