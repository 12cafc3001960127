"""Destinations that take STOW-RS over HTTP or HTTPS (PS3.18 10.5): one instance a request.

The connection is kept between instances. Each body has its length, so that servers which know no
chunked requests take it too.
"""

import json
import secrets
import ssl
from collections.abc import Generator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import chain

import urllib3

from dicom_router.forwarding.sender import (
    DestinationUnavailableError,
    Pace,
    Parcel,
    Sent,
    paced,
)
from dicom_router.forwarding.senders.dicom import NO_BYTES, wanted_syntax
from dicom_router.forwarding.verdicts import (
    HTTP_STATUSES,
    StatusClass,
    Verdict,
    verdict_of,
)
from dicom_router.sending.errors import InstanceUnavailableError, TranscodingError
from dicom_router.sending.outgoing import Recoding
from hub_kernel.errors import NotFoundError
from image_archive.backend import ArchiveBackend
from image_archive.errors import UnreadableInstanceError
from image_archive.exporting import ExportedInstance, as_stored, exported_head

_LARGEST_ANSWER_BYTES = 1024 * 1024
_JSON = "application/dicom+json"
_FAILED_SOP_SEQUENCE, _FAILURE_REASON = "00081198", "00081197"
# What is wrong with the whole service and not with one instance.
_OF_THE_SERVICE = frozenset({401, 403, 404, 429, 503})


@dataclass(frozen=True)
class StowService:
    """Where to send: the address of the DICOMweb services and what proves the hub to them."""

    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    tls: ssl.SSLContext | None = None
    connect_s: float = 10.0
    answer_s: float = 120.0


class StowSender:
    """Sends by STOW-RS."""

    def __init__(self, service: StowService, backend: ArchiveBackend, recoding: Recoding) -> None:
        self._service = service
        self._backend = backend
        self._recoding = recoding

    def send(self, parcels: Sequence[Parcel], pace: Pace) -> Generator[Sent, None, None]:
        """Send one request for each parcel over one connection."""
        service = self._service
        pool = urllib3.PoolManager(
            maxsize=1,
            ssl_context=service.tls,
            retries=False,
            timeout=urllib3.Timeout(connect=service.connect_s, read=service.answer_s),
        )
        with pool:
            for parcel in parcels:
                yield self._store(pool, parcel, pace)

    def _store(self, pool: urllib3.PoolManager, parcel: Parcel, pace: Pace) -> Sent:
        item_id = parcel.item.item_id
        try:
            with ExitStack() as stack:
                instance = self._exported(stack, parcel)
                answer = self._post(pool, instance, pace)
        except (NotFoundError, UnreadableInstanceError, InstanceUnavailableError):
            return Sent(item_id, Verdict.PARK, "no bytes", NO_BYTES)
        except urllib3.exceptions.NewConnectionError as error:
            raise DestinationUnavailableError("no connection") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            reason = f"the connection broke: {type(error).__name__}"
            raise DestinationUnavailableError(reason, in_flight=item_id) from error
        with answer:
            body = answer.read(_LARGEST_ANSWER_BYTES, decode_content=True)
        known, status = _understood(answer.status, body)
        if answer.status in _OF_THE_SERVICE:
            raise DestinationUnavailableError(f"HTTP {answer.status}: {known.meaning}")
        return Sent(item_id, known.verdict, status, known.meaning, instance.transfer_syntax_uid)

    def _exported(self, stack: ExitStack, parcel: Parcel) -> ExportedInstance:
        """Return the form to send: as the rule wants where that can be made, else as stored."""
        instance, wanted = parcel.instance, wanted_syntax(parcel)
        if wanted and wanted != instance.transfer_syntax_uid:
            with suppress(TranscodingError):
                recoded = stack.enter_context(self._recoding.recoded(instance, [wanted]))
                head = exported_head(instance.sop_class_uid, instance.sop_instance_uid, wanted)
                size = sum(map(len, recoded.dataset()))
                return ExportedInstance(
                    wanted, len(head) + size, lambda: chain([head], recoded.dataset())
                )
        return as_stored(self._backend, instance)

    def _post(
        self, pool: urllib3.PoolManager, instance: ExportedInstance, pace: Pace
    ) -> urllib3.BaseHTTPResponse:
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        headers = {
            **self._service.headers,
            "Accept": _JSON,
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(len(head) + instance.size + len(tail)),
        }
        return pool.request(
            "POST",
            f"{self._service.url.rstrip('/')}/studies",
            body=chain([head], paced(instance.open(), pace), [tail]),
            headers=headers,
            preload_content=False,
            redirect=False,
        )


def _understood(status: int, body: bytes) -> tuple[StatusClass, str]:
    """Return what an answer means: the reason of the one instance, where the answer has one."""
    reason = _failure_reason(body)
    if reason is None:
        return verdict_of(status, HTTP_STATUSES), f"HTTP {status}"
    return verdict_of(reason), f"HTTP {status}, 0x{reason:04X}"


def _failure_reason(body: bytes) -> int | None:
    try:
        answer = json.loads(body)
        dataset = answer[0] if isinstance(answer, list) else answer
        failed = dataset[_FAILED_SOP_SEQUENCE]["Value"]
        return int(failed[0][_FAILURE_REASON]["Value"][0])
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
