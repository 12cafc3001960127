"""Accept headers to representations (PS3.18 8.7)."""

import contextlib

import pytest

from viewer_api.dicomweb.media_types import (
    choose,
    frame_representation,
    instance_representation,
    parse_accept,
)
from viewer_api.errors import NotAcceptableError

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.202"
RLE = "1.2.840.10008.1.2.5"
OHIF = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


@pytest.mark.parametrize(
    ("stored", "media_type", "transfer_syntax"),
    [
        (EXPLICIT, "application/octet-stream", EXPLICIT),
        (IMPLICIT, "application/octet-stream", EXPLICIT),
        (JPEG, "image/jpeg", JPEG),
        (JPEG_LS, "image/jls", JPEG_LS),
        (JPEG_2000, "image/jp2", JPEG_2000),
        (HTJ2K, "image/jphc", HTJ2K),
        (RLE, "image/dicom-rle", RLE),
    ],
)
@pytest.mark.parametrize("accept", [OHIF, "*/*", 'multipart/related; type="*/*"', ""])
def test_whoever_takes_any_form_gets_the_frame_as_stored(
    accept: str, stored: str, media_type: str, transfer_syntax: str
) -> None:
    chosen = frame_representation(parse_accept(accept), stored)
    assert (chosen.media_type, chosen.transfer_syntax) == (media_type, transfer_syntax)
    assert chosen.in_parts
    assert not chosen.decoded


@pytest.mark.parametrize("stored", [JPEG, JPEG_2000, HTJ2K, RLE])
def test_octet_stream_without_a_transfer_syntax_is_decoded_little_endian(stored: str) -> None:
    accept = parse_accept('multipart/related; type="application/octet-stream"')
    chosen = frame_representation(accept, stored)
    assert (chosen.transfer_syntax, chosen.decoded) == (EXPLICIT, True)


@pytest.mark.parametrize("name", ["image/jphc", "image/jhc", "image/jph", "image/*"])
def test_high_throughput_jpeg_2000_is_sent_under_the_name_the_viewer_uses(name: str) -> None:
    chosen = frame_representation(parse_accept(f'multipart/related; type="{name}"'), HTJ2K)
    assert chosen.media_type == ("image/jphc" if name == "image/*" else name)


def test_a_single_frame_may_be_asked_for_without_parts() -> None:
    chosen = frame_representation(parse_accept("image/jls"), JPEG_LS)
    assert (chosen.media_type, chosen.in_parts) == ("image/jls", False)


@pytest.mark.parametrize(
    ("accept", "stored"),
    [
        ('multipart/related; type="image/jpeg"', EXPLICIT),
        ('multipart/related; type="image/jls"', JPEG_2000),
        ("text/html", JPEG),
        ('multipart/related; type="image/jp2"; transfer-syntax=1.2.840.10008.1.2.4.91', JPEG_2000),
    ],
)
def test_a_form_that_is_not_stored_and_not_native_is_not_acceptable(
    accept: str, stored: str
) -> None:
    with pytest.raises(NotAcceptableError):
        frame_representation(parse_accept(accept), stored)


def test_the_heavier_entry_wins_and_zero_weight_is_refused() -> None:
    accepted = parse_accept("image/png;q=0.5, image/jpeg;q=0.9, image/gif;q=0")
    assert choose(accepted, ("image/png", "image/jpeg")) == "image/jpeg"
    with pytest.raises(NotAcceptableError):
        choose(parse_accept("image/png;q=0"), ("image/png",))


@pytest.mark.parametrize(
    ("accept", "stored", "transfer_syntax", "decoded"),
    [
        ('multipart/related; type="application/dicom"; transfer-syntax=*', JPEG, JPEG, False),
        ('multipart/related; type="application/dicom"', JPEG, EXPLICIT, True),
        ('multipart/related; type="application/dicom"', EXPLICIT, EXPLICIT, False),
        (f'multipart/related; type="application/dicom"; transfer-syntax={RLE}', RLE, RLE, False),
        ("*/*", JPEG_2000, JPEG_2000, False),
        ("", JPEG_2000, JPEG_2000, False),
    ],
)
def test_instances_default_to_explicit_little_endian_unless_any_syntax_is_taken(
    *, accept: str, stored: str, transfer_syntax: str, decoded: bool
) -> None:
    chosen = instance_representation(parse_accept(accept), stored)
    assert chosen.transfer_syntax == transfer_syntax
    assert (chosen.decoded and stored != EXPLICIT) == decoded


def test_another_compression_than_the_stored_one_is_not_acceptable() -> None:
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={JPEG}'
    with pytest.raises(NotAcceptableError):
        instance_representation(parse_accept(accept), JPEG_2000)


@pytest.mark.parametrize("accept", [",,,", ";;;", "a" * 10_000, 'x; type="', "*/*; q=nan", "\xff"])
def test_senseless_accept_headers_never_raise_anything_else(accept: str) -> None:
    with contextlib.suppress(NotAcceptableError):
        frame_representation(parse_accept(accept), JPEG)
