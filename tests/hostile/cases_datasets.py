"""Rows 21 to 33 and 44 to 51: what stands in the datasets that peers send."""

import struct
from collections.abc import Callable

from tests.dicom_router.wire import ASSOCIATE_AC, IMPLICIT, p_data, store_rq
from tests.hostile.arena import Trial
from tests.hostile.cases_associations import status_of
from tests.hostile.datasets import (
    COMPREHENSIVE_SR,
    DEFLATED,
    ENCAPSULATED_PDF,
    MEDIA_DIRECTORY,
    SEQUENCE_END,
    UNDEFINED,
    Raw,
    before_pixels,
    deflated,
    deflated_zeros,
    item,
    many_tags,
    nested,
    short,
    text,
)
from tests.hostile.model import Case

SOP_INSTANCE, STUDY, SERIES = 0x00080018, 0x0020000D, 0x0020000E
EVIL_UIDS = {
    "dots": "../../x",
    "absolute": "/etc/passwd",
    "NUL": "1.2\0.3",
    "65 characters": "1." + "2" * 63,
    "shell": "$(id>x)",
}


def sent(*changes: Raw, without: tuple[int, ...] = ()) -> Callable[[Trial], str]:
    """Send a slice with these elements; refused or not is the outcome."""
    return lambda trial: trial.store(trial.dataset(*changes, without=without))


def kept(*changes: Raw) -> Callable[[Trial], str]:
    """Send a slice with these elements; when it is stored, its study can be read."""

    def attack(trial: Trial) -> str:
        outcome = trial.store(trial.dataset(*changes))
        return f"{outcome}, {readable(trial)}" if outcome == "stored" else outcome

    return attack


def readable(trial: Trial) -> str:
    """An honest neighbour in the study, metadata in valid JSON, the instance as it was sent."""
    assert trial.store(trial.dataset(instance=2), sop_instance_uid=trial.sop_uid(2)) == "stored"
    assert trial.metadata(2)["00280010"]["Value"] == [8]
    assert trial.metadata(1)["00080018"]["Value"] == [trial.sop_uid()]
    assert trial.get(trial.instance_url()).status == 200
    assert trial.get(f"{trial.instance_url(2)}/rendered").status == 200
    return "study readable"


def command_uid(uid: str) -> Callable[[Trial], str]:
    """The same impossible UID in command and dataset."""

    def attack(trial: Trial) -> str:
        data = trial.dataset(text(SOP_INSTANCE, b"UI", uid))
        return trial.store(data, sop_instance_uid=uid)

    return attack


def other_command_uid(trial: Trial) -> str:
    return trial.store(trial.dataset(), sop_instance_uid=f"{trial.study}.9")


def as_file(preamble: bytes) -> Callable[[Trial], str]:
    """A Part 10 file, preamble and all, where a dataset belongs; what is kept begins with zeros."""

    def attack(trial: Trial) -> str:
        outcome = trial.store(preamble.ljust(128, b"\0") + b"DICM" + trial.dataset())
        newest = trial.arena.rows("SELECT storage_key FROM quarantine ORDER BY id DESC")[0][0]
        stored = (trial.arena.base / "data/archive" / newest).read_bytes()
        assert stored.startswith(bytes(128) + b"DICM")
        return outcome

    return attack


def media_directory(trial: Trial) -> str:
    data = trial.dataset(text(0x00080016, b"UI", MEDIA_DIRECTORY))
    return trial.store(data, sop_class_uid=MEDIA_DIRECTORY)


def inflating(megabytes: int) -> Callable[[Trial], str]:
    """A few kilobytes that inflate to a thousand times as much, in pixels of that size."""

    def attack(trial: Trial) -> str:
        columns = 4096
        rows = min(megabytes * (1 << 20) // 2 // columns, 65535)
        whole = trial.dataset(short(0x00280010, rows), short(0x00280011, columns))
        at = whole.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
        pixels = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, megabytes << 20)
        data = deflated_zeros(whole[:at] + pixels, megabytes << 20)
        outcome = trial.store(data, syntax=DEFLATED)
        if outcome == "stored":
            assert trial.get(f"{trial.instance_url()}/rendered").status == 200
        return outcome

    return attack


def torn_deflated(trial: Trial) -> str:
    return trial.store(deflated(trial.dataset())[:-20], syntax=DEFLATED)


