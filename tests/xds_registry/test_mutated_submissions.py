"""Good requests, changed at random within their schema: always an answer, never half a submission.

A short form runs always, the long one of 10,000 with the long tests.
"""

import random
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from lxml import etree
from sqlalchemy import func, select

from tests.xds_registry import wire
from tests.xds_registry.samples import entry, urn
from tests.xds_registry.submitted import (
    ITI42,
    RIM,
    folder,
    of,
    related,
    request,
    symbolic,
    with_folder,
)
from tests.xds_registry.trial import Trial, trial
from xds_registry.errors import ErrorCode
from xds_registry.model import AssociationType, AvailabilityStatus, Folder
from xds_registry.tables import DocumentEntryRow, FolderRow, SubmissionSetRow, XdsAssociationRow

LONG = (pytest.mark.long, pytest.mark.timeout(3600))
MUTATIONS = pytest.mark.parametrize("number", [300, pytest.param(10_000, marks=LONG)])
SEED = 20261121
VALUES = (
    "",
    " ",
    "x",
    "'\"",
    "' OR 1=1 --",
    "urn:uuid:00000000-0000-0000-0000-000000000000",
    "URN:UUID:ABC",
    "0" * 300,
    "9" * 40,
    "-1",
    "1.2.3",
    "1.2.3^^^&1.2.3&ISO",
    "^^^&&ISO",
    "&&&|~\\",
    "20269999",
    "中文\u202e\u0000".replace("\u0000", ""),
    "\U0001f9ec",
    "%s%n{}",
    "../../etc/passwd",
    "<![CDATA[x]]>",
    "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember",
    "urn:ihe:iti:2007:AssociationType:RPLC",
)
Mutation = Callable[[etree._Element, random.Random], None]


def _any(body: etree._Element, rng: random.Random, *names: str) -> etree._Element:
    """Return any element inside `body`, or `body` where nothing (of these names) is left."""
    return rng.choice([one for one in body.iter(*names) if one is not body] or [body])


def _set_attribute(body: etree._Element, rng: random.Random) -> None:
    element = _any(body, rng)
    element.set(rng.choice(sorted(element.attrib) or ["id"]), rng.choice(VALUES))


def _drop_attribute(body: etree._Element, rng: random.Random) -> None:
    element = _any(body, rng)
    if element.attrib:
        del element.attrib[rng.choice(sorted(element.attrib))]


def _set_text(body: etree._Element, rng: random.Random) -> None:
    _any(body, rng, f"{RIM}Value").text = rng.choice(VALUES)


def _drop(body: etree._Element, rng: random.Random) -> None:
    element = _any(body, rng)
    if element is not body:
        element.getparent().remove(element)


def _double(body: etree._Element, rng: random.Random) -> None:
    element = _any(body, rng)
    if element is not body:
        element.addnext(etree.fromstring(etree.tostring(element)))


def _move(body: etree._Element, rng: random.Random) -> None:
    element, target = _any(body, rng), _any(body, rng)
    if element not in target.iterancestors() and element is not target:
        target.append(element)


def _rename(body: etree._Element, rng: random.Random) -> None:
    names = ("Slot", "Association", "RegistryPackage", "Classification", "ObjectRef", "Unknown")
    element = _any(body, rng)
    if element is not body:
        element.tag = f"{RIM}{rng.choice(names)}"


def _swap(body: etree._Element, rng: random.Random) -> None:
    one, other = _any(body, rng), _any(body, rng)
    for name in sorted(set(one.attrib) & set(other.attrib)):
        one_value, other_value = one.get(name), other.get(name)
        one.set(name, other_value)
        other.set(name, one_value)


MUTATORS: tuple[Mutation, ...] = (
    _set_attribute,
    _set_attribute,
    _drop_attribute,
    _set_text,
    _set_text,
    _drop,
    _double,
    _move,
    _rename,
    _swap,
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Trial]:
    with trial(tmp_path) as opened:
        yield opened


def send(here: Trial, body: etree._Element) -> tuple[str, bytes]:
    """Send in this process, as the server would; returns the HTTP status and the answer."""
    data = wire.envelope(body, ITI42)
    return post(here, data)


