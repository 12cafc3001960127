"""Adopt what came to Orthanc by itself: into the index, as if it had come to the hub.

Orthanc's change feed is the truth. How far it has been followed is noted after what it tells of is
durable here, so that a crash of either side makes the hub look twice and never look past anything;
what it has already is recognised. A feed that is not the one that was followed (an emptied or
renumbered Orthanc, changes deleted) is noticed, and everything that Orthanc holds is looked at.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

from sqlalchemy import delete, insert, select

from hub_kernel.database import Database
from hub_kernel.errors import InvalidUidError, NotFoundError
from hub_kernel.identifiers import AssigningAuthority
from image_archive.backends.orthanc_client import (
    Change,
    OrthancClient,
    OrthancFileError,
    Sender,
)
from image_archive.errors import (
    ArchiveBusyError,
    ConflictingInstanceError,
    ConflictingStudyError,
    ContradictingPatientError,
    IdentityMismatchError,
    UnreadableInstanceError,
)
from image_archive.file_meta import LARGEST_META_BYTES, FileMeta, read_file_meta
from image_archive.model import IncomingHeader, InstanceOrigin, QuarantineReason, StoreOutcome
from image_archive.service import ArchiveService
from image_archive.tables import INSTANCE, ORTHANC_POSITION

log = logging.getLogger(__name__)

_AT_ONCE = 100
_CHUNK_BYTES = 1_048_576
_IN_PARALLEL = 4
_TRIES = 10
_PARKED = (
    ConflictingInstanceError,
    ConflictingStudyError,
    ContradictingPatientError,
    UnreadableInstanceError,
)
_NOBODY = AssigningAuthority("UNKNOWN", "2.25.144127362890446374331226021470214061398")

Admit = Callable[[Sender], InstanceOrigin | None]
"""Says whose an instance is by who sent it to Orthanc; None for somebody nobody knows."""


class _Readable(Protocol):
    def read(self, amt: int) -> bytes: ...


@dataclass(frozen=True)
class Adoption:
    """Follows one Orthanc into one archive, whose backend it is. One at a time may."""

    database: Database
    archive: ArchiveService
    client: OrthancClient
    admit: Admit
    _torn: Counter[str] = field(default_factory=Counter)

    def run(self) -> int:
        """Adopt all that came since the last time; return how many instances that were.

        Raises:
            ArchiveError: Orthanc or the archive fails; what was adopted stays, the rest is tried
                again by the next call.
        """
        adopted = 0
        position = self._position()
        if position is None or not self._is_followed(position):
            adopted, position = self._adopt_all()
        while True:
            changes = self.client.changes(position.number, _AT_ONCE)
            if not changes:
                return adopted
            adopted += self._adopt(change.instance_id for change in changes if change.is_arrival)
            position = changes[-1]
            self._note(position)

    def _adopt_all(self) -> tuple[int, Change]:
        """Look at everything Orthanc holds; what comes meanwhile is in the feed behind it."""
        last = self.client.last_change()
        log.warning("Orthanc's change feed is new to the hub: all its instances are looked at")
        adopted = sum(map(self._adopt, self.client.all_instances(_AT_ONCE)))
        self._note(last)
        log.warning("all instances of Orthanc were looked at", extra={"adopted": adopted})
        return adopted, last

    def _is_followed(self, position: Change) -> bool:
        """Whether the feed still is the one whose change was seen last.

        A change goes with the resource it tells of; where only that is gone, older ones stand.
        """
        first, newest = self.client.changes(0, 1), self.client.last_change().number
        if not position.kind:  # there was none to be seen
            return newest == position.number or [c.number for c in first] == [position.number + 1]
        there = self.client.changes(position.number - 1, 1)
        if there and there[0].number == position.number:
            return there[0] == position
        return bool(first) and first[0].number < position.number <= newest

    def _adopt(self, instance_ids: Iterable[str]) -> int:
        with ThreadPoolExecutor(_IN_PARALLEL) as pool:
            noted = dict(pool.map(self._noted_key, instance_ids))
            ours = self._indexed(key for key in noted.values() if key)
            new = [one for one, key in noted.items() if key not in ours]
            return sum(pool.map(lambda one: self._adopt_one(one, ours_once=bool(noted[one])), new))

    def _noted_key(self, instance_id: str) -> tuple[str, str]:
        try:
            return instance_id, self.client.key_of(instance_id)
        except NotFoundError:
            return instance_id, ""

    def _indexed(self, keys: Iterable[str]) -> set[str]:
        """Return those of the keys that have a row."""
        rows = select(INSTANCE.c.storage_key).where(INSTANCE.c.storage_key.in_(list(keys)))
        with self.database.read() as session:
            return set(session.scalars(rows))

    def _adopt_one(self, instance_id: str, *, ours_once: bool) -> bool:
        """Take one instance in; False when it was parked, is no longer there or was here before."""
        try:
            sender = self.client.sender(instance_id)
            with self.client.file(instance_id) as answer:
                head = answer.read(LARGEST_META_BYTES)
                meta = read_file_meta(head)
                origin = (meta.origin if ours_once else None) or self.admit(sender)
                body = _pieces(head[meta.dataset_offset :], answer)
                return self._take_in(meta, origin, sender, body)
        except NotFoundError:
            return False
        except OrthancFileError as error:
            self._give_up(instance_id, error)
            return False
        except _PARKED as error:
            log.warning("an instance of Orthanc was parked", extra={"reason": str(error)})
            return False
        except (IdentityMismatchError, InvalidUidError) as error:
            told = {"orthanc_id": instance_id, "reason": str(error)}
            log.warning("an instance of Orthanc cannot be adopted", extra=told)
            return False

    def _give_up(self, instance_id: str, error: OrthancFileError) -> None:
        """Have the feed wait for a file that cannot be read, but not for ever.

        Raises:
            ArchiveBusyError: it is to be tried again.
        """
        self._torn[instance_id] += 1
        if self._torn[instance_id] < _TRIES:
            raise ArchiveBusyError(str(error)) from error
        log.error(
            "Orthanc cannot read an instance, so the hub does not have it; send it again",
            extra={"orthanc_id": instance_id},
        )

    def _take_in(
        self,
        meta: FileMeta,
        origin: InstanceOrigin | None,
        sender: Sender,
        body: Iterator[bytes],
    ) -> bool:
        header = IncomingHeader(
            meta.sop_class_uid,
            meta.sop_instance_uid,
            meta.transfer_syntax_uid,
            origin or _unknown(sender),
        )
        with self.archive.incoming(header) as incoming:
            for piece in body:
                incoming.write(piece)
            if origin is None:
                incoming.park(QuarantineReason.UNKNOWN_SENDER, sender.words)
                return False
            return incoming.secure() is StoreOutcome.STORED

    def _position(self) -> Change | None:
        with self.database.read() as session:
            row = session.execute(select(ORTHANC_POSITION)).first()
        return Change(row.number, row.kind, row.resource_id, row.changed_at) if row else None

    def _note(self, position: Change) -> None:
        with self.database.unit_of_work() as work:
            work.session.execute(delete(ORTHANC_POSITION))
            work.session.execute(
                insert(ORTHANC_POSITION).values(
                    id=1,
                    number=position.number,
                    kind=position.kind,
                    resource_id=position.instance_id,
                    changed_at=position.changed_at,
                )
            )


def _unknown(sender: Sender) -> InstanceOrigin:
    return InstanceOrigin(
        site_id="",
        issuer=_NOBODY,
        calling_ae_title=sender.calling_ae_title,
        called_ae_title=sender.called_ae_title,
        source_address=sender.address,
    )


def _pieces(first: bytes, answer: _Readable) -> Iterator[bytes]:
    yield first
    while piece := answer.read(_CHUNK_BYTES):
        yield piece
