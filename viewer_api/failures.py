"""The outermost edge: every failure becomes one short answer with a request number, no traceback.

Machines get JSON, people a page; both in the asker's language. Answers never say whether
something forbidden exists.
"""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING
from uuid import uuid4

from flask import Flask, current_app, g, jsonify, make_response, render_template, request
from jinja2 import TemplateNotFound
from markupsafe import Markup
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, InternalServerError

from eir_versions.errors import DecoderPoolStoppedError
from hub_kernel.errors import InvalidValueError, NotFoundError
from image_archive.errors import (
    ArchiveBusyError,
    ArchiveUnavailableError,
    FarTierUnreachableError,
)
from viewer_api.errors import (
    BadQueryError,
    MediumTooLargeError,
    NotAcceptableError,
    RangeNotSatisfiableError,
    UnusableBytesError,
)
from viewer_api.language import asker_language
from viewer_api.security.subjects import wants_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from werkzeug.wrappers import Response

_log = logging.getLogger(__name__)
_MACHINES_ONLY = "EIRHUB_MACHINES_ONLY"

# Status → (title, what to do), Chinese then English.
_MESSAGES: dict[int, dict[str, tuple[str, str]]] = {
    400: {
        "zh": ("请求无法识别", "请检查地址或表单内容后重试。"),
        "en": ("The request cannot be understood", "Check the address or the form, then retry."),
    },
    401: {
        "zh": ("请先登录", "登录后再打开此内容。"),
        "en": ("Sign in first", "Sign in, then open this again."),
    },
    403: {
        "zh": ("请求被拒绝", "页面可能已过期，请返回并刷新后重试。"),
        "en": ("The request was refused", "The page may be out of date: go back, reload, retry."),
    },
    404: {
        "zh": ("没有找到", "内容不存在，或您没有查看权限。"),
        "en": ("Not found", "It does not exist, or you may not see it."),
    },
    405: {
        "zh": ("不支持此操作", "此地址不接受这种请求。"),
        "en": ("Not supported here", "This address does not take that kind of request."),
    },
    406: {
        "zh": ("无法提供所需格式", "请改用其他格式请求。"),
        "en": ("Not available in that form", "Ask for another representation."),
    },
    413: {
        "zh": ("内容过大", "请减小提交的内容。"),
        "en": ("Too large", "Send less at once."),
    },
    415: {
        "zh": ("不支持此格式", "请改用受支持的内容类型，且不要压缩。"),
        "en": ("Not this kind of content", "Send a supported media type, without compression."),
    },
    416: {
        "zh": ("范围无效", "请求的字节范围超出内容长度。"),
        "en": ("Range not available", "The byte range lies outside the content."),
    },
    500: {
        "zh": ("系统出现故障", "请稍后重试；若仍失败，请将编号告知管理员。"),
        "en": ("Something failed here", "Retry later; if it persists, report the number below."),
    },
    503: {
        "zh": ("服务暂不可用", "请稍后重试。"),
        "en": ("Not available now", "Retry in a moment."),
    },
}

_FAR_TIER: Mapping[str, tuple[str, str]] = {
    "zh": (
        "较早的检查暂时无法打开",
        "此检查的图像存放在二级存储，目前无法访问；近期检查不受影响。请稍后重试，或告知管理员。",
    ),
    "en": (
        "This older examination cannot be opened now",
        "Its images are in the second store, which cannot be reached; recent examinations open as "
        "usual. Retry later, or tell the administrator.",
    ),
}

_MEDIUM: Mapping[str, tuple[str, str]] = {
    "zh": (
        "此检查过大，无法制成介质",
        "一份介质最多 {0} 个文件。请用诊断工作站或 DICOMweb 取回此检查。",
    ),
    "en": (
        "This examination is too large for a medium",
        "A medium takes {0} files at most. Fetch it with a workstation or by DICOMweb instead.",
    ),
}

