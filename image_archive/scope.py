"""What an asker may see of the index, and what nobody is shown: conditions on its tables."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

from sqlalchemy import ColumnElement, false, select
from sqlalchemy.orm import Session

from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.pairs import is_any_of
from image_archive.query import IndexQuery
from image_archive.tables import INSTANCE, SERIES, STUDY

VALUES_PER_QUERY = 500

# Rejected instances are shown to nobody, nor what holds nothing else (image_archive.rejections).
VISIBLE_STUDY = STUDY.c.instance_count > STUDY.c.rejected_instances
VISIBLE_SERIES = SERIES.c.instance_count > SERIES.c.rejected_instances
VISIBLE_INSTANCE = INSTANCE.c.rejected == ""

T = TypeVar("T")


def scope_of(query: IndexQuery) -> list[ColumnElement[bool]]:
    """Return the conditions on studies that hold whatever is asked."""
    found: list[ColumnElement[bool]] = [VISIBLE_STUDY]
    if query.site_ids is not None:
        found.append(STUDY.c.site_id.in_(query.site_ids))
    if query.study_uids is not None:
        found.append(STUDY.c.study_instance_uid.in_(query.study_uids))
    if query.identifiers is not None:
        found.append(of_patients(query.identifiers))
    return found


def of_patients(identifiers: Iterable[PatientIdentifier]) -> ColumnElement[bool]:
    """Return the condition that a study is of one of these patients."""
    pairs = [(identifier.value, identifier.issuer.oid) for identifier in identifiers]
    if not pairs:
        return false()
    return is_any_of(STUDY.c.patient_id, STUDY.c.issuer_oid, pairs)


def shown_among(session: Session, sop_instance_uids: Collection[str]) -> Mapping[str, str]:
    """Return the SOP classes of those of the instances that are there and not rejected.

    For who asks inside a transaction of its own, which `ArchiveIndex` would keep waiting.
    """
    columns = (INSTANCE.c.sop_instance_uid, INSTANCE.c.sop_class_uid)
    found: dict[str, str] = {}
    for some in batches(sop_instance_uids):
        wanted = select(*columns).where(columns[0].in_(some), VISIBLE_INSTANCE)
        found.update((row.sop_instance_uid, row.sop_class_uid) for row in session.execute(wanted))
    return found


def batches(values: Iterable[T], size: int = VALUES_PER_QUERY) -> Iterator[list[T]]:
    """Yield lists of at most `size` values: databases limit what one statement may name."""
    remaining = iter(values)
    while some := list(islice(remaining, size)):
        yield some
