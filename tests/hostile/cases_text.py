"""Rows 52 to 58 and 65: text, as it is indexed, shown, logged and handed on."""

import re
from collections.abc import Callable
from html import unescape
from urllib.parse import quote

from tests.hostile.arena import Trial
from tests.hostile.datasets import Raw, text
from tests.hostile.model import Case
from tests.support.waiting import comes_about

CHARACTER_SET, NAME, PATIENT_ID = 0x00080005, 0x00100010, 0x00100020
# Every text element that the hub indexes or shows, with a VR that holds it.
TEXT_TAGS: tuple[tuple[int, bytes], ...] = (
    (0x00080050, b"SH"), (0x00080080, b"LO"), (0x00080090, b"PN"), (0x00081010, b"SH"),
    (0x00081030, b"LO"), (0x0008103E, b"LO"), (0x00081050, b"PN"), (0x00081070, b"PN"),
    (0x00100010, b"PN"), (0x00100040, b"CS"), (0x00101000, b"LO"), (0x00104000, b"LT"),
    (0x00180015, b"CS"), (0x00181030, b"LO"), (0x00200010, b"SH"), (0x00204000, b"LT"),
    (0x00321060, b"LO"), (0x00400254, b"LO"), (0x00400009, b"SH"),
)  # fmt: skip


def named(name: bytes, charset: str, shown: str, rule: str = "") -> Callable[[Trial], str]:
    """Send a name in these bytes; what QIDO shows, and whether it may match automatically."""

    def attack(trial: Trial) -> str:
        data = trial.dataset(text(CHARACTER_SET, b"CS", charset), text(NAME, b"PN", name))
        outcome = trial.store(data)
        (found,) = trial.get(f"/dicom-web/studies?StudyInstanceUID={trial.study}").json
        value = found["00100010"]["Value"][0]
        assert shown in value.values(), value
        assert all(one.isprintable() for one in value.values()), value
        confident, decided = trial.arena.rows(
            "SELECT name_confident, name_rule FROM study WHERE study_instance_uid = ?",
            trial.study,
        )[0]
        assert rule in decided, decided
        return f"{outcome}, {'trusted' if confident else 'flagged'}"

    return attack


def disguised(name: str, search: str) -> Callable[[Trial], str]:
    """A name with characters nobody sees: isolated on the page, found all the same."""

    def attack(trial: Trial) -> str:
        sent_id = f"DISGUISED{trial.number}"
        outcome = trial.store(
            trial.dataset(text(NAME, b"PN", name), text(PATIENT_ID, b"LO", sent_id))
        )
        query = f"/dicom-web/studies?PatientName={quote(search)}&PatientID={sent_id}"
        assert len(trial.get(query).json) == 1, "not found by the name without the characters"
        page = page_of(trial)
        assert not re.search(r"[\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff]", _outside_bdi(page))
        return f"{outcome}, isolated"

    return attack


def _outside_bdi(page: str) -> str:
    return re.sub(r"<bdi>.*?</bdi>", "", page, flags=re.DOTALL)


def everywhere(words: str) -> Callable[[Trial], str]:
    """The same words in every text element, and every page that shows the study."""

    def attack(trial: Trial) -> str:
        outcome = trial.store(trial.dataset(*in_every_text(words)))
        shown = 0
        for page in pages_of(trial):
            assert words not in page, f"written into a page: {words}"
            shown += words[:12] in unescape(page)
        assert shown, "the control: no page shows the words at all"
        assert not {"49", "7777777"} & set(re.findall(r">\s*(49|7777777)\s*<", page_of(trial)))
        return f"{outcome}, inert on every page"

    return attack


def in_every_text(words: str) -> tuple[Raw, ...]:
    return tuple(text(tag, vr, words) for tag, vr in TEXT_TAGS)


def pages_of(trial: Trial) -> list[str]:
    """The pages that show the study, each answered with 200."""
    return [page_of(trial), *map(_page(trial), ("/patients?q=A", "/arrivals"))]


