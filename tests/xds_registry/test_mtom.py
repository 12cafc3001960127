"""MTOM packages: read within bounds, written as a stream of known length."""

from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from tests.xds_registry.packages import read_package
from xds_registry.mtom import Attachment, BadMultipartError, build_package, media_type_of
from xds_registry.mtom_reading import MultipartLimits, TooLargeError, refuse_foreign_includes
from xds_registry.vocabulary import XOP

CONTENT_TYPE = 'multipart/related; boundary="b"; type="application/xop+xml"; start="<root@x>"'


def part(content_id: str, body: bytes, extra: str = "") -> bytes:
    head = f"--b\r\nContent-Type: text/plain\r\nContent-ID: <{content_id}>\r\n{extra}\r\n"
    return head.encode() + body + b"\r\n"


def attachment(name: str, data: bytes) -> Attachment:
    return Attachment(name, "application/dicom", len(data), lambda: iter([data[:3], data[3:]]))


@given(
    st.lists(st.one_of(st.binary(max_size=200), st.just(b"\r\n--b\r\n-")), max_size=4),
    st.binary(min_size=1, max_size=200),
    st.sampled_from([1, 2, 3, 7, 64, 1 << 20]),
)
def test_what_is_written_is_read_back_byte_for_byte(
    bodies: list[bytes], root: bytes, most_at_once: int
) -> None:
    named = {f"part-{n}@x": body for n, body in enumerate(bodies)}
    package = build_package(root, tuple(attachment(n, b) for n, b in named.items()), "urn:x")
    data = b"".join(package.chunks)
    assert len(data) == package.length
    read = read_package(data, package.content_type, most_at_once=most_at_once)
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
        (part("root@x", b"r") + part("a@x", b"1") * 2 + b"--b--", CONTENT_TYPE),
        (part("root@x", b"r") * 2 + b"--b--", CONTENT_TYPE),
        (part("root@x", b"r") + part("a" * 600, b"1") + b"--b--", CONTENT_TYPE),
        (b"x" * 100_000 + part("root@x", b"r") + b"--b--", CONTENT_TYPE),
        (b"--b" + b" " * 1000 + b"\r\n\r\nr\r\n--b--", CONTENT_TYPE),
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
        "same-content-id",
        "two-roots",
        "long-content-id",
        "long-preamble",
        "long-boundary-line",
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


def test_a_root_longer_than_its_bound_is_refused_before_it_ends() -> None:
    def endless() -> bytes:
        return part("root@x", b"")[:-2] + b"r" * 5000  # and no end of it

    with pytest.raises(TooLargeError, match="1000"):
        read_package(endless(), CONTENT_TYPE, MultipartLimits(root_bytes=1000), most_at_once=100)


def test_folded_headers_and_empty_parts_are_read() -> None:
    folded = b"--b\r\nContent-Type: text/plain;\r\n charset=UTF-8\r\nContent-ID: <e@x>\r\n\r\n"
    data = part("root@x", b"r") + folded + b"\r\n--b--"
    assert read_package(data, CONTENT_TYPE).attachments == {"e@x": b""}


def test_what_stands_before_and_behind_the_parts_is_no_part() -> None:
    data = b"preamble\r\n" + part("root@x", b"r") + b"--b--\r\nepilogue --b nothing"
    assert read_package(data, CONTENT_TYPE).root == b"r"


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
