"""Hostile MTOM and XML to ITI-41: refused quickly, nothing registered, nothing left on the disk."""

import http.client
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from access_control.audit import AuditQuery
from access_control.model import Role
from image_archive.errors import ArchiveBusyError, ArchiveError, ArchiveFullError
from tests.support.effort import little_effort
from tests.xds_registry import provided, wire
from tests.xds_registry.hub import Hub, Web
from tests.xds_registry.provided import BOUNDARY, Sent, described
from tests.xds_registry.samples import submission
from xds_registry import store
from xds_registry.received_parts import Reception
from xds_registry.safe_xml import HostileXmlError, parse_xml
from xds_registry.tables import DocumentEntryRow, RepositoryDocumentRow

MOST_S = 1.0


@pytest.fixture
def cx(hub: Hub) -> str:
    return hub.global_cx(hub.know())


@pytest.fixture
def source(hub: Hub) -> str:
    return hub.token("source", None, Role.DOCUMENT_SOURCE)


def nothing_left(hub: Hub, tmp_path: Path) -> bool:
    """Tell whether no row and no byte came of it, spooled ones included."""
    with hub.database.read() as session:
        rows = [
            session.scalar(select(func.count()).select_from(table))
            for table in (DocumentEntryRow, RepositoryDocumentRow)
        ]
    incoming = [one for one in (tmp_path / "archive" / "incoming").iterdir() if one.is_file()]
    return rows == [0, 0] and not incoming and not list(hub.backend.keys("documents"))


def good(cx: str, data: bytes = b"document") -> bytes:
    return provided.provide(Sent(described(cx), data))


def _headers(cx: str, extra: str) -> bytes:
    part = f"--{BOUNDARY}\r\nContent-ID: <x@test>\r\n{extra}\r\n\r\nx\r\n".encode()
    return good(cx).replace(f"--{BOUNDARY}--".encode(), part + f"--{BOUNDARY}--".encode())


def _parts(cx: str, count: int) -> bytes:
    many = [(f"many{n}@test", b"x") for n in range(count)]
    entry = described(cx)
    root = provided.body(submission(entry), {entry.entry_uuid: "cid:many0@test"})
    return provided.package(wire.envelope(root, provided.ITI41), many)


def _include(cx: str, href: str) -> bytes:
    return good(cx).replace(b"cid:part0@test", href.encode())


def _twice(cx: str) -> bytes:
    entry = described(cx)
    root = provided.body(submission(entry), {entry.entry_uuid: "cid:a@test"})
    parts = [("a@test", b"first"), ("a@test", b"second")]
    return provided.package(wire.envelope(root, provided.ITI41), parts)


PACKAGES: dict[str, Callable[[str], bytes]] = {
    "no-closing-boundary": lambda cx: good(cx)[: -len(f"--{BOUNDARY}--\r\n")],
    "cut-in-the-document": lambda cx: good(cx, b"x" * 300_000)[:200_000],
    "10000-parts": lambda cx: _parts(cx, 10_000),
    "header-bomb": lambda cx: _headers(cx, "X-Bomb: " + "x" * 1_000_000),
    "header-lines": lambda cx: _headers(cx, "\r\n".join(f"X-{n}: y" for n in range(10_000))),
    "duplicate-content-id": _twice,
    "cid-to-nowhere": lambda cx: _include(cx, "cid:nowhere@test"),
    "href-file": lambda cx: _include(cx, "file:///etc/passwd"),
    "href-http": lambda cx: _include(cx, "http://127.0.0.1:9/x"),
    "base64-part": lambda cx: _headers(cx, "Content-Transfer-Encoding: base64"),
    "boundary-in-every-line": lambda _cx: f"\r\n--{BOUNDARY}x".encode() * 50_000,
    "no-boundary-at-all": lambda _cx: b"\x00" * 5_000_000,
}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_hostile_package_is_refused_and_leaves_nothing(
    hub: Hub, web: Web, source: str, cx: str, tmp_path: Path, name: str
) -> None:
    data = PACKAGES[name](cx)
    with little_effort(MOST_S, time.process_time) as taken:
        response = web.post(web.repository, data, source, provided.CONTENT_TYPE)
        print(f"{name}: {taken() * 1000:.0f} ms")  # noqa: T201
    assert response.status_code == 400
    assert "Traceback" not in response.text
    assert "root:" not in response.text
    assert nothing_left(hub, tmp_path)
    assert [one.outcome for one in hub.audit.search(AuditQuery()).records] == ["failure"]


