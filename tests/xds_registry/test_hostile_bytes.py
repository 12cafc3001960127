"""Whatever bytes arrive, a reader gives a value or its own error, never anything else."""

from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.xds_registry import wire
from tests.xds_registry.packages import read_package
from xds_registry.errors import XdsRefusalError
from xds_registry.mtom import BadMultipartError, media_type_of
from xds_registry.soap import SoapFaultError, parse_envelope
from xds_registry.stored_queries import REFERENCE_FILTERS, Parameters, document_filter

HONEST = wire.retrieve(("1.2", "3.4"))
PACKAGE = b"--b\r\nContent-ID: <r@x>\r\n\r\n" + HONEST + b"\r\n--b--\r\n"


@st.composite
def mutated(draw: st.DrawFn, honest: bytes) -> bytes:
    """Return `honest` with a few bytes exchanged, cut out or repeated."""
    data = bytearray(honest)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        length = draw(st.integers(0, 20))
        data[at : at + length] = draw(st.binary(max_size=20))
        if not data:
            break
    return bytes(data)


@given(st.one_of(st.binary(max_size=300), mutated(HONEST)))
@example(b"\xff\xfe<\x00")
@example(b'<?xml version="1.0" encoding="nonsense"?><a/>')
def test_an_envelope_is_read_or_refused(data: bytes) -> None:
    with suppress(SoapFaultError):
        parse_envelope(data)


@given(st.one_of(st.binary(max_size=300), mutated(PACKAGE)))
def test_a_package_is_read_or_refused(data: bytes) -> None:
    with suppress(BadMultipartError):
        read_package(data, 'multipart/related; boundary="b"')


@given(st.text(st.characters(max_codepoint=255), max_size=120))
@example('multipart/related; boundary*0="a"; boundary*1="b"')
@example("multipart/related; boundary*=utf-8''%ff")
@example(";;;=\r\nX: y")
def test_a_content_type_is_read_whatever_it_says(text: str) -> None:
    media_type, parameters = media_type_of(text)
    assert "/" in media_type
    assert all(isinstance(value, str) for value in parameters.values())
    with suppress(BadMultipartError):
        read_package(b"--b\r\n\r\n\r\n--b--", text)


@given(st.sampled_from(sorted(REFERENCE_FILTERS)), st.text(max_size=60))
def test_a_parameter_is_read_or_refused(name: str, text: str) -> None:
    with suppress(XdsRefusalError):
        document_filter(Parameters.parse([(name, [text])]), REFERENCE_FILTERS)


def test_more_values_than_any_honest_query_has_are_refused() -> None:
    many = "(" + ",".join(["'1'"] * 5001) + ")"
    Parameters.parse([("$a", [many])])
    with pytest.raises(XdsRefusalError):
        Parameters.parse([("$a", [many]), ("$b", [many])])