def page_of(trial: Trial) -> str:
    return _page(trial)(f"/studies/{trial.study}/diagnostic")


def _page(trial: Trial) -> Callable[[str], str]:
    def page(path: str) -> str:
        answer = trial.get(path, Accept="text/html")
        assert answer.status in {200, 404}, (path, answer.status)
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy or "default-src 'none'" in policy
        return answer.body.decode()

    return page


def line_breaks(trial: Trial) -> str:
    """Line breaks in accession and titles: one line of the log stays one line."""
    forged = 'A1\r\n{"level": "FORGED"}'
    outcome = trial.store(trial.dataset(text(0x00080050, b"SH", forged)))
    with trial.peer() as peer:
        peer.send(trial.parts(calling=b"X\r\nFORGED").encode())
        assert trial.ending(peer) == "rejected"
    assert trial.get(f"/dicom-web/studies?AccessionNumber={quote(forged)}").status in {200, 400}
    lines = trial.arena.log.read_bytes().splitlines()
    assert all(line.startswith(b'{"time": ') for line in lines if line)
    records = trial.arena.rows("SELECT subject_id, resource_id, message FROM audit_record")
    assert not any("\n" in part or "\r" in part for row in records for part in row[:2])
    return f"{outcome}, one line each"


def shell(trial: Trial) -> str:
    """Shell metacharacters wherever a peer can write; nothing is ever run."""
    marker = trial.arena.base / "pwned"
    words = f"$(touch {marker})`touch {marker}`;touch {marker}|touch {marker}"
    outcome = trial.store(trial.dataset(*in_every_text(words)))
    with trial.peer() as peer:
        peer.send(trial.parts(calling=b"`id>pwned`").encode())
        assert trial.ending(peer) == "rejected"
    assert trial.get(f"{trial.instance_url()}/rendered").status == 200
    assert not comes_about(marker.exists, within_s=1)
    return f"{outcome}, nothing run"


def exports(trial: Trial) -> str:
    """A formula in every text element; no answer of the hub is a table a spreadsheet opens."""
    outcome = trial.store(trial.dataset(*in_every_text('=HYPERLINK("http://x","y")')))
    for path in (f"/studies/{trial.study}/diagnostic", "/patients?q=A", "/arrivals"):
        answer = trial.get(path, Accept="text/csv")
        assert "csv" not in answer.headers["content-type"]
        assert "spreadsheet" not in answer.headers["content-type"]
    return f"{outcome}, no table exported"


_IR_58 = b"Wang^XiaoDong=\x1b$)A\xcd\xf5^\x1b$)A\xd0\xa1\x1b$)A\xb6\xab"
TEXT_CASES = (
    Case(52, "GB18030 5C", "stored, trusted",
         named("Cheng^Jing=乗^俓".encode("gb18030"), "GB18030", "乗^俓")),
    Case(53, "ISO 2022 IR 58", "stored, trusted", named(_IR_58, "\\ISO 2022 IR 58", "王^小东")),
    Case(54, "GBK as UTF-8", "stored, flagged",
         named("Wang^XiaoDong=王^小东".encode("gbk"), "ISO_IR 192", "王^小东")),
    Case(55, "bidi", "stored, isolated", disguised("Zhang\u202e^San\u202c=张^三", "Zhang^San")),
    Case(55, "zero width", "stored, isolated",
         disguised("Zhang\u200b^S\u200dan=张\ufeff^三", "张三")),
    Case(56, "script", "stored, inert on every page", everywhere("<script>alert(1)</script>")),
    Case(56, "onerror", "stored, inert on every page",
         everywhere("<img src=x onerror=alert(1)>")),
    Case(56, "template", "stored, inert on every page", everywhere("\"'><b>{{7*7}}${7*7}<%=7*7%>")),
    Case(57, "formula", "stored, no table exported", exports),
    Case(58, "line breaks", "stored, one line each", line_breaks),
    Case(65, "shell", "stored, nothing run", shell),
)  # fmt: skip
