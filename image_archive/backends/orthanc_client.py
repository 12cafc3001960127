"""What the archive asks of Orthanc over its REST API, and what its answers mean here."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import urllib3
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import Retry, Timeout, make_headers

from hub_kernel.errors import NotFoundError
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveUnavailableError,
    UnreadableInstanceError,
)

KEY_METADATA = 4711
"""Where an instance in Orthanc says under which key the hub keeps it; users' numbers begin at 1024.

Orthanc forgets it when it replaces the instance, which is how the hub notices.
"""
_REFUSED = frozenset({401, 403})
_NOT_TAKEN = frozenset({400, 415})
_NOT_FOUND, _FAILED = 404, 500
_FIRST_FAILURE = 300
_CONNECT_S = 5.0
# A connection that idled may be closed while it is used again; everything asked here may be asked
# twice.
_RETRY = Retry(total=1, status=0, redirect=0, allowed_methods=None)


class OrthancFileError(UnreadableInstanceError):
    """Orthanc knows the instance and cannot read its file."""


@dataclass(frozen=True)
class OrthancServer:
    """Where Orthanc answers, and who asks. `uploads` is how many instances go there at once."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_s: float = 60.0
    uploads: int = 8


@dataclass(frozen=True)
class Taken:
    """What Orthanc said to an instance: the identifier it has there, and whether it is new."""

    instance_id: str
    new: bool


@dataclass(frozen=True)
class Sender:
    """Who sent an instance to Orthanc: by DICOM, or otherwise, where both AE titles are empty."""

    calling_ae_title: str
    called_ae_title: str
    address: str

    @property
    def words(self) -> str:
        """Where it came from."""
        return f"sent to Orthanc from {self.address or 'nowhere known'}"


@dataclass(frozen=True)
class Change:
    """One line of Orthanc's change feed; number 0 stands before the first."""

    number: int
    kind: str = ""
    instance_id: str = ""
    changed_at: str = ""

    @property
    def is_arrival(self) -> bool:
        """Whether it tells of a new instance."""
        return self.kind == "NewInstance"


class OrthancClient:
    """Asks one Orthanc; safe from many threads.

    Every method raises ArchiveBusyError while Orthanc cannot be reached or fails, and
    ArchiveUnavailableError when it refuses the hub's credentials.
    """

    def __init__(self, server: OrthancServer) -> None:
        self._url = server.url.rstrip("/")
        headers = make_headers(basic_auth=f"{server.user}:{server.password}") if server.user else {}
        self._pool = urllib3.PoolManager(
            maxsize=server.uploads + 8,
            headers=headers,
            retries=_RETRY,
            timeout=Timeout(connect=min(_CONNECT_S, server.timeout_s), read=server.timeout_s),
        )

    def close(self) -> None:
        """Close the idle connections."""
        self._pool.clear()

    def store(self, file: memoryview) -> Taken | None:
        """Hand over a Part 10 file; None when Orthanc does not take such a one."""
        answer = self._asked("POST", "/instances", file)
        said = {} if answer.status in _NOT_TAKEN else _json(answer.data)
        if not isinstance(said, dict) or said.get("Status") not in {"Success", "AlreadyStored"}:
            return None
        return Taken(str(said.get("ID")), new=said["Status"] == "Success")

    def key_of(self, instance_id: str) -> str:
        """Return the key the hub noted at an instance.

        Raises:
            NotFoundError: there is no such instance, or it has none.
        """
        return self._text("GET", f"/instances/{instance_id}/metadata/{KEY_METADATA}")

    def note_key(self, instance_id: str, key: str) -> None:
        """Note the key at an instance; raises NotFoundError when there is none."""
        self._text("PUT", f"/instances/{instance_id}/metadata/{KEY_METADATA}", key.encode())

    def size(self, instance_id: str) -> int:
        """Return the length of an instance's file; raises NotFoundError when there is none."""
        size = self._text("GET", f"/instances/{instance_id}/attachments/dicom/size")
        return int(size)

    def remove(self, instance_id: str) -> None:
        """Delete an instance; raises NotFoundError when there is none."""
        self._text("DELETE", f"/instances/{instance_id}")

    @contextmanager
    def file(self, instance_id: str) -> Iterator[BaseHTTPResponse]:
        """Give the answer from which the file of an instance is read; it may be left half read.

        Raises:
            NotFoundError: there is no such instance.
            OrthancFileError: Orthanc has it and cannot read it.
        """
        with self._translated():
            answer = self._pool.request(
                "GET", f"{self._url}/instances/{instance_id}/file", preload_content=False
            )
            try:
                if answer.status == _FAILED:
                    raise OrthancFileError("archive: Orthanc cannot read its own file")
                _check(answer.status)
                yield answer
            finally:
                answer.close()

    def changes(self, since: int, at_once: int) -> list[Change]:
        """Return the first changes behind the one numbered `since`."""
        told = self.json(f"/changes?since={since}&limit={at_once}")
        return [_change(one) for one in told["Changes"]]

    def last_change(self) -> Change:
        """Return the newest change."""
        told = self.json("/changes?last")
        return _change(told["Changes"][-1]) if told["Changes"] else Change(int(told["Last"]))

    def sender(self, instance_id: str) -> Sender:
        """Return who sent an instance; raises NotFoundError when there is none."""
        told = self.json(f"/instances/{instance_id}/metadata?expand")
        by_dicom = told.get("Origin") == "DicomProtocol"
        return Sender(
            (told.get("RemoteAET") or "?") if by_dicom else "",
            told.get("CalledAET", "") if by_dicom else "",
            told.get("RemoteIP", ""),
        )

    def all_instances(self, at_once: int) -> Iterator[list[str]]:
        """Yield the identifiers of all instances, some at a time."""
        since = 0
        while some := self.json(f"/instances?since={since}&limit={at_once}"):
            yield some
            since += len(some)

    def json(self, path: str) -> Any:
        """Return the JSON that Orthanc answers; raises NotFoundError as it does."""
        return _json(self._asked("GET", path).data)

    def _text(self, method: str, path: str, body: bytes | None = None) -> str:
        return self._asked(method, path, body).data.decode("utf-8", "replace")

    def _asked(
        self, method: str, path: str, body: bytes | memoryview | None = None
    ) -> BaseHTTPResponse:
        with self._translated():
            sent: Any = body  # urllib3 takes whatever has bytes
            answer = self._pool.request(method, f"{self._url}{path}", body=sent)
        if answer.status not in _NOT_TAKEN:
            _check(answer.status)
        return answer

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (HTTPError, OSError) as error:
            raise ArchiveBusyError("archive: Orthanc cannot be reached") from error


def _check(status: int) -> None:
    if status in _REFUSED:
        raise ArchiveUnavailableError("archive: Orthanc refuses the hub's credentials")
    if status == _NOT_FOUND:
        raise NotFoundError("archive: no object under this key")
    if status >= _FIRST_FAILURE:
        raise ArchiveBusyError(f"archive: Orthanc answers {status}")


def _change(told: dict[str, Any]) -> Change:
    return Change(int(told["Seq"]), told["ChangeType"], told["ID"], told["Date"])


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise ArchiveBusyError("archive: Orthanc answers what is no JSON") from error
