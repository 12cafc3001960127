"""What a QR code says to an app, and how its files are sealed.

SMART Health Links, "Construct a SMART Health Link Payload" and "Encrypting and Decrypting Files";
JWE of RFC 7516.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from flask import url_for
from joserfc import jwe
from joserfc.jwk import OctKey

from viewer_api.security import public_root
from viewer_api.services import services

if TYPE_CHECKING:
    from datetime import datetime

FHIR_JSON = "application/fhir+json"
_LONGEST_ADDRESS = 128
# Whoever finds the code reads this before any passcode, so it says nothing of anybody.
_LABEL = "影像检查 Imaging examination"


def page_address(token: str) -> str:
    """Return where a browser opens the link."""
    return f"{public_root()}{url_for('shared.door', token=token)}"


def two_doors(token: str, expires_at: datetime, *, once: bool) -> str:
    """Return the address a browser opens as a page and an app as a SMART Health Link.

    The part behind # never leaves the browser. `once` says that every opening is counted, so that
    apps do not ask again by themselves. Empty where the hub's own address is longer than the
    specification allows.
    """
    address = f"{public_root()}{url_for('health_links.manifest', token=token)}"
    if len(address) > _LONGEST_ADDRESS:
        return ""
    payload = {
        "url": address,
        "flag": "P" if once else "LP",
        "key": _base64url(services().health_links.file_key(token)),
        "exp": int(expires_at.timestamp()),
        "label": _LABEL,
    }
    said = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    return f"{page_address(token)}#shlink:/{_base64url(said)}"


def sealed(resource: dict[str, Any], key: bytes) -> str:
    """Return `resource` as compact JWE under `key` (32 bytes), with a nonce of its own."""
    header = {"alg": "dir", "enc": "A256GCM", "cty": FHIR_JSON}
    said = json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()
    return jwe.encrypt_compact(header, said, OctKey.import_key(key))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
