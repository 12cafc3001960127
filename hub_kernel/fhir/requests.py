"""Read an HTTP request within bounds: path, parameters, body, preferences (PEP 3333, RFC 9110)."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl
from wsgiref.util import application_uri

from hub_kernel.fhir.formats import FORM, Format, answer_format, body_format, is_form
from hub_kernel.fhir.outcome import FhirRefusedError, Issue, Resource

_LENGTH = re.compile(r"[0-9]{1,18}")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")
_LONGEST_QUERY = 16 * 1024
_LONGEST_FORM = 64 * 1024
_MOST_PARAMETERS = 100

Environ = dict[str, Any]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Limits:
    """Bounds of a request: its body, and in XML a tag with the values in it."""

    body_bytes: int = 1024 * 1024
    value_bytes: int = 128 * 1024


def path_of(environ: Environ) -> str:
    """Return the path below the endpoint, without slashes around it; "" if it is no UTF-8."""
    raw = str(environ.get("PATH_INFO", "")).encode("latin-1", "replace")
    return raw.decode("utf-8", "replace").strip("/")


def base_of(environ: Environ, public_url: str) -> str:
    """Return the address of this endpoint: the public one, else the one it was asked at."""
    mount = str(environ.get("SCRIPT_NAME", "")).rstrip("/")
    if public_url:
        return public_url.rstrip("/") + mount
    if not _HOST.fullmatch(environ.get("HTTP_HOST", "localhost")):
        environ = {**environ, "HTTP_HOST": "localhost"}
    return application_uri(environ).rstrip("/")


def query_of(environ: Environ) -> Pairs:
    """Return the parameters of the address.

    Raises:
        FhirRefusedError: 400 or 414, too long, too many, or no UTF-8.
    """
    text = str(environ.get("QUERY_STRING", ""))
    if len(text) > _LONGEST_QUERY:
        raise FhirRefusedError(
            414,
            Issue(
                "too-long",
                "request",
                "the address is too long",
                "地址过长",
                "http.query",
                f"at most {_LONGEST_QUERY} characters; POST _search takes more",
            ),
        )
    return _pairs(text)


def form_of(environ: Environ) -> Pairs:
    """Return the parameters of a form in the body (`POST …/_search`).

    Raises:
        FhirRefusedError: 400, 411, 413 or 415.
    """
    if not is_form(environ.get("CONTENT_TYPE") or ""):
        if not (environ.get("CONTENT_LENGTH") or "0").strip("0"):
            return ()
        raise FhirRefusedError(
            415,
            Issue(
                "not-supported",
                "request",
                "the body must be a form",
                "请求体须为表单",
                "http.Content-Type",
                FORM,
            ),
        )
    data = _body(environ, _LONGEST_FORM)
    try:
        return _pairs(data.decode("ascii"))
    except UnicodeDecodeError as error:
        raise _not_encoded() from error


def resource_of(environ: Environ, limits: Limits) -> Resource | None:
    """Return the resource in the body, None without a body.

    Raises:
        FhirRefusedError: 400, 411, 413 or 415.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    chunked = not length and "HTTP_TRANSFER_ENCODING" in environ
    if not chunked and not length.strip("0"):
        return None
    read = body_format(environ.get("CONTENT_TYPE") or "").read
    return read(_body(environ, limits.body_bytes), limits.value_bytes)


def format_of(environ: Environ, pairs: Pairs) -> Format:
    """Return the format of the answer.

    Raises:
        FhirRefusedError: 406.
    """
    wanted = next((value for name, value in pairs if name == "_format"), "")
    return answer_format(wanted, str(environ.get("HTTP_ACCEPT", "")))


def preferences_of(environ: Environ) -> frozenset[str]:
    """Return what `Prefer` says, such as `return=minimal` (RFC 7240)."""
    said = re.split(r"[;,]", str(environ.get("HTTP_PREFER", ""))[:500])
    return frozenset(one.strip().lower().replace(" ", "").replace('"', "") for one in said)


def _body(environ: Environ, limit: int) -> bytes:
    text = environ.get("CONTENT_LENGTH") or ""
    if not text and not environ.get("wsgi.input_terminated"):
        raise FhirRefusedError(411, _NO_LENGTH)
    if text and not _LENGTH.fullmatch(text):
        raise FhirRefusedError(400, _BAD_LENGTH)
    wanted = int(text) if text else limit + 1
    if text and wanted > limit:
        raise _too_long(limit)
    data: bytes = environ["wsgi.input"].read(wanted)
    if len(data) > limit:
        raise _too_long(limit)
    if text and len(data) < wanted:
        raise FhirRefusedError(400, _TOO_SHORT)
    return data


_NO_LENGTH = Issue(
    "required", "request", "Content-Length is needed", "缺少 Content-Length",
    where="http.Content-Length",
)  # fmt: skip
_BAD_LENGTH = Issue(
    "value", "request", "Content-Length is not a number", "Content-Length 不是数字",
    where="http.Content-Length",
)  # fmt: skip
_TOO_SHORT = Issue(
    "incomplete", "request", "the body is shorter than its length", "请求体不完整",
    where="http.body",
)  # fmt: skip


def _pairs(text: str) -> Pairs:
    try:
        found = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError as error:
        raise _not_encoded() from error
    return tuple(found)


def _not_encoded() -> FhirRefusedError:
    return FhirRefusedError(
        400,
        Issue(
            "value",
            "request",
            "parameters must be percent-encoded UTF-8",
            "参数须为百分号编码的 UTF-8",
            "http.query",
            f"at most {_MOST_PARAMETERS} parameters",
        ),
    )


def _too_long(limit: int) -> FhirRefusedError:
    return FhirRefusedError(
        413,
        Issue(
            "too-long",
            "request",
            "the body is too long",
            "请求体过长",
            "http.body",
            f"at most {limit} bytes",
        ),
    )
