"""MTOM packages: read within bounds, written as a stream of known length."""

from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from xds_registry.mtom import (
    Attachment,
    BadMultipartError,
    MultipartLimits,
    build_package,
    media_type_of,
    read_package,
    refuse_foreign_includes,
)
from xds_registry.vocabulary import XOP

CONTENT_TYPE = 'multipart/related; boundary="b"; type="application/xop+xml"; start="<root@x>"'


def part(content_id: str, body: bytes, extra: str = "") -> bytes:
    head = f"--b\r\nContent-Type: text/plain\r\nContent-ID: <{content_id}>\r\n{extra}\r\n"
    return head.encode() + body + b"\r\n"


def attachment(name: str, data: bytes) -> Attachment:
    return Attachment(name, "application/dicom", len(data), lambda: iter([data[:3], data[3:]]))


@given(st.lists(st.binary(max_size=200), max_size=4), st.binary(min_size=1, max_size=200))
def test_what_is_written_is_read_back_byte_for_byte(bodies: list[bytes], root: bytes) -> None:
    named = {f"part-{n}@x": body for n, body in enumerate(bodies)}
    package = build_package(root, tuple(attachment(n, b) for n, b in named.items()), "urn:x")
    data = b"".join(package.chunks)
    assert len(data) == package.length
    read = read_package(data, package.content_type)
    assert read.root == root
    assert {name: read.attachments[name] for name in named} == named


def test_the_standard_library_reads_what_is_written() -> None:
    package = build_package(b"<e/>", (attachment("one@x", b"\r\n--\x00binary"),), "urn:x")
    data = (
        b"Content-Type: " + package.content_type.encode() + b"\r\n\r\n" + b"".join(package.chunks)
    )
    root, one = BytesParser().parsebytes(data).get_payload()
    assert root.get_payload(decode=True) == b"<e/>"
    assert one["Content-ID"] == "<one@x>"
    assert one.get_payload(decode=True) == b"\r\n--\x00binary"


def test_an_attachment_is_not_opened_before_its_turn() -> None:
    opened: list[str] = []

    def chunks(name: str) -> list[bytes]:
        opened.append(name)
        return [b"x"]

    parts = tuple(
        Attachment(name, "text/plain", 1, lambda name=name: iter(chunks(name))) for name in "ab"
    )
    package = build_package(b"<e/>", parts, "urn:x")
    next(package.chunks)
    assert opened == []
    assert b"".join(package.chunks).endswith(b"--\r\n")
    assert opened == ["a", "b"]


def test_the_root_is_found_by_its_name_wherever_it_stands() -> None:
    data = part("other@x", b"other") + part("root@x", b"root") + b"--b--\r\n"
    assert read_package(data, CONTENT_TYPE).root == b"root"


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (part("root@x", b"r") + b"--b--", "multipart/related"),
        (part("root@x", b"r") + b"--b--", 'multipart/related; boundary="' + "x" * 71 + '"'),
        (b"no boundary at all", CONTENT_TYPE),
        (part("root@x", b"r"), CONTENT_TYPE),
        (b"--b--\r\n", CONTENT_TYPE),
        (b"--bogus\r\n\r\n\r\n--b--", CONTENT_TYPE),
        (b"--b\r\nno end of headers\r\n--b--", CONTENT_TYPE),
        (part("elsewhere@x", b"r") + b"--b--\r\n", CONTENT_TYPE),
        (part("root@x", b"r", "Content-Transfer-Encoding: base64\r\n") + b"--b--", CONTENT_TYPE),
        (part("root@x", b"r", f"X: {'x' * 9000}\r\n") + b"--b--", CONTENT_TYPE),
        (b"".join(part(f"{n}@x", b"") for n in range(10_000)) + b"--b--", CONTENT_TYPE),
    ],
    ids=[
        "no-boundary",
        "long-boundary",
        "boundary-absent",
        "never-closed",
        "no-part",
        "malformed-line",
        "headers-unended",
        "root-missing",
        "base64",
        "huge-header",
        "10k-parts",
    ],
)
def test_a_malformed_or_excessive_package_is_refused(data: bytes, content_type: str) -> None:
    with pytest.raises(BadMultipartError):
        read_package(data, content_type)


def test_as_many_parts_as_the_limit_are_let_through() -> None:
    data = part("root@x", b"r") + part("one@x", b"1") + b"--b--"
    assert read_package(data, CONTENT_TYPE, MultipartLimits(parts=3)).root == b"r"
    with pytest.raises(BadMultipartError, match="more than 1"):
        read_package(data, CONTENT_TYPE, MultipartLimits(parts=1))


@pytest.mark.parametrize(
    "href",
    ["http://127.0.0.1:9/x", "file:///etc/passwd", "cid:missing@x", "", "one@x", "http:one@x"],
)
def test_an_include_reaches_nothing_but_parts_of_its_package(href: str) -> None:
    root = etree.fromstring(f'<a xmlns:x="{XOP}"><x:Include href="{href}"/></a>')
    with pytest.raises(BadMultipartError, match="cid"):
        refuse_foreign_includes(root, {"one@x": b""})


def test_an_include_of_a_part_is_accepted() -> None:
    root = etree.fromstring(f'<a xmlns:x="{XOP}"><x:Include href="cid:one%40x"/></a>')
    refuse_foreign_includes(root, {"one@x": b""})


def test_media_types_are_read_without_regard_to_case() -> None:
    media_type, parameters = media_type_of('Multipart/Related; BOUNDARY="A b"; type=x')
    assert (media_type, parameters["boundary"]) == ("multipart/related", "A b")
