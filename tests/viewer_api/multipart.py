"""Reads `multipart/related` answers the way a careful client does (RFC 2046)."""

from dataclasses import dataclass
from email.message import Message

from werkzeug.test import TestResponse


@dataclass(frozen=True)
class ReceivedPart:
    headers: dict[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers["content-type"].partition(";")[0]

    @property
    def transfer_syntax(self) -> str:
        return self.headers["content-type"].partition("transfer-syntax=")[2]


def parts_of(answer: TestResponse) -> list[ReceivedPart]:
    assert answer.status_code in {200, 206}, answer.get_data(as_text=True)[:500]
    head = Message()
    head["content-type"] = answer.content_type
    assert head.get_content_type() == "multipart/related"
    boundary = str(head.get_param("boundary")).encode()
    preamble, *parts, epilogue = (b"\r\n" + answer.data.lstrip(b"\r\n")).split(b"\r\n--" + boundary)
    assert preamble == b""
    assert epilogue == b"--\r\n"
    return [_part(part) for part in parts]


def _part(raw: bytes) -> ReceivedPart:
    assert raw.startswith(b"\r\n")
    head, _, body = raw[2:].partition(b"\r\n\r\n")
    lines = [line.partition(":") for line in head.decode().split("\r\n")]
    return ReceivedPart({name.lower(): value.strip() for name, _, value in lines}, body)
