"""Once an instance is archived: every surface that shows it, and the honest one beside it.

A hostile instance is shown or refused in words, alike at every door, and costs nobody else: the
honest instance of the same series is shown everywhere to the byte as before.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from email import message_from_bytes
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from tests.hostile.arena import Answer, Trial

HONEST = 2
_PNG = b"\x89PNG"
_SIZE = (8, 8)
_DAMAGED_WORDS = {"en": "picture", "zh": "图像"}


@dataclass(frozen=True)
class Neighbour:
    """What the honest instance of an attack's series looked like before the attack."""

    digest: str


def with_neighbour(trial: Trial) -> Neighbour:
    """Store an honest slice in the attack's own series."""
    uid = trial.sop_uid(HONEST)
    assert trial.store(trial.dataset(instance=HONEST), sop_instance_uid=uid) == "stored"
    return Neighbour(_digest(_rendered(trial, HONEST)))


def pictures(trial: Trial, frame: int = 1) -> str:
    """What becomes of the hostile instance at every door; "shown" or "no picture" at all alike."""
    address = trial.instance_url()
    shown = [
        trial.get(f"{address}/frames/{frame}/rendered", Accept="image/png"),
        trial.get(_page_picture(trial, frame, "png")),
        trial.get(_page_picture(trial, frame, "jpg")),
        trial.get(f"{address}/rendered", Accept="image/jpeg"),
        trial.get(f"{address}/thumbnail"),
    ]
    statuses = [answer.status for answer in shown]
    assert set(statuses) <= {200, 404}, statuses
    assert trial.metadata()["00080018"]["Value"] == [trial.sop_uid()]
    is_shown = statuses[0] == 200
    # The same frame at the door for machines and on the page: both or neither, and the same pixels.
    assert statuses[1:3] == [statuses[0]] * 2, statuses
    if is_shown:
        assert _pixels(shown[0]) == _pixels(shown[1])
    for answer in shown:
        if answer.status == 200:
            _check_picture(answer)
    if not is_shown:
        _check_words(trial, frame)
    return "shown" if is_shown else "no picture"


def neighbour_unharmed(trial: Trial, before: Neighbour) -> str:
    """Whether the study, its series and its honest instance are as if nothing had happened."""
    series = f"/dicom-web/studies/{trial.study}/series/{trial.study}.1"
    now = _rendered(trial, HONEST)
    if _digest(now) != before.digest:
        return "another picture of the neighbour"
    assert trial.metadata(HONEST)["00080018"]["Value"] == [trial.sop_uid(HONEST)]
    parts = trial.get(f"{series}/rendered", Accept='multipart/related; type="image/png"')
    assert parts.status == 200, parts.status
    assert before.digest in {hashlib.sha256(part).hexdigest() for part in _parts(parts)}
    for path in (f"{series}/thumbnail", f"/dicom-web/studies/{trial.study}/thumbnail"):
        assert trial.get(path).status in {200, 404}
    facts = trial.get(f"/studies/{trial.study}/series/{trial.study}.1/facts")
    assert facts.status == 200
    json.loads(facts.body, parse_constant=_no_constant)
    for version in ("clinical", "diagnostic"):
        page = trial.get(f"/studies/{trial.study}/{version}", Accept="text/html")
        assert page.status == 200, page.status
        assert trial.sop_uid(HONEST).encode() in page.body
    return "neighbour unharmed"


def absent(trial: Trial) -> str:
    """Whether a refused instance is nowhere, as if it had never been sent."""
    address = trial.instance_url()
    for path in (
        f"{address}/rendered",
        f"{address}/thumbnail",
        f"{address}/metadata",
        _page_picture(trial, 1, "png"),
    ):
        assert trial.get(path).status == 404, path
    page = trial.get(f"/studies/{trial.study}/clinical", Accept="text/html")
    assert trial.sop_uid().encode() not in page.body.replace(trial.sop_uid(HONEST).encode(), b"")
    return "nowhere shown"


def _check_picture(answer: Answer) -> None:
    with Image.open(io.BytesIO(answer.body)) as opened:
        opened.load()
        assert opened.size == _SIZE, opened.size


def _check_words(trial: Trial, frame: int) -> None:
    """The page's picture says what is the matter and what to do, in the reader's language."""
    for language, word in _DAMAGED_WORDS.items():
        answer = trial.get(f"{_page_picture(trial, frame, 'png')}?lang={language}")
        said = answer.json["error"]
        assert word in said["title"], said
        assert said["advice"], said
        assert said["reason"], said


def _page_picture(trial: Trial, frame: int, form: str, instance: int = 1) -> str:
    uid = trial.sop_uid(instance)
    return f"/studies/{trial.study}/series/{trial.study}.1/pictures/{uid}/{frame}.{form}"


def _rendered(trial: Trial, instance: int) -> bytes:
    answer = trial.get(f"{trial.instance_url(instance)}/rendered", Accept="image/png")
    assert answer.status == 200, answer.status
    assert answer.body.startswith(_PNG)
    on_page = trial.get(_page_picture(trial, 1, "png", instance))
    assert on_page.body == answer.body
    return answer.body


def _pixels(answer: Answer) -> bytes:
    with Image.open(io.BytesIO(answer.body)) as opened:
        return opened.convert("RGB").tobytes()


def _parts(answer: Answer) -> list[bytes]:
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + answer.body).get_payload()
    assert isinstance(parts, list)
    return [part.get_payload(decode=True) for part in parts]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