def spliced(inserted: bytes) -> Callable[[Trial], str]:
    def attack(trial: Trial) -> str:
        return trial.store(before_pixels(trial.dataset(), inserted))

    return attack


def many_elements(trial: Trial) -> str:
    outcome = trial.store(before_pixels(trial.dataset(), many_tags(400_000)))
    return f"{outcome}, {readable(trial)}"


def document(mime_type: str, content: bytes) -> Callable[[Trial], str]:
    """An encapsulated document: it can be downloaded and is shown nowhere."""

    def attack(trial: Trial) -> str:
        data = trial.dataset(
            text(0x00080016, b"UI", ENCAPSULATED_PDF),
            text(0x00080060, b"CS", "DOC"),
            Raw(0x00420011, b"OB", content + b"\0" * (len(content) % 2)),
            text(0x00420012, b"LO", mime_type),
            without=(0x7FE00010, 0x00280010, 0x00280011),
        )
        outcome = trial.store(data, sop_class_uid=ENCAPSULATED_PDF)
        answer = trial.get(f"{trial.instance_url()}/bulkdata/00420011")
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(
            ("application/octet-stream", "multipart/related")
        )
        assert answer.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert trial.get(f"{trial.instance_url()}/rendered").status == 404
        return f"{outcome}, download only"

    return attack


def huge_report(trial: Trial) -> str:
    """A structured report of 100,000 nodes."""
    node = text(0x0040A040, b"CS", "TEXT").encode() + text(0x0040A160, b"UT", "x").encode()
    tree = item(node) * 100_000 + SEQUENCE_END
    data = trial.dataset(
        text(0x00080016, b"UI", COMPREHENSIVE_SR),
        text(0x00080060, b"CS", "SR"),
        Raw(0x0040A730, b"SQ", tree, UNDEFINED),
        without=(0x7FE00010, 0x00280010, 0x00280011),
    )
    outcome = trial.store(data, sop_class_uid=COMPREHENSIVE_SR)
    assert trial.metadata()["00080018"]["Value"] == [trial.sop_uid()]
    assert trial.get(f"{trial.instance_url()}/rendered").status == 404
    return outcome


def smuggled(*elements: Raw) -> Callable[[Trial], str]:
    """Elements of group 0000 or 0002 inside the dataset never leave the hub."""

    def attack(trial: Trial) -> str:
        prefix = b"".join(element.encode() for element in elements)
        outcome = trial.store(prefix + trial.dataset())
        if outcome != "stored":
            return outcome
        answer = trial.get(trial.instance_url(), Accept=_AS_STORED)
        assert answer.status == 200
        assert b"SMUGGLED" not in answer.body
        assert b"GEHEIMNAME" in answer.body  # the control: the dataset itself is there
        assert trial.get(f"{trial.instance_url()}/rendered").status == 200
        return "stored, stripped"

    return attack


_AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def other_encoding(trial: Trial) -> str:
    """Implicit VR under a presentation context that agreed on explicit."""
    data = trial.dataset()
    return trial.store(data, syntax=IMPLICIT)


def other_class(trial: Trial) -> str:
    """CT was agreed on, the command says MR."""
    with trial.peer() as peer:
        peer.send(trial.parts().encode())
        assert trial.hear(peer)[0] == ASSOCIATE_AC
        peer.send(store_rq(trial.sop_uid(), sop_class_uid="1.2.840.10008.5.1.4.1.1.4"))
        peer.send(p_data(3, 2, trial.dataset()))
        return f"0x{status_of(trial.hear(peer)[1]):04X}"


def unknown_class(trial: Trial) -> str:
    return trial.store(trial.dataset(), sop_class_uid="1.2.3.4.5")


_UNREADABLE = "0xC000 and quarantined"
_KEPT = "stored, study readable"
_TORN = struct.pack("<HH2sHI", 0x0029, 0x0010, b"UT", 0, 0xFFFFFFFE)

