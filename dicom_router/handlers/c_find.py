"""C-FIND SCP on Patient Root and Study Root: narrowed to what the caller may see (PS3.4 C.4.1)."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset
from pynetdicom import evt
from sqlalchemy.exc import SQLAlchemyError

from access_control.consent import Consents
from access_control.model import NO_REFUSALS
from dicom_router.answer import Answer
from dicom_router.association_audit import AssociationAudit
from dicom_router.errors import QueryRefusedError
from dicom_router.identifiers import Identifier, read_identifier
from dicom_router.model import Caller, Tally
from dicom_router.presentation import QUERY_SOP_CLASSES
from dicom_router.query_answers import QueryAnswers
from dicom_router.statuses import (
    FIND_FAILED,
    INVALID_QUERY,
    NOT_AUTHORIZED_TO_QUERY,
    UNREADABLE_IDENTIFIER,
)
from hub_kernel.identifiers import PatientIdentifier
from hub_kernel.metrics import Metrics
from image_archive.errors import InvalidQueryError
from image_archive.index import ArchiveIndex
from image_archive.query import IndexAnswer, IndexMatch, IndexQuery

log = logging.getLogger(__name__)

_PENDING = 0xFF00
_PENDING_WITH_UNKNOWN_KEYS = 0xFF01
_CANCELLED = 0xFE00
_LIMIT_REACHED = 0xB001
_SUCCESS = 0x0000
# Whatever pydicom can raise over a hostile identifier.
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError)

FindAnswer = tuple[int | Dataset, Dataset | None]


@dataclass(frozen=True)
class FindService:
    """What every query needs; at most `response_limit` answers are given to one."""

    index: ArchiveIndex
    audit: AssociationAudit
    consents: Consents
    metrics: Metrics
    response_limit: int
    ae_title: str

    def answers(
        self, event: evt.Event, caller: Caller, tally: Tally, is_cancelled: Callable[[int], bool]
    ) -> Iterator[FindAnswer]:
        """Yield (status, identifier) for each match, as pynetdicom wants them, then the last word.

        A cancel is obeyed between two answers. Every query is audited, whatever its end.
        """
        started = time.perf_counter()
        shown, level, succeeded = 0, "", False
        try:
            identifier = _identifier(event)
            level = identifier.level_as_asked
            found = self._find(identifier, caller, _extended(event))
            self.metrics.find_seconds.labels("C-FIND").observe(time.perf_counter() - started)
            shaped = QueryAnswers(identifier, self.ae_title)
            for match in found.matches:
                if is_cancelled(event.message_id):
                    yield _CANCELLED, None
                    return
                answer, complete = shaped.dataset(match)
                shown += 1
                yield _PENDING if complete else _PENDING_WITH_UNKNOWN_KEYS, answer
            succeeded = True
            yield _LIMIT_REACHED if found.truncated else _SUCCESS, None
        except QueryRefusedError as refused:
            yield _failure(refused.answer), None
        finally:
            tally.count("query")
            self.audit.queried(caller, level, shown, succeeded=succeeded)

    def _find(self, identifier: Identifier, caller: Caller, extended: "_Extended") -> IndexAnswer:
        if not caller.may_query():
            raise QueryRefusedError(NOT_AUTHORIZED_TO_QUERY)
        query = IndexQuery(
            level=identifier.level,
            matches=identifier.matches,
            site_ids=caller.searchable_sites,
            limit=self.response_limit,
            fuzzy=extended.fuzzy,
            combined_datetime=extended.combined_datetime,
        )
        try:
            return self._shown(self.index.find(query), caller)
        except InvalidQueryError as error:
            log.info("query refused", extra={"site": caller.site.site_id, "error": str(error)})
            raise QueryRefusedError(INVALID_QUERY) from error
        except SQLAlchemyError as error:
            log.exception("query failed", extra={"site": caller.site.site_id})
            raise QueryRefusedError(FIND_FAILED) from error

    def _shown(self, found: IndexAnswer, caller: Caller) -> IndexAnswer:
        """Leave out whoever refuses to be shown to this caller, as if they were not here."""
        refusing = self.consents.refusals_among({_holder(match) for match in found.matches})
        if not refusing:
            return found
        shown = tuple(
            match
            for match in found.matches
            if caller.may_query(refusing.get(_holder(match), NO_REFUSALS))
        )
        return replace(found, matches=shown)


@dataclass(frozen=True)
class _Extended:
    """What was agreed beyond the baseline (PS3.4 C.5.1.1, table C.5-2)."""

    combined_datetime: bool
    fuzzy: bool


def agree_extended(event: evt.Event) -> dict[str, bytes]:
    """Answer extended negotiation: relational queries, date-times and fuzzy names, if wanted."""
    return {
        uid: bytes(byte & 1 for byte in wanted[:3])
        for uid, wanted in event.assoc.requestor.sop_class_extended.items()
        if uid in QUERY_SOP_CLASSES and wanted
    }


def _extended(event: evt.Event) -> _Extended:
    wanted = event.assoc.requestor.sop_class_extended.get(event.context.abstract_syntax, b"")
    agreed = bytes(wanted[:3]).ljust(3, b"\0")
    return _Extended(combined_datetime=bool(agreed[1] & 1), fuzzy=bool(agreed[2] & 1))


def _holder(match: IndexMatch) -> PatientIdentifier:
    """Return whose match it is; every level names the study, or the patient above it."""
    owner = match.study or match.patient
    if owner is None:
        raise ValueError("a match of no level")
    return owner.patient


def _identifier(event: evt.Event) -> Identifier:
    try:
        return read_identifier(event.identifier, str(event.context.abstract_syntax))
    except _UNREADABLE as error:
        raise QueryRefusedError(UNREADABLE_IDENTIFIER) from error


def _failure(answer: Answer) -> Dataset:
    status = Dataset()
    status.Status = answer.status
    status.ErrorComment = answer.comment
    return status