# Which of our errors is which status; anything else is a fault of the hub.
_STATUS_OF_ERROR: dict[type[Exception], int] = {
    BadQueryError: 400,
    InvalidValueError: 400,
    NotFoundError: 404,
    NotAcceptableError: 406,
    UnusableBytesError: 404,
    ArchiveBusyError: 503,
    ArchiveUnavailableError: 503,
    DecoderPoolStoppedError: 503,
}
# Whose words are told: they hold no patient data, are said to nobody who may not see what they are
# about, and the asker needs them, to know which key was wrong or what is offered instead.
_TOLD = (BadQueryError, InvalidValueError, NotAcceptableError, UnusableBytesError)


def install_failures(app: Flask, *, machines_only: bool = False) -> None:
    """Answer every failure inside `app` and number every request (`X-Request-Id`).

    An application for `machines_only` has no pages: every failure is JSON.
    """
    app.config[_MACHINES_ONLY] = machines_only
    app.before_request(_number)
    app.after_request(_name_number)
    app.register_error_handler(FarTierUnreachableError, _answer_far)
    app.register_error_handler(MediumTooLargeError, _answer_medium)
    app.register_error_handler(RangeNotSatisfiableError, _answer_range)
    app.register_error_handler(HTTPException, _answer_status)
    for kind, status in _STATUS_OF_ERROR.items():
        app.register_error_handler(kind, _answering(status))
    app.register_error_handler(Exception, _answer_fault)


def request_id() -> str:
    """Return the number of the current request, for the reader to report and the log to name."""
    if "request_id" not in g:
        g.request_id = uuid4().hex
    return str(g.request_id)


def failure_text(status: int, language: str) -> tuple[str, str]:
    """Return title and advice for `status` in `language`; unlisted ones read like their class."""
    known = _MESSAGES.get(status) or _MESSAGES[500 if status >= 500 else 400]
    return known[language]


def _number() -> None:
    request_id()


def _name_number(response: Response) -> Response:
    response.headers["X-Request-Id"] = request_id()
    return response


def _answer_far(_error: Exception) -> Response:
    return _answer(503, words=_FAR_TIER[asker_language()])


def _answer_medium(error: Exception) -> Response:
    title, advice = _MEDIUM[asker_language()]
    return _answer(413, words=(title, advice.format(error)))


def _answering(status: int) -> Callable[[Exception], Response]:
    def answer(error: Exception) -> Response:
        return _answer(status, detail=str(error) if isinstance(error, _TOLD) else "")

    return answer


def _answer_range(error: RangeNotSatisfiableError) -> Response:
    answer = _answer(416, detail=str(error))
    answer.headers["Content-Range"] = f"bytes */{error.length}"
    return answer


def _answer_status(error: HTTPException) -> Response:
    if error.response is not None:
        return make_response(error.response)
    answer = _answer(error.code or 500)
    for name, value in error.get_headers():
        if name.lower() in {"allow", "retry-after", "location"}:
            answer.headers[name] = value
    return answer


def _answer_fault(error: Exception) -> Response:
    # The message of a foreign exception may quote what it read; only its kind and place are kept.
    places = [
        f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-6:]
    ]
    _log.error(
        "request failed",
        extra={
            "request_id": request_id(),
            "endpoint": request.endpoint or "",
            "error": type(error).__qualname__,
            "places": places,
        },
    )
    return _answer(InternalServerError.code)


def _answer(status: int, *, detail: str = "", words: tuple[str, str] | None = None) -> Response:
    title, advice = words or failure_text(status, asker_language())
    if wants_page() and not current_app.config[_MACHINES_ONLY]:
        answer = make_response(_page(status, title, advice), status)
    else:
        body = {
            "status": status,
            "title": title,
            "advice": advice,
            "request_id": request_id(),
        }
        if detail:
            body["detail"] = detail
        answer = jsonify({"error": body})
        answer.status_code = status
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="EIR Hub"'
    return answer


def _page(status: int, title: str, advice: str) -> str:
    try:
        return render_template(
            "error.html", status=status, title=title, advice=advice, request_id=request_id()
        )
    except (TemplateNotFound, SQLAlchemyError):
        # The page's frame asks who is signed in; without a database the bare text must do.
        language = asker_language()
        return Markup(
            '<!doctype html><html lang="{}"><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width">'
            "<title>{}</title><h1>{}</h1><p>{}</p><p>{}</p></html>"
        ).format(language, title, title, advice, request_id())