DATASET_CASES = (
    *(Case(21, f"command {name}", "0x0117", command_uid(uid)) for name, uid in EVIL_UIDS.items()),
    *(Case(21, f"dataset {name}", "0xC011", sent(text(SOP_INSTANCE, b"UI", uid)))
      for name, uid in EVIL_UIDS.items()),
    *(Case(22, f"study {name}", "0xC011", sent(text(STUDY, b"UI", uid)))
      for name, uid in EVIL_UIDS.items()),
    *(Case(22, f"series {name}", "0xC011", sent(text(SERIES, b"UI", uid)))
      for name, uid in EVIL_UIDS.items()),
    Case(23, "two UIDs", "0xA900", other_command_uid),
    Case(24, "MZ", _UNREADABLE, as_file(b"MZ\x90\0")),
    Case(24, "ELF", _UNREADABLE, as_file(b"\x7fELF\x02\x01\x01")),
    Case(24, "HTML", _UNREADABLE, as_file(b"<html><script>alert(1)</script>")),
    Case(25, "DICOMDIR", "context refused", media_directory),
    Case(25, "file ID", _KEPT, kept(text(0x00041500, b"CS", "..\\..\\ETC\\PASSWD"))),
    Case(26, "depth 60", _KEPT, kept(nested(60))),
    Case(26, "depth 250", _UNREADABLE, sent(nested(250))),
    Case(26, "depth 100k", _UNREADABLE, sent(nested(100_000))),
    Case(26, "depth 100k unclosed", _UNREADABLE, sent(nested(100_000, closed=False))),
    Case(27, "16 MB", "stored", inflating(16)),
    Case(27, "1 GB", _UNREADABLE, inflating(1024)),
    Case(27, "torn", _UNREADABLE, torn_deflated),
    Case(28, "length FFFFFFFE", _UNREADABLE, spliced(_TORN + bytes(10))),
    Case(29, "sequence", _UNREADABLE, sent(nested(1, closed=False))),
    Case(29, "text", _UNREADABLE,
         spliced(struct.pack("<HH2sHI", 0x0029, 0x0010, b"UT", 0, UNDEFINED))),
    Case(30, "400k tags", _KEPT, many_elements),
    Case(31, "VR ZZ", _KEPT, kept(Raw(0x00290011, b"ZZ", b"abcd"))),
    Case(31, "VR NUL", _UNREADABLE, kept(Raw(0x00290011, b"\0\0", b"abcd"))),
    Case(32, "IS 5000 digits", _KEPT, kept(Raw(0x00281300, b"IS", b"9" * 5000))),
    Case(32, "InstanceNumber 5000 digits", _KEPT, kept(Raw(0x00200013, b"IS", b"9" * 5000))),
    Case(32, "frames NaN", _UNREADABLE, sent(text(0x00280008, b"IS", "NaN"))),
    Case(33, "1e400", _KEPT, kept(text(0x00281052, b"DS", "1e400"))),
    Case(33, "NaN", _KEPT, kept(text(0x00281053, b"DS", "NaN"))),
    Case(44, "PDF", "stored, download only",
         document("application/pdf", b"%PDF-1.4 /OpenAction <</S /JavaScript>>")),
    Case(44, "HTML", "stored, download only",
         document("text/html", b"<script>alert(document.cookie)</script>")),
    Case(44, "SVG", "stored, download only",
         document("image/svg+xml", b"<svg onload='alert(1)' xmlns='http://www.w3.org/2000/svg'/>")),
    Case(45, "100k nodes", "stored", huge_report),
    Case(46, "group 0000", "stored, stripped", smuggled(text(0x00000002, b"UI", "1.2.SMUGGLED"))),
    Case(46, "group 0002", "stored, stripped", smuggled(text(0x00020010, b"UI", "1.2.SMUGGLED"))),
    Case(47, "empty", "0xC000", lambda trial: trial.store(b"")),
    Case(47, "prefix only", _UNREADABLE, lambda trial: trial.store(bytes(128) + b"DICM")),
    Case(47, "cut", _UNREADABLE, lambda trial: trial.store(trial.dataset()[:-20])),
    Case(48, "other encoding", _UNREADABLE, other_encoding),
    Case(49, "unknown class", "context refused", unknown_class),
    Case(49, "other class", "0x0122", other_class),
    Case(50, "odd VR in group 0002", "stored, stripped",
         smuggled(Raw(0x00020010, b"ZZ", b"SMUGGLED"))),
    Case(51, "path", _KEPT, kept(text(0x00080005, b"CS", "../../etc/passwd"))),
    Case(51, "50 values", _KEPT, kept(text(0x00080005, b"CS", "\\".join(["ISO_IR 100"] * 50)))),
)  # fmt: skip
