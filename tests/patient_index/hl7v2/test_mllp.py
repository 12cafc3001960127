import pytest
from hypothesis import given
from hypothesis import strategies as st

from patient_index.hl7v2.mllp import FrameReader, MemoryBudget, NotMllpError, framed
from patient_index.hl7v2.problems import RefusedMessageError

_CONTENT = st.binary(max_size=50).map(lambda raw: raw.replace(b"\x0b", b"").replace(b"\x1c", b""))


def reader(max_bytes: int = 1000, budget: int = 1_000_000) -> FrameReader:
    return FrameReader(max_bytes, MemoryBudget(budget))


@given(st.lists(_CONTENT, max_size=5), st.lists(st.integers(1, 30), max_size=40))
def test_messages_come_out_whole_however_the_stream_is_cut(
    messages: list[bytes], cuts: list[int]
) -> None:
    stream = b"\r\n".join(map(framed, messages))
    taken: list[bytes] = []
    reading = reader()
    for cut in (*cuts, len(stream)):
        piece, stream = stream[:cut], stream[cut:]
        taken += reading.take(piece)
    taken += reading.take(stream)
    assert taken == messages
    assert not reading.inside


def test_the_cr_after_fs_may_be_missing() -> None:
    assert list(reader().take(b"\x0bone\x1c\x0btwo\x1c")) == [b"one", b"two"]


@pytest.mark.parametrize("stream", [b"x", b"\x1c", b"\x0bone\x1cx", b"\r\nMSH|"])
def test_bytes_between_frames_are_no_mllp(stream: bytes) -> None:
    with pytest.raises(NotMllpError):
        list(reader().take(stream))


@pytest.mark.parametrize(
    ("stream", "rule"),
    [(b"\x0b" + b"x" * 1001, "too-long"), (b"\x0bone\x0btwo", "frame-in-frame")],
)
def test_a_frame_that_breaks_a_bound_is_refused(stream: bytes, rule: str) -> None:
    with pytest.raises(RefusedMessageError) as caught:
        list(reader().take(stream))
    assert caught.value.rule_name == rule


def test_a_message_of_exactly_the_limit_passes() -> None:
    assert list(reader(1000).take(framed(b"x" * 1000))) == [b"x" * 1000]


def test_large_messages_share_a_budget_and_small_ones_need_none() -> None:
    budget = MemoryBudget(300_000)
    large = b"\x0b" + b"x" * 200_000
    first, second = FrameReader(1_000_000, budget), FrameReader(1_000_000, budget)
    list(first.take(large))
    with pytest.raises(RefusedMessageError) as caught:
        list(second.take(large + b"x" * 100_000))
    assert caught.value.rule_name == "busy"
    assert list(FrameReader(1_000_000, budget).take(framed(b"x" * 60_000)))
    first.clear()
    second.clear()
    third = FrameReader(1_000_000, budget)
    assert list(third.take(large + b"\x1c\r"))
    assert budget.take(300_000)
