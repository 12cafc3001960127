"""The archive's file head: what it says, what it carries for a rebuild, and what it survives."""

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from image_archive.errors import UnreadableInstanceError
from image_archive.file_meta import FileMeta, read_file_meta, write_file_meta
from image_archive.model import IncomingHeader
from tests.image_archive.datasets import CT_IMAGE_STORAGE, EXPLICIT_LITTLE, TOWNSHIP

RECEIVED = datetime(2026, 11, 21, 8, 30, 1, 5, tzinfo=UTC)
HEADER = IncomingHeader(CT_IMAGE_STORAGE, "1.2.3.4", EXPLICIT_LITTLE, TOWNSHIP)
HEAD = write_file_meta(HEADER, RECEIVED)


def test_what_was_written_is_read_back_but_the_address() -> None:
    assert read_file_meta(HEAD + b"dataset") == FileMeta(
        sop_class_uid=CT_IMAGE_STORAGE,
        sop_instance_uid="1.2.3.4",
        transfer_syntax_uid=EXPLICIT_LITTLE,
        dataset_offset=len(HEAD),
        origin=replace(TOWNSHIP, source_address=""),
        received_at=RECEIVED,
    )


def test_pydicom_reads_the_same() -> None:
    meta = pydicom.dcmread(BytesIO(HEAD)).file_meta
    assert meta.MediaStorageSOPInstanceUID == "1.2.3.4"
    assert meta.SourceApplicationEntityTitle == "QINGSHAN_CT"
    assert meta.FileMetaInformationGroupLength == len(HEAD) - 144
    assert meta.FileMetaInformationVersion == b"\0\1"


def test_a_strange_title_cannot_break_the_head() -> None:
    origin = replace(TOWNSHIP, calling_ae_title="王" * 100, charset_habit="GB18030")
    head = write_file_meta(replace(HEADER, origin=origin), RECEIVED)
    meta = read_file_meta(head)
    assert meta.dataset_offset == len(head)
    assert meta.origin
    assert meta.origin.charset_habit == "GB18030"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x7fELF" * 100,
        b"\0" * 128 + b"DICM",
        b"\0" * 128 + b"dicm" + HEAD[132:],
        HEAD[:200],
        HEAD[:140] + b"\xff\xff\xff\xff" + HEAD[144:],
        HEAD.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x11\x00UI"),
        HEAD.replace(b'"oid": "1.2.156.1.1"', b'"oid": "' + b"x" * 11 + b'"'),
    ],
)
def test_what_is_no_file_head_is_refused(head: bytes) -> None:
    with pytest.raises(UnreadableInstanceError):
        read_file_meta(head)


def test_a_receipt_of_others_is_not_taken_for_ours() -> None:
    meta = read_file_meta(HEAD.replace(b"8530", b"8531"))
    assert meta.origin is None
    assert meta.received_at is None


@settings(max_examples=300, deadline=None)
@given(st.integers(128, len(HEAD) - 1), st.binary(min_size=1, max_size=6))
def test_a_mutated_head_is_read_or_refused_and_nothing_else(place: int, noise: bytes) -> None:
    try:
        meta = read_file_meta(HEAD[:place] + noise + HEAD[place + len(noise) :])
    except UnreadableInstanceError:
        return
    assert meta.transfer_syntax_uid
