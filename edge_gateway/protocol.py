"""How an upload is written on the wire: the tus resumable upload protocol 1.0.0 (tus.io).

Core, and its extensions creation, creation-with-upload, checksum, expiration and termination. Two
things are the hub's own: what `Upload-Metadata` must say, and the header `Eir-Receipt`, which
stands in the answer that ends an upload.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import fields
from datetime import datetime

from edge_gateway.errors import BadRequestError
from edge_gateway.model import HubReceipt, Offer
from hub_kernel.errors import InvalidUidError
from hub_kernel.identifiers import require_uid

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,expiration,termination"
CHUNK_MEDIA_TYPE = "application/offset+octet-stream"
RESUMABLE, OFFSET, LENGTH = "Tus-Resumable", "Upload-Offset", "Upload-Length"
METADATA, CHECKSUM, EXPIRES, RECEIPT = (
    "Upload-Metadata",
    "Upload-Checksum",
    "Upload-Expires",
    "Eir-Receipt",
)
# tus demands SHA-1 of every server; our own edge always sends SHA-256.
ALGORITHMS = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}
_UIDS = ("sop_class_uid", "sop_instance_uid", "study_instance_uid", "transfer_syntax_uid")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")  # PS3.5 6.2
_CHARSET = re.compile(r"[A-Za-z0-9 _.\\-]{0,64}")
_SPOKEN = tuple(
    field.name
    for field in fields(Offer)
    if field.name not in {"site_id", "dataset_bytes", "emergency"}
)
# Only where it holds: a gateway or a hub that does not know the word works as without it.
_URGENT = "emergency"


def upload_id(offer: Offer) -> str:
    """Return the name of the upload of `offer`: the same for the same instance, always.

    So an edge that forgot everything finds its unfinished upload by offering the instance again.
    """
    told = "\0".join((offer.site_id, offer.sop_instance_uid, offer.dataset_sha256))
    return hashlib.sha256(told.encode()).hexdigest()[:40]


def write_metadata(offer: Offer) -> str:
    """Return the value of `Upload-Metadata` for `offer`."""
    told = [
        f"{name} {base64.b64encode(str(getattr(offer, name)).encode()).decode()}"
        for name in _SPOKEN
    ]
    return ",".join([*told, _URGENT] if offer.emergency else told)


def read_offer(site_id: str, length: str, metadata: str) -> Offer:
    """Return what is offered for `site_id`.

    Raises:
        BadRequestError: something is missing, or not what its place allows.
    """
    told = _pairs(metadata)
    if missing := [name for name in _SPOKEN if name not in told]:
        raise BadRequestError(f"{METADATA}: {missing[0]} is missing")
    offer = Offer(
        site_id=site_id,
        dataset_bytes=read_number(length, LENGTH),
        emergency=_URGENT in told,
        **{name: told[name] for name in _SPOKEN},
    )
    try:
        for name in _UIDS:
            require_uid(getattr(offer, name), name)
    except InvalidUidError as error:
        raise BadRequestError(str(error)) from error
    for name, form in (
        ("dataset_sha256", _DIGEST),
        ("calling_ae_title", _AE_TITLE),
        ("called_ae_title", _AE_TITLE),
        ("charset_habit", _CHARSET),
    ):
        if not form.fullmatch(getattr(offer, name)):
            raise BadRequestError(f"{METADATA}: {name} breaks its form")
    return offer


def read_number(text: str, what: str) -> int:
    """Return a number of bytes.

    Raises:
        BadRequestError: it is none.
    """
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise BadRequestError(f"{what}: a number of bytes is needed")
    return int(text)


def write_checksum(chunk_digest: bytes) -> str:
    """Return the value of `Upload-Checksum` for a chunk of that SHA-256."""
    return f"sha256 {base64.b64encode(chunk_digest).decode()}"


def read_checksum(text: str) -> tuple[str, bytes] | None:
    """Return algorithm and digest, None where no checksum was sent.

    Raises:
        BadRequestError: it is no checksum, or of an algorithm nobody announced.
    """
    if not text:
        return None
    algorithm, _, digest = text.partition(" ")
    try:
        expected = base64.b64decode(digest.strip(), validate=True)
    except binascii.Error as error:
        raise BadRequestError(f"{CHECKSUM}: no base64") from error
    if algorithm not in ALGORITHMS:
        raise BadRequestError(f"{CHECKSUM}: sha1 or sha256")
    return algorithm, expected


def write_receipt(receipt: HubReceipt) -> str:
    """Return the value of `Eir-Receipt`."""
    return (
        f"{receipt.outcome}; sha256={receipt.dataset_sha256}; "
        f"sop-instance-uid={receipt.sop_instance_uid}; at={receipt.received_at.isoformat()}"
    )


def read_receipt(text: str) -> HubReceipt:
    """Return the receipt in a header.

    Raises:
        BadRequestError: it is none.
    """
    outcome, *members = (part.strip() for part in text.split(";"))
    told = dict(member.partition("=")[::2] for member in members)
    try:
        return HubReceipt(
            sop_instance_uid=told["sop-instance-uid"],
            dataset_sha256=told["sha256"],
            outcome=outcome,
            received_at=datetime.fromisoformat(told["at"]),
        )
    except (KeyError, ValueError) as error:
        raise BadRequestError(f"{RECEIPT}: cannot be read") from error


def _pairs(metadata: str) -> dict[str, str]:
    told: dict[str, str] = {}
    for pair in metadata.split(","):
        name, _, value = pair.strip().partition(" ")
        try:
            told[name] = base64.b64decode(value, validate=True).decode()
        except ValueError as error:
            raise BadRequestError(f"{METADATA}: no base64 of UTF-8") from error
    return told
