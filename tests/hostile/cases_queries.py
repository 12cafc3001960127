"""Rows 59 to 64: queries, over an association and over HTTP."""

import struct
import time
from collections.abc import Callable
from urllib.parse import quote

from tests.dicom_router.wire import (
    ASSOCIATE_AC,
    EXPLICIT,
    IMPLICIT,
    P_DATA,
    STUDY_ROOT_FIND,
    RawPeer,
    command_set,
    context_item,
    elements_of,
    p_data,
)
from tests.hostile.arena import HONEST, Trial
from tests.hostile.datasets import Raw, text
from tests.hostile.model import Case

PATIENT_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
_BOUND_S = 5.0


def find(trial: Trial, *keys: Raw, model: str = STUDY_ROOT_FIND) -> tuple[int, list[bytes]]:
    """C-FIND with these keys: the last status and the identifiers answered; -1 when aborted."""
    with trial.peer() as peer:
        peer.send(trial.parts(context_item(5, model, [IMPLICIT])).encode())
        assert trial.hear(peer)[0] == ASSOCIATE_AC
        identifier = b"".join(
            struct.pack("<HHI", key.tag >> 16, key.tag & 0xFFFF, len(key.value)) + key.value
            for key in sorted(keys)
        )
        return _asked(trial, peer, model, identifier)


def _asked(trial: Trial, peer: RawPeer, model: str, identifier: bytes) -> tuple[int, list[bytes]]:
    command = command_set(
        affected_sop_class_uid=model,
        command_field=0x0020,
        message_id=1,
        priority=0,
        command_data_set_type=0,
    )
    pieces = [identifier[at : at + 100_000] for at in range(0, len(identifier), 100_000)]
    peer.send(p_data(5, 3, command))
    for number, piece in enumerate(pieces, 1):
        trial.push(peer, p_data(5, 2 if number == len(pieces) else 0, piece))
    answers: list[bytes] = []
    while True:
        kind, body = trial.hear(peer)
        if kind != P_DATA:
            return -1, answers
        if not body[5] & 1:
            answers.append(body[6:])
            continue
        status = int.from_bytes(elements_of(body[6:])[0x0900], "little")
        if status not in {0xFF00, 0xFF01}:
            return status, answers


def level(name: str) -> Raw:
    return text(0x00080052, b"CS", name)


def literal(value: str) -> Callable[[Trial], str]:
    """A value that means something to SQL matches nothing but itself."""

    def attack(trial: Trial) -> str:
        assert trial.store(trial.dataset()) == "stored"
        own = text(0x0020000D, b"UI", trial.study)
        status, answers = find(trial, level("STUDY"), own, text(0x00080050, b"SH", value))
        assert (status, answers) == (0, []), (hex(status), answers)
        status, answers = find(trial, level("STUDY"), own, text(0x00080050, b"SH", "A1"))
        assert len(answers) == 1, "the control: the study is not found by its own number"
        trial.heard.clear()  # what the attacker's own site sent, it may see
        answer = trial.get(f"/dicom-web/studies?AccessionNumber={quote(value)}")
        assert answer.status == 400 or not answer.body.strip() or answer.json == []
        return "matches itself alone"

    return attack


def wildcards(trial: Trial) -> str:
    started = time.monotonic()
    status, answers = find(trial, level("STUDY"), text(0x00100010, b"PN", "*?" * 10_000))
    assert time.monotonic() - started < _BOUND_S
    assert not answers
    answer = trial.get(f"/dicom-web/studies?PatientName={quote('*?' * 500)}")
    return f"0x{status:04X}, HTTP {answer.status}"


def many_uids(trial: Trial) -> str:
    """A list of 100,000 UIDs: 2 MB in one key."""
    uids = "\\".join(f"1.2.826.0.1.{n}" for n in range(100_000))
    started = time.monotonic()
    status, answers = find(trial, level("STUDY"), text(0x0020000D, b"UI", uids))
    assert time.monotonic() - started < _BOUND_S
    assert status != 0
    assert not answers
    few = "\\".join(f"1.2.826.0.1.{n}" for n in range(4_000))
    _, answers = find(trial, level("STUDY"), text(0x0020000D, b"UI", few))
    assert time.monotonic() - started < _BOUND_S
    assert not answers
    answer = trial.get(f"/dicom-web/studies?StudyInstanceUID={quote(few)}")
    return f"refused, HTTP {answer.status}"


def other_sites(trial: Trial) -> str:
    """`*` for every patient: the asker sees its own site's only."""
    assert trial.store(trial.dataset()) == "stored"
    foreign = trial.dataset(
        text(0x00080018, b"UI", f"{trial.study}.8.1"),
        text(0x0020000D, b"UI", f"{trial.study}.8"),
        text(0x00100020, b"LO", "FOREIGN"),
    )
    honest = Trial(trial.arena, trial.number, HONEST)
    assert honest.store(foreign, sop_instance_uid=f"{trial.study}.8.1") == "stored"
    keys = (level("PATIENT"), text(0x00100010, b"PN", "*"), text(0x00100020, b"LO", ""))
    status, answers = find(trial, *keys, model=PATIENT_ROOT_FIND)
    everything = b"".join(answers)
    assert b"GEHEIMNUMMER" in everything, "the control: its own patients are not found"
    assert b"FOREIGN" not in everything
    trial.heard.clear()
    return f"0x{status:04X}, its own only"


def move_to_nobody(trial: Trial) -> str:
    """C-MOVE to an AE title that nobody knows."""
    model = "1.2.840.10008.5.1.4.1.2.2.2"
    with trial.peer() as peer:
        peer.send(trial.parts(context_item(5, model, [EXPLICIT])).encode())
        assert trial.hear(peer)[0] == ASSOCIATE_AC
        command = command_set(
            affected_sop_class_uid=model,
            command_field=0x0021,
            message_id=1,
            move_destination="NOBODY",
            priority=0,
            command_data_set_type=0,
        )
        identifier = level("STUDY").encode() + text(0x0020000D, b"UI", trial.study).encode()
        peer.send(p_data(5, 3, command) + p_data(5, 2, identifier))
        body = trial.hear(peer)[1]
        return f"0x{int.from_bytes(elements_of(body[6:])[0x0900], 'little'):04X}"


def limit(value: str) -> Callable[[Trial], str]:
    def attack(trial: Trial) -> str:
        return f"HTTP {trial.get(f'/dicom-web/studies?limit={value}').status}"

    return attack


QUERY_CASES = (
    Case(59, "or", "matches itself alone", literal("' OR 1=1 --")),
    Case(59, "percent", "matches itself alone", literal("%")),
    Case(59, "underscore", "matches itself alone", literal("A_")),
    Case(59, "union", "matches itself alone", literal("') UNION SELECT 1 --")),
    Case(60, "wildcards", "0xC001, HTTP 400", wildcards),
    Case(61, "UID list", "refused, HTTP 400", many_uids),
    Case(62, "every patient", "0x0000, its own only", other_sites),
    Case(63, "unknown destination", "0xA801", move_to_nobody),
    Case(64, "minus 1", "HTTP 400", limit("-1")),
    Case(64, "a milliard", "HTTP 400", limit("1000000000")),
)  # fmt: skip