ENTITIES = '<!DOCTYPE a [<!ENTITY a "%s">%s]><a>&%s;</a>'
LAUGHS = "".join(
    f'<!ENTITY {new} "{f"&{old};" * 10}">'
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
XML_BOMBS = {
    "billion-laughs": ENTITIES % ("ha", LAUGHS, "j"),
    "quadratic": ENTITIES % ("x" * 100_000, "", "a;" + "&a;" * 10_000 + "&a"),
    "external": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    "parameter": '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]><a/>',
    "depth": "<a>" * 100_000,
    "attributes": "<a " + " ".join(f'b{n}="1"' for n in range(100_000)) + "/>",
    "namespaces": "<a " + " ".join(f'xmlns:b{n}="urn:{n}"' for n in range(5_000)) + "/>",
    "elements": "<a>" + "<b/>" * 200_000 + "</a>",
}


@pytest.mark.parametrize("name", XML_BOMBS)
def test_an_xml_bomb_is_refused_in_milliseconds(name: str) -> None:
    data = XML_BOMBS[name].encode()
    with little_effort(0.5 if name == "elements" else 0.05) as taken:
        with pytest.raises(HostileXmlError):
            parse_xml(data)
        print(f"{name}: {taken() * 1000:.1f} ms")  # noqa: T201


def test_documents_longer_than_the_limit_are_refused_before_they_end(
    hub: Hub, web: Web, source: str, cx: str, tmp_path: Path
) -> None:
    documents = hub.registry.repository_app._door.documents
    object.__setattr__(documents, "most_bytes", 100_000)
    data = good(cx, b"x" * 100_001)
    assert web.post(web.repository, data, source, provided.CONTENT_TYPE).status_code == 413
    inline = provided.provide_inline(Sent(described(cx), b"x" * 100_001))
    assert web.post(web.repository, inline, source).status_code == 413
    assert nothing_left(hub, tmp_path)
    fitting = good(cx, b"x" * 100_000)
    answer = web.post(web.repository, fitting, source, provided.CONTENT_TYPE)
    assert wire.status(wire.payload(answer)) == "Success"


def test_a_soap_part_longer_than_its_limit_is_refused(
    hub: Hub, web: Web, source: str, cx: str, tmp_path: Path
) -> None:
    data = good(cx).replace(b"<ns0:Body>", b" " * 1_000_000 + b"<ns0:Body>")
    assert len(data) > 1_000_000
    assert web.post(web.repository, data, source, provided.CONTENT_TYPE).status_code == 413
    assert nothing_left(hub, tmp_path)


@pytest.mark.parametrize("text", ["####", "YQ=", "YQ==YQ==", "YQ==<b/>", "<b/>YQ==", "Y" * 99_999])
def test_what_is_no_base64_is_refused(
    hub: Hub, web: Web, source: str, cx: str, tmp_path: Path, text: str
) -> None:
    data = provided.provide_inline(Sent(described(cx), b"x")).replace(b"eA==\n", text.encode())
    response = web.post(web.repository, data, source)
    refused = response.status_code == 400 or wire.status(wire.payload(response)) == "Failure"
    assert refused
    assert nothing_left(hub, tmp_path) or hub.registry.refused.count() == 1


def test_a_body_that_stops_half_way_is_refused(
    hub: Hub, web: Web, source: str, cx: str, tmp_path: Path
) -> None:
    """The sender declares more than it sends and hangs up: the next request is answered at once."""
    data = good(cx)
    connection = http.client.HTTPConnection(urlsplit(web.base).netloc, timeout=60)
    connection.putrequest("POST", "/xds/repository")
    connection.putheader("Content-Type", provided.CONTENT_TYPE)
    connection.putheader("Authorization", f"Bearer {source}")
    connection.putheader("Content-Length", str(len(data) + 1000))
    connection.endheaders(data)
    connection.close()
    # The server waits for the rest no longer than the sender is there.
    assert requests.get(f"{web.repository}?wsdl", timeout=60).status_code == 200
    assert nothing_left(hub, tmp_path)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ArchiveFullError("full"), "XDSRepositoryOutOfResources"),
        (ArchiveBusyError("busy"), "XDSRepositoryBusy"),
    ],
)
def test_an_archive_without_room_is_told_by_its_code(
    hub: Hub, web: Web, cx: str, monkeypatch: pytest.MonkeyPatch, failure: ArchiveError, code: str
) -> None:
    def fail() -> None:
        raise failure

    source = hub.token("source", None, Role.DOCUMENT_SOURCE)
    monkeypatch.setattr(hub.backend, "create", fail)
    answer = web.post(web.repository, good(cx), source, provided.CONTENT_TYPE)
    assert wire.errors(wire.payload(answer)) == [code]
    assert hub.registry.refused.count() == 0
    assert list(hub.backend.keys("documents")) == []


def test_a_busy_database_is_told_by_its_code_and_nothing_is_kept(
    hub: Hub, web: Web, source: str, cx: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_arguments: object, **_more: object) -> None:
        raise OperationalError("INSERT", {}, Exception("database is locked"))

    monkeypatch.setattr(store, "insert", busy)
    answer = wire.payload(web.post(web.repository, good(cx), source, provided.CONTENT_TYPE))
    assert wire.errors(answer) == ["XDSRepositoryBusy"]
    assert "locked" not in (answer.find(".//{*}RegistryError").get("codeContext") or "")
    (record,) = hub.audit.search(AuditQuery()).records
    assert (record.outcome, "XDSRepositoryBusy" in record.detail) == ("failure", True)
    assert hub.registry.refused.count() == 0


def test_a_reader_that_finds_the_database_busy_is_told_by_its_code(
    hub: Hub, web: Web, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_arguments: object, **_more: object) -> None:
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    monkeypatch.setattr(store, "documents_by_unique_id", busy)
    reader = hub.token("reader", None)
    response = web.post(web.repository, wire.retrieve(("1.2.3", "1")), reader)
    assert response.status_code == 200
    known = wire.retrieve((hub.registry._repository.repository_unique_id, "1"))
    answer = wire.payload(web.post(web.repository, known, reader))
    assert wire.errors(answer) == ["XDSRepositoryBusy"]


def test_a_part_is_readable_before_and_after_it_is_durable(hub: Hub) -> None:
    data = b"0123456789" * 1000
    with Reception(hub.backend, 20_000) as reception:
        part = reception.keep("text/plain", [data[:777], data[777:]])
        with part.open() as stream:
            stream.seek(9_990)
            assert (stream.read(), stream.seek(0), stream.read(3)) == (b"0123456789", 0, b"012")
        part.make_durable(hub.backend)
    with part.open() as stream:
        assert stream.read() == data
    assert list(hub.backend.keys("documents")) == [part.storage_key]
