"""C-FIND SCP on Patient Root and Study Root: narrowed to what the caller may see (PS3.4 C.4.1)."""

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from sqlalchemy.exc import SQLAlchemyError

from access_control.consent import Consents
from dicom_router.answer import Answer
from dicom_router.association_audit import AssociationAudit
from dicom_router.datasets import decode_dataset
from dicom_router.disclosure import shown_to
from dicom_router.errors import QueryRefusedError
from dicom_router.identifiers import Identifier, read_identifier, require_unique_keys
from dicom_router.model import Caller, Query, Tally
from dicom_router.query_answers import QueryAnswers
from dicom_router.statuses import (
    FIND_FAILED,
    INVALID_QUERY,
    NOT_AUTHORIZED_TO_QUERY,
    RESPONSE_LIMIT_REACHED,
    UNREADABLE_IDENTIFIER,
)
from hub_kernel.metrics import Metrics
from image_archive.errors import InvalidQueryError
from image_archive.index import ArchiveIndex
from image_archive.matching_times import Zones, is_offset
from image_archive.query import IndexAnswer, IndexQuery
from image_archive.reading import VALUE_ERRORS

log = logging.getLogger(__name__)

_PENDING = Answer(0xFF00)
_PENDING_WITH_UNKNOWN_KEYS = Answer(0xFF01)
_CANCELLED = Answer(0xFE00)
_SUCCESS = Answer(0x0000)

FindAnswer = tuple[Answer, Dataset | None]


@dataclass(frozen=True)
class FindRules:
    """How queries are answered: at most `response_limit` matches, to be retrieved from `ae_title`.

    Datasets that say no time zone are in `time_zone`. `always_relational` answers queries without
    the unique keys of the levels above also where relational queries were not negotiated.
    """

    response_limit: int
    ae_title: str
    time_zone: tzinfo
    always_relational: bool


@dataclass(frozen=True)
class FindService:
    """What every query needs."""

    index: ArchiveIndex
    audit: AssociationAudit
    consents: Consents
    metrics: Metrics
    rules: FindRules

    def answers(
        self, query: Query, caller: Caller, tally: Tally, is_cancelled: Callable[[], bool]
    ) -> Generator[FindAnswer, None, None]:
        """Yield (answer, identifier) for each match, then the last word.

        A cancel is obeyed between two answers. Every query is audited, whatever its end.
        """
        started = time.perf_counter()
        shown, level, succeeded = 0, "", False
        try:
            identifier = _identifier(query)
            level = identifier.level_as_asked
            extended = _extended(query)
            if not (extended.relational or self.rules.always_relational):
                require_unique_keys(identifier, query.sop_class_uid)
            zones = self._zones(identifier, extended)
            found = self._find(identifier, caller, extended, zones)
            self.metrics.find_seconds.labels("C-FIND").observe(time.perf_counter() - started)
            shaped = QueryAnswers(identifier, self.rules.ae_title, zones)
            for match in found.matches:
                if is_cancelled():
                    yield _CANCELLED, None
                    return
                answer, complete = shaped.dataset(match)
                shown += 1
                complete = complete and not found.ignored
                yield _PENDING if complete else _PENDING_WITH_UNKNOWN_KEYS, answer
            succeeded = True
            yield RESPONSE_LIMIT_REACHED if found.truncated else _SUCCESS, None
        except QueryRefusedError as refused:
            yield refused.answer, None
        finally:
            tally.count("query")
            self.audit.queried(caller, level, shown, succeeded=succeeded)

    def _zones(self, identifier: Identifier, extended: "_Extended") -> Zones | None:
        """Return the zones of a query whose dates and times are in the asker's (C.4.1.1.3.1)."""
        if not extended.timezone or not is_offset(identifier.timezone_offset):
            return None
        own = datetime.now(self.rules.time_zone).strftime("%z")
        return Zones(identifier.timezone_offset, own)

    def _find(
        self, identifier: Identifier, caller: Caller, extended: "_Extended", zones: Zones | None
    ) -> IndexAnswer:
        if not caller.may_query():
            raise QueryRefusedError(NOT_AUTHORIZED_TO_QUERY)
        query = IndexQuery(
            level=identifier.level,
            matches=identifier.matches,
            site_ids=caller.searchable_sites,
            limit=self.rules.response_limit,
            fuzzy=extended.fuzzy,
            combined_datetime=extended.combined_datetime,
            zones=zones,
            returning=identifier.returning,
        )
        try:
            return self._shown(self.index.find(query), caller)
        except InvalidQueryError as error:
            log.info("query refused", extra={"site": caller.site.site_id, "error": str(error)})
            tag = tag_for_keyword(error.keyword)
            raise QueryRefusedError(INVALID_QUERY, *([tag] if tag else [])) from error
        except SQLAlchemyError as error:
            log.exception("query failed", extra={"site": caller.site.site_id})
            raise QueryRefusedError(FIND_FAILED) from error

    def _shown(self, found: IndexAnswer, caller: Caller) -> IndexAnswer:
        """Leave out whoever refuses to be shown to this caller, as if they were not here."""
        return replace(found, matches=shown_to(caller, found.matches, self.consents))


@dataclass(frozen=True)
class _Extended:
    """What was agreed beyond the baseline (PS3.4 C.5.1.1, table C.5-2)."""

    relational: bool
    combined_datetime: bool
    fuzzy: bool
    timezone: bool


def _extended(query: Query) -> _Extended:
    return _Extended(*(bool(byte) for byte in query.extended[:4].ljust(4, b"\0")))


def _identifier(query: Query) -> Identifier:
    try:
        identifier = decode_dataset(query.identifier, query.transfer_syntax_uid)
        return read_identifier(identifier, query.sop_class_uid)
    except VALUE_ERRORS as error:
        raise QueryRefusedError(UNREADABLE_IDENTIFIER) from error