def post(here: Trial, data: bytes) -> tuple[str, bytes]:
    said: list[str] = []
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/soap+xml",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.input": BytesIO(data),
        "REMOTE_ADDR": "127.0.0.1",
        "PATH_INFO": "/xds/registry",
        "SCRIPT_NAME": "",
    }
    answer = here.application(environ, lambda status, _headers, *_more: said.append(status))
    return said[0], b"".join(answer)


def bodies(here: Trial, number: int) -> etree._Element:
    """Return a good request of its own for each number: plain, with a folder, replacing."""
    patient = here.know("P-1")
    sent = of(patient, f"m{number}-a", f"m{number}-b")
    if number % 3 == 1:
        holder: Folder = folder(patient, f"m{number}-folder")
        sent = with_folder(sent, holder)
    if number % 3 == 2:
        sent = related(AssociationType.APPENDS, sent, entry("base"))
    body = request(sent)
    return symbolic(body) if number % 2 else body


def counts(here: Trial) -> tuple[int, ...]:
    tables = (SubmissionSetRow, DocumentEntryRow, FolderRow, XdsAssociationRow)
    with here.database.read() as session:
        return tuple(session.scalar(select(func.count()).select_from(t)) or 0 for t in tables)


def dangling(here: Trial) -> int:
    """Return how many associations have an end that is not registered."""
    with here.database.read() as session:
        known = {
            uuid
            for table in (SubmissionSetRow, DocumentEntryRow, FolderRow, XdsAssociationRow)
            for uuid in session.scalars(select(table.entry_uuid))
        }
        ends = session.execute(select(XdsAssociationRow.source, XdsAssociationRow.target))
        return sum(end not in known for pair in ends for end in pair)


@MUTATIONS
def test_no_mutation_leaves_half_a_submission_or_no_answer(here: Trial, number: int) -> None:
    rng = random.Random(SEED)  # noqa: S311 (reproducible, guards nothing)
    assert send(here, request(of(here.know("P-1"), "base")))[0].startswith("200")
    known = {str(code) for code in ErrorCode}
    accepted = refused = 0
    for turn in range(number):
        body = bodies(here, turn)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            rng.choice(MUTATORS)(body, rng)
        before = counts(here)
        status, answer = send(here, body)
        why = f"mutation {turn}: {status} {answer[:600]!r}\n{etree.tostring(body)[:6000]!r}"
        assert b"Traceback" not in answer, why
        root = etree.fromstring(answer)
        after = counts(here)
        (response,) = root.iter("{*}RegistryResponse") if status.startswith("200") else (None,)
        if response is None:
            assert status.startswith("400"), why
            assert after == before, why
            continue
        if response.get("status", "").endswith("Success"):
            accepted += 1
            assert after[0] == before[0] + 1, why
            continue
        refused += 1
        codes = [one.get("errorCode") for one in response.iter("{*}RegistryError")]
        assert codes, why
        assert set(codes) <= known - {"XDSRegistryBusy", "XDSRegistryError"}, why
        assert after == before, why
    assert dangling(here) == 0
    assert accepted > 0
    assert refused > accepted
    with here.database.read() as session:
        base = session.get(DocumentEntryRow, urn("base"))
        assert base is not None
        assert base.status == AvailabilityStatus.APPROVED


@MUTATIONS
def test_changed_bytes_are_answered_and_never_half_kept(here: Trial, number: int) -> None:
    rng = random.Random(SEED)  # noqa: S311 (reproducible, guards nothing)
    for turn in range(number):
        data = bytearray(wire.envelope(bodies(here, turn), ITI42))
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        before = counts(here)
        status, answer = post(here, bytes(data))
        assert status[:3] in {"200", "400", "500"}, (turn, status)
        assert b"Traceback" not in answer
        root = etree.fromstring(answer)
        success = any(
            one.get("status", "").endswith("Success") for one in root.iter("{*}RegistryResponse")
        )
        assert (counts(here) != before) == success, (turn, answer)
    assert dangling(here) == 0


def test_the_same_seed_gives_the_same_requests() -> None:
    """What fails can be repeated."""
    found = []
    for _ in range(2):
        rng = random.Random(SEED)  # noqa: S311 (reproducible, guards nothing)
        body = request(of("P^^^&1.2.3&ISO", "one"))
        for _mutation in range(50):
            rng.choice(MUTATORS)(body, rng)
        found.append(etree.tostring(body))
    assert found[0] == found[1]
